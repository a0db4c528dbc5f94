internal import NIOCore
internal import NIOEmbedded
internal import NIOHTTP1
internal import PerennialGateway
internal import PerennialHTTP

/// Gives connections' bytes to the parser and the checks that the gateway has, and compares what they take with what a
/// strict reader makes of the same bytes.
public struct RequestFuzzer {
    private var grammar: RequestGrammar
    private let origin: OriginURL
    /// Requests that were taken, out of all inputs: a fuzzer whose inputs are all refused finds nothing.
    public private(set) var taken = 0

    public init(seed: UInt64) {
        grammar = RequestGrammar(dice: Dice(seed: seed))
        guard let origin = try? OriginURL("http://origin.example") else { preconditionFailure("a valid origin") }
        self.origin = origin
    }

    /// Tries one more input.
    /// - Throws: ``Finding``.
    public mutating func tryOne() throws {
        try check(grammar.connection())
    }

    /// - Throws: ``Finding`` when these bytes can be understood in two ways.
    public mutating func check(_ bytes: [UInt8]) throws {
        let requests = read([bytes])
        var strict = StrictRequests(bytes)
        for request in requests {
            guard let expected = strict.next() else { throw Finding("taken, but no request to a strict reader", bytes) }
            guard expected == request else {
                throw Finding("understood as \(request) and as \(expected)", bytes)
            }
        }
        taken += requests.count
        let cut = grammar.dice.below(bytes.count + 1)
        let again = read([Array(bytes[..<cut]), Array(bytes[cut...])])
        guard again == requests else { throw Finding("understood in another way when cut at \(cut)", bytes) }
    }

    /// The whole requests that are taken, until one isn't or the connection ends.
    private func read(_ pieces: [[UInt8]]) -> [StrictRequests.Request] {
        let taker = Taker(origin: origin)
        let channel = EmbeddedChannel()
        defer { _ = try? channel.finish(acceptAlreadyClosed: true) }
        do {
            let pipeline = channel.pipeline.syncOperations
            try pipeline.addHandler(RequestDecoder(limits: HeadLimits(size: 64 << 10, fields: 128)))
            try pipeline.addHandler(taker)
            for piece in pieces { try channel.writeInbound(ByteBuffer(bytes: piece)) }
        } catch {
            // Refused: what was taken before stays taken.
        }
        return taker.requests
    }
}

/// Does what a connection of the gateway does with what the parser gives it, as far as it takes or refuses.
private final class Taker: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart

    private(set) var requests: [StrictRequests.Request] = []
    private let origin: OriginURL
    private var current: StrictRequests.Request?
    private var isClosing = false

    init(origin: OriginURL) {
        self.origin = origin
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if isClosing { return }
        switch unwrapInboundIn(data) {
        case .head(let head): take(head)
        case .body(let piece): current?.body += piece.readableBytesView
        case .end:
            guard let request = current else { return }
            requests.append(request)
            isClosing = request.endsConnection
            current = nil
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        isClosing = true
    }

    private func take(_ head: HTTPRequestHead) {
        let complaint = complaint(
            aboutFields: head.headers.lazy.map { ($0.name, $0.value) }, isOldVersion: head.version == .http1_0)
        let isAboutServer = head.method == .OPTIONS && head.uri == "*"
        guard head.method != .CONNECT, complaint == nil,
            isAboutServer || (try? origin.key(forTarget: head.uri)) != nil
        else {
            isClosing = true
            return
        }
        current = StrictRequests.Request(
            method: head.method.rawValue, target: head.uri,
            fields: head.headers.map { [$0.name, trimmed(latin1($0.value.fieldBytes))] },
            body: [],
            endsConnection: !head.isKeepAlive)
    }
}
