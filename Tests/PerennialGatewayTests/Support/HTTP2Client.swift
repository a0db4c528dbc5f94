import NIOConcurrencyHelpers
import NIOCore
import NIOHPACK
import NIOHTTP2
import NIOPosix

/// A client that sends the frames it is told to, whether they make sense or not, and hands on what comes.
final class HTTP2Client: Sendable {
    struct Response: Sendable {
        var fields: HPACKHeaders
        var body = ""
        /// How the server broke the stream off; `nil`: it did not.
        var reset: HTTP2ErrorCode?

        var status: Int { fields.first(name: ":status").flatMap { Int($0) } ?? 0 }
        var cacheStatus: String { fields.first(name: "cache-status") ?? "" }
    }

    /// The gateway closed the connection.
    struct Closed: Error {}

    private struct Inbox {
        var frames: [HTTP2Frame] = []
        var isClosed = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let channel: any Channel
    private let inbox: NIOLockedValueBox<Inbox>

    init(port: Int) async throws {
        let inbox = NIOLockedValueBox(Inbox())
        self.inbox = inbox
        channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHandler(
                        NIOHTTP2Handler(
                            mode: .client, headerBlockValidation: .disabled, contentLengthValidation: .disabled))
                    try pipeline.addHandler(
                        FrameCollector { frame in
                            let waiter = inbox.withLockedValue { inbox in
                                if let frame { inbox.frames.append(frame) } else { inbox.isClosed = true }
                                return inbox.waiter.take()
                            }
                            waiter?.resume()
                        })
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
    }

    func send(_ payload: HTTP2Frame.FramePayload, on stream: Int = 0) async throws {
        let frame = HTTP2Frame(streamID: HTTP2StreamID(stream), payload: payload)
        try await channel.writeAndFlush(frame)
    }

    /// Begins a request with the fields a client must send.
    func begin(
        _ stream: Int, _ method: String, _ path: String, _ fields: KeyValuePairs<String, String> = [:],
        isWhole: Bool = false
    ) async throws {
        try await begin(
            stream,
            [(":method", method), (":scheme", "http"), (":authority", "gateway"), (":path", path)]
                + fields.map { ($0, $1) }, isWhole: isWhole)
    }

    func begin(_ stream: Int, _ fields: [(String, String)], isWhole: Bool = true) async throws {
        try await send(.headers(.init(headers: HPACKHeaders(fields), endStream: isWhole)), on: stream)
    }

    func body(_ text: String, on stream: Int, isLast: Bool = true) async throws {
        try await send(.data(.init(data: .byteBuffer(ByteBuffer(string: text)), endStream: isLast)), on: stream)
    }

    func get(_ stream: Int, _ path: String, _ fields: KeyValuePairs<String, String> = [:]) async throws -> Response {
        try await begin(stream, "GET", path, fields, isWhole: true)
        return try await response(on: stream)
    }

    /// The next answer on a stream, to its end.
    func response(on stream: Int) async throws -> Response {
        var response = Response(fields: [:])
        while true {
            switch try await take({ $0.streamID == HTTP2StreamID(stream) && $0.isOfAnswer }).payload {
            case .headers(let head):
                response.fields = head.headers
                if head.endStream { return response }
            case .data(let data):
                if case .byteBuffer(let bytes) = data.data { response.body += String(buffer: bytes) }
                if data.endStream { return response }
            case .rstStream(let code):
                response.reset = code
                return response
            default: break
            }
        }
    }

    /// The frames of an answer, to its end.
    func frames(on stream: Int) async throws -> [HTTP2Frame] {
        var frames: [HTTP2Frame] = []
        while true {
            let frame = try await take { $0.streamID == HTTP2StreamID(stream) && $0.isOfAnswer }
            frames.append(frame)
            switch frame.payload {
            case .headers(let head) where head.endStream: return frames
            case .data(let data) where data.endStream: return frames
            case .rstStream: return frames
            default: break
            }
        }
    }

    /// The first frame like this; what came before and is not stays for others.
    @discardableResult
    func take(_ matches: (HTTP2Frame) -> Bool) async throws -> HTTP2Frame {
        while true {
            let (frame, seen, isClosed) = inbox.withLockedValue { inbox -> (HTTP2Frame?, Int, Bool) in
                guard let place = inbox.frames.firstIndex(where: matches) else {
                    return (nil, inbox.frames.count, inbox.isClosed)
                }
                return (inbox.frames.remove(at: place), 0, false)
            }
            if let frame { return frame }
            if isClosed { throw Closed() }
            await change(from: seen)
        }
    }

    /// Returns when the gateway has closed the connection.
    func waitForEnd() async {
        while true {
            let (isClosed, seen) = inbox.withLockedValue { ($0.isClosed, $0.frames.count) }
            if isClosed { return }
            await change(from: seen)
        }
    }

    /// The bytes of bodies that have come on a stream and were not taken.
    func received(on stream: Int) -> Int {
        inbox.withLockedValue { inbox in
            inbox.frames.reduce(0) { sum, frame in
                guard frame.streamID == HTTP2StreamID(stream), case .data(let data) = frame.payload else { return sum }
                return sum + data.data.readableBytes
            }
        }
    }

    func close() async {
        try? await channel.close()
    }

    private func change(from seen: Int) async {
        await withCheckedContinuation { continuation in
            let isNow = inbox.withLockedValue { inbox in
                if inbox.isClosed || inbox.frames.count != seen { return true }
                inbox.waiter = continuation
                return false
            }
            if isNow { continuation.resume() }
        }
    }
}

extension HTTP2Frame {
    fileprivate var isOfAnswer: Bool {
        switch payload {
        case .headers, .data, .rstStream: true
        default: false
        }
    }
}

/// Hands on what was read; `nil`: nothing more will come.
private final class FrameCollector: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame

    private let deliver: @Sendable (HTTP2Frame?) -> Void

    init(_ deliver: @escaping @Sendable (HTTP2Frame?) -> Void) {
        self.deliver = deliver
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        deliver(unwrapInboundIn(data))
    }

    func channelInactive(context: ChannelHandlerContext) {
        deliver(nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if !(error is NIOHTTP2Errors.StreamError) { context.close(promise: nil) }
    }
}
