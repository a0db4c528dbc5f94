import NIOConcurrencyHelpers
import NIOCore
import NIOPosix

/// A connection to a gateway that sends exactly the bytes it is told to, and reads answers one by one.
final class TestClient: Sendable {
    struct Response: Sendable {
        var status: Int
        var fields: [(name: String, value: String)]
        var body: String

        /// The values of the fields of that name, joined by commas.
        func field(_ name: String) -> String? {
            let values = fields.filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
            return values.isEmpty ? nil : values.joined(separator: ", ")
        }

        var cacheStatus: String { field("Cache-Status") ?? "" }
    }

    /// The gateway closed the connection before the answer was complete.
    struct Closed: Error {}

    private struct Inbox {
        var bytes: [UInt8] = []
        var isClosed = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let channel: any Channel
    private let inbox: NIOLockedValueBox<Inbox>

    init(port: Int) async throws {
        let inbox = NIOLockedValueBox(Inbox())
        self.inbox = inbox
        channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        Collector { bytes in
                            let waiter = inbox.withLockedValue { inbox in
                                if let bytes { inbox.bytes += bytes } else { inbox.isClosed = true }
                                return inbox.waiter.take()
                            }
                            waiter?.resume()
                        })
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
    }

    func send(_ text: String) async throws {
        try await channel.writeAndFlush(ByteBuffer(string: text))
    }

    func send(bytes: [UInt8]) async throws {
        try await channel.writeAndFlush(ByteBuffer(bytes: bytes))
    }

    /// A request with the fields a client must send.
    func send(_ method: String, _ target: String, _ fields: KeyValuePairs<String, String> = [:]) async throws {
        let lines = fields.map { "\($0): \($1)\r\n" }.joined()
        let host = fields.contains { $0.key == "Host" } ? "" : "Host: gateway\r\n"
        try await send("\(method) \(target) HTTP/1.1\r\n\(host)\(lines)\r\n")
    }

    /// Stops or goes on reading from the socket.
    func setReading(_ isReading: Bool) async throws {
        try await channel.setOption(.autoRead, value: isReading).get()
        if isReading { channel.read() }
    }

    /// The next answer.
    /// - Parameter isBodyless: it answers a HEAD.
    func response(isBodyless: Bool = false) async throws -> Response {
        let head = try await take { bytes in end(of: "\r\n\r\n", in: bytes) }
        let lines = String(decoding: head, as: UTF8.self).split(separator: "\r\n")
        let status = Int(lines[0].split(separator: " ")[1]) ?? 0
        let fields = lines.dropFirst().map { line in
            let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            return (name: String(parts[0]), value: parts[1].trimmingPrefix(" ").description)
        }
        var response = Response(status: status, fields: fields, body: "")
        if status < 200 { return response }
        if isBodyless || status == 304 || status == 204 { return response }
        if let length = response.field("Content-Length").flatMap({ Int($0) }) {
            response.body = String(decoding: try await take { $0.count >= length ? length : nil }, as: UTF8.self)
        } else if response.field("Transfer-Encoding") == "chunked" {
            response.body = String(decoding: try await chunks(), as: UTF8.self)
        } else {
            response.body = String(decoding: await rest(), as: UTF8.self)
        }
        return response
    }

    func get(_ target: String, _ fields: KeyValuePairs<String, String> = [:]) async throws -> Response {
        try await send("GET", target, fields)
        return try await response()
    }

    /// Everything until the gateway closes.
    func rest() async -> [UInt8] {
        while true {
            let (isClosed, bytes) = inbox.withLockedValue { inbox in
                defer { if inbox.isClosed { inbox.bytes = [] } }
                return (inbox.isClosed, inbox.bytes)
            }
            if isClosed { return bytes }
            await change(since: bytes.count)
        }
    }

    /// Reads and drops until this many bytes have come, or the end.
    func sizeOfRest(atLeast wanted: Int) async throws -> Int {
        var size = 0
        while size < wanted {
            let piece = try await take { $0.isEmpty ? nil : $0.count }
            size += piece.count
        }
        return size
    }

    func closeSending() async throws {
        try await channel.close(mode: .output)
    }

    func close() async {
        try? await channel.close()
    }

    private func chunks() async throws -> [UInt8] {
        var body: [UInt8] = []
        while true {
            let line = try await take { bytes in end(of: "\r\n", in: bytes) }
            let size = Int(String(decoding: line.dropLast(2), as: UTF8.self), radix: 16) ?? 0
            if size == 0 {
                // Trailers, and the empty line behind them.
                while try await take({ bytes in end(of: "\r\n", in: bytes) }).count > 2 {}
                return body
            }
            body += try await take { $0.count >= size + 2 ? size + 2 : nil }.dropLast(2)
        }
    }

    /// Takes as many bytes off the front as `length` says, once it says so.
    func take(_ length: ([UInt8]) -> Int?) async throws -> [UInt8] {
        while true {
            let (taken, isClosed, seen) = inbox.withLockedValue { inbox -> ([UInt8]?, Bool, Int) in
                guard let count = length(inbox.bytes) else { return (nil, inbox.isClosed, inbox.bytes.count) }
                defer { inbox.bytes.removeFirst(count) }
                return (Array(inbox.bytes.prefix(count)), inbox.isClosed, 0)
            }
            if let taken { return taken }
            if isClosed { throw Closed() }
            await change(since: seen)
        }
    }

    /// Returns when more has come than had when this was `seen`, or the end.
    private func change(since seen: Int) async {
        await withCheckedContinuation { continuation in
            let isNow = inbox.withLockedValue { inbox in
                if inbox.isClosed || inbox.bytes.count != seen { return true }
                inbox.waiter = continuation
                return false
            }
            if isNow { continuation.resume() }
        }
    }
}

private func end(of mark: String, in bytes: [UInt8]) -> Int? {
    bytes.firstRange(of: Array(mark.utf8))?.upperBound
}

/// Hands on what was read; `nil`: nothing more will come.
private final class Collector: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let deliver: @Sendable ([UInt8]?) -> Void

    init(_ deliver: @escaping @Sendable ([UInt8]?) -> Void) {
        self.deliver = deliver
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        deliver(Array(unwrapInboundIn(data).readableBytesView))
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .some(ChannelEvent.inputClosed) = event as? ChannelEvent { deliver(nil) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        deliver(nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
