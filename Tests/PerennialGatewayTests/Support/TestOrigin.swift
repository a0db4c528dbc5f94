import Glibc
import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP1
import NIOPosix

/// A tiny HTTP server whose answers are made by the test, byte by byte where it matters.
final class TestOrigin: Sendable {
    struct Request: Sendable {
        /// Counts the requests to this origin from 1.
        var number: Int
        var method: String
        var target: String
        var fields: HTTPHeaders
        var body: [UInt8]
        var trailers: HTTPHeaders = [:]

        func field(_ name: String) -> String? { fields.first(name: name) }
    }

    enum Answer: Sendable {
        /// These bytes, and then perhaps the end of the connection.
        case bytes([UInt8], closes: Bool)
        /// The bytes, then as many pieces of 64 KiB, each when the one before has been taken.
        case pieces(head: String, count: Int, taken: @Sendable (Int) -> Void)

        static func ok(_ body: String, _ fields: KeyValuePairs<String, String> = [:]) -> Answer {
            status(200, body, fields)
        }

        static func status(_ status: Int, _ body: String = "", _ fields: KeyValuePairs<String, String> = [:]) -> Answer
        {
            var text = "HTTP/1.1 \(status) \(HTTPResponseStatus(statusCode: status).reasonPhrase)\r\n"
            for (name, value) in fields { text += "\(name): \(value)\r\n" }
            if status != 304 && status != 204 { text += "Content-Length: \(body.utf8.count)\r\n" }
            return raw(text + "\r\n" + body)
        }

        static func raw(_ text: String, closes: Bool = false) -> Answer {
            .bytes(Array(text.utf8), closes: closes)
        }
    }

    typealias Handler = @Sendable (Request) async -> Answer

    let port: Int
    private let reservation: Reservation
    private let channel: any Channel
    private let seen = NIOLockedValueBox<[Request]>([])
    private let connections = NIOLockedValueBox<[ObjectIdentifier: any Channel]>([:])

    /// Every request so far.
    var requests: [Request] { seen.withLockedValue { $0 } }

    /// - Parameter isHasty: answers as soon as it has seen a request's head.
    init(isHasty: Bool = false, _ handler: @escaping Handler) async throws {
        let (seen, connections) = (seen, connections)
        let reservation = try Reservation()
        (self.reservation, port) = (reservation, reservation.port)
        channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.backlog, value: 512)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.writeBufferWaterMark, value: .init(low: 1, high: 1024))
            .childChannelInitializer { channel in
                connections.withLockedValue { $0[ObjectIdentifier(channel)] = channel }
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers([
                        ByteToMessageHandler(HTTPRequestDecoder()),
                        OriginConnection(isHasty: isHasty) { request in
                            var request = request
                            seen.withLockedValue {
                                request.number = $0.count + 1
                                $0.append(request)
                            }
                            return await handler(request)
                        },
                    ])
                }
            }
            .bind(host: "127.0.0.1", port: reservation.port).get()
    }

    /// Stops to listen and breaks every connection, as a killed server does. Nobody else gets its port.
    func kill() async throws {
        try? await channel.close()
        for channel in connections.withLockedValue({ Array($0.values) }) { try? await channel.close() }
    }
}

/// A port that stays with its holder: a socket that never listens, beside which one that does may come and go.
private final class Reservation: Sendable {
    let port: Int
    private let socket: CInt

    init() throws {
        let socket = Glibc.socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        self.socket = socket
        var (isReusable, size) = (CInt(1), socklen_t(MemoryLayout<sockaddr_in>.size))
        setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &isReusable, socklen_t(MemoryLayout<CInt>.size))
        // As `sockaddr_in` lies in memory: the family, then the port and the address, high byte first.
        var address = [UInt8](repeating: 0, count: Int(size))
        address.replaceSubrange(0..<8, with: [UInt8(AF_INET), 0, 0, 0, 127, 0, 0, 1])
        let result = address.withUnsafeMutableBytes { bytes in
            guard let address = bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self) else { return CInt(-1) }
            return bind(socket, address, size) == 0 ? getsockname(socket, address, &size) : -1
        }
        guard result == 0 else { throw IOError(errnoCode: errno, reason: "bind") }
        port = Int(address[2]) << 8 | Int(address[3])
    }

    deinit { close(socket) }
}

private final class OriginConnection: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart

    private let isHasty: Bool
    private let handler: TestOrigin.Handler
    private var head: HTTPRequestHead?
    private var body: [UInt8] = []

    init(isHasty: Bool, _ handler: @escaping TestOrigin.Handler) {
        self.isHasty = isHasty
        self.handler = handler
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            body = []
            if isHasty { answer(context) }
        case .body(let piece): body += piece.readableBytesView
        case .end(let trailers): if !isHasty { answer(context, trailers ?? [:]) }
        }
    }

    private func answer(_ context: ChannelHandlerContext, _ trailers: HTTPHeaders = [:]) {
        guard let head else { return }
        let request = TestOrigin.Request(
            number: 0, method: head.method.rawValue, target: head.uri, fields: head.headers, body: body,
            trailers: trailers)
        let (handler, channel) = (handler, context.channel)
        Task {
            let answer = await handler(request)
            try? await send(answer, to: channel)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}

private func send(_ answer: TestOrigin.Answer, to channel: any Channel) async throws {
    switch answer {
    case .bytes(let bytes, let closes):
        try await channel.writeAndFlush(ByteBuffer(bytes: bytes))
        if closes { try await channel.close() }
    case .pieces(let head, let count, let taken):
        try await channel.writeAndFlush(ByteBuffer(string: head))
        let piece = ByteBuffer(repeating: UInt8(ascii: "x"), count: 64 << 10)
        for number in 0..<count {
            try await channel.writeAndFlush(piece)
            taken(number + 1)
        }
    }
}
