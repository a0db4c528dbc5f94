import NIOCore
import NIOEmbedded
import NIOHPACK
import NIOHTTP2

/// The client's end of a stage's connection that speaks HTTP/2.
final class StageClient {
    /// What came on a stream.
    struct Answer: Equatable {
        var status = ""
        var size = 0
        var hasEnded = false
        var reset: HTTP2ErrorCode?
    }

    let channel: EmbeddedChannel
    private let log = FrameLog()

    var answers: [Int: Answer] { log.answers }
    /// The error of a GOAWAY that is one.
    var goodbye: HTTP2ErrorCode? { log.goodbye }

    /// - Parameter window: how much of a body it takes without a WINDOW_UPDATE.
    init(_ eventLoop: EmbeddedEventLoop, window: Int = 65_535, handlers: [any ChannelHandler] = []) throws {
        channel = EmbeddedChannel(loop: eventLoop)
        let pipeline = channel.pipeline.syncOperations
        for handler in handlers { try pipeline.addHandler(handler) }
        try pipeline.addHandler(
            NIOHTTP2Handler(
                mode: .client, initialSettings: [HTTP2Setting(parameter: .initialWindowSize, value: window)],
                headerBlockValidation: .disabled, contentLengthValidation: .disabled))
        try pipeline.addHandler(log)
    }

    func get(_ stream: Int, _ path: String) {
        begin(stream, "GET", path, isWhole: true)
    }

    func begin(
        _ stream: Int, _ method: String, _ path: String, _ fields: [(String, String)] = [], isWhole: Bool = false
    ) {
        let fields = [(":method", method), (":scheme", "http"), (":authority", "x"), (":path", path)] + fields
        send(.headers(.init(headers: HPACKHeaders(fields), endStream: isWhole)), on: stream)
    }

    func body(_ size: Int, on stream: Int, isLast: Bool = false) {
        let bytes = ByteBuffer(repeating: UInt8(ascii: "b"), count: size)
        send(.data(.init(data: .byteBuffer(bytes), endStream: isLast)), on: stream)
    }

    func send(_ payload: HTTP2Frame.FramePayload, on stream: Int = 0) {
        guard channel.isActive else { return }
        channel.writeAndFlush(HTTP2Frame(streamID: HTTP2StreamID(stream), payload: payload), promise: nil)
    }
}

private final class FrameLog: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame

    var answers: [Int: StageClient.Answer] = [:]
    var goodbye: HTTP2ErrorCode?

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        let stream = Int(frame.streamID)
        var answer = answers[stream] ?? StageClient.Answer()
        switch frame.payload {
        case .headers(let head):
            if let status = head.headers.first(name: ":status") { answer.status += status }
            answer.hasEnded = head.endStream
        case .data(let data):
            answer.size += data.data.readableBytes
            answer.hasEnded = data.endStream
        case .rstStream(let code): answer.reset = code
        case .goAway(_, let code, _):
            if code != .noError { goodbye = code }
            return
        default: return
        }
        answers[stream] = answer
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}
