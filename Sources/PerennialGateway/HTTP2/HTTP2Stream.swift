internal import NIOCore
internal import NIOHPACK
internal import NIOHTTP1
internal import NIOHTTP2
internal import PerennialHTTP

/// Translates between a stream's frames and what ``ConnectionHandler`` reads and writes, so that a request gets the
/// same answer whatever it came by.
///
/// To that handler a stream is a connection that is closed behind its only answer. It writes the head of an answer as
/// the lines of HTTP/1.1, which are prepared, and the body as it is; here the lines become a HEADERS frame and the body
/// DATA frames.
final class HTTP2Stream: ChannelDuplexHandler {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = HTTP2Frame.FramePayload

    /// What is to be sent behind the body of an answer without a length.
    struct Trailers {
        var fields: HeaderFields
    }

    private enum Request {
        case none, begun, ended
        /// Refused: what still comes of it is dropped.
        case refused
    }

    private enum Answer {
        case none
        /// The head has gone; this much of the body is missing, if that is known.
        case begun(left: Int?)
        case ended
    }

    /// For how long the rest of a request is read and dropped that has been answered before its end. Many clients lose
    /// what they have not read of an answer when their stream is reset while they send.
    private static let lingering = TimeAmount.seconds(2)

    private let connection: HTTP2Connection
    private let limits: HeadLimits
    private var isHead = false
    private var request = Request.none
    /// In bytes, what is missing of the request's body, if it has said how long it is.
    private var missing: Int64?
    private var answer = Answer.none
    private var trailers: HeaderFields = [:]
    private var lingerTimer: Scheduled<Void>?

    init(of connection: HTTP2Connection, limits: HeadLimits) {
        self.connection = connection
        self.limits = limits
    }

    func handlerAdded(context: ChannelHandlerContext) {
        connection.streamOpened()
    }

    func channelInactive(context: ChannelHandlerContext) {
        lingerTimer?.cancel()
        lingerTimer = nil
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        connection.streamClosed()
    }

    // MARK: - The request

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .headers(let frame):
            if request == .none {
                begin(frame, context)
            } else if frame.endStream {
                endRequest(context, trailers: HTTPHeaders(frame.headers.map { ($0.name, $0.value) }))
            }
        case .data(let frame):
            guard request == .begun, case .byteBuffer(let bytes) = frame.data else { return }
            if let missing { self.missing = missing - Int64(bytes.readableBytes) }
            if let missing, missing < 0 { return breakRequest(context) }
            if bytes.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(.body(bytes))) }
            if frame.endStream { endRequest(context) }
        default: break
        }
    }

    private func begin(_ frame: HTTP2Frame.FramePayload.Headers, _ context: ChannelHandlerContext) {
        do throws(RequestSyntaxError) {
            let head = try HTTPRequestHead(frame.headers, isWhole: frame.endStream, limits: limits)
            isHead = head.method == .HEAD
            request = .begun
            missing = head.headers.first(name: "content-length").flatMap { bodyLength($0) }
            if frame.endStream, let missing, missing > 0 { return breakRequest(context) }
            context.fireChannelRead(wrapInboundOut(.head(head)))
            if frame.endStream { endRequest(context) }
        } catch {
            request = frame.endStream ? .ended : .refused
            context.fireErrorCaught(error)
        }
    }

    private func endRequest(_ context: ChannelHandlerContext, trailers: HTTPHeaders? = nil) {
        guard request == .begun else { return }
        if let missing, missing > 0 { return breakRequest(context) }
        request = .ended
        context.fireChannelRead(wrapInboundOut(.end(trailers)))
    }

    /// The body is not as long as the request says (RFC 9113 §8.1.1). Some clients end their streams so when they have
    /// seen the head of an answer that makes the rest pointless: they get that answer, and nobody gets the body as a
    /// whole.
    private func breakRequest(_ context: ChannelHandlerContext) {
        request = .ended
        guard case .none = answer else { return }
        answer = .ended
        reset(.protocolError, context)
        context.close(promise: nil)
    }

    // MARK: - The answer

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        var bytes = unwrapOutboundIn(data)
        while case .none = answer {
            guard let head = AnswerHead(readingFrom: &bytes) else {
                // Nothing but whole heads is written.
                promise?.fail(HTTPParserError.invalidEOFState)
                return context.close(promise: nil)
            }
            if !head.isInterim { answer = isHead || !statusHasBody(head.status) ? .ended : .begun(left: head.length) }
            if case .begun(left: 0) = answer { answer = .ended }
            let isLast = bytes.readableBytes == 0 || isEnded
            write(.headers(.init(headers: head.fields, endStream: isEnded)), isLast ? promise : nil, context)
            if isLast { return }
        }
        writeBody(bytes, promise, context)
    }

    private func writeBody(_ bytes: ByteBuffer, _ promise: EventLoopPromise<Void>?, _ context: ChannelHandlerContext) {
        guard case .begun(let left) = answer, bytes.readableBytes > 0 else {
            promise?.succeed()
            return
        }
        if let left { answer = left <= bytes.readableBytes ? .ended : .begun(left: left - bytes.readableBytes) }
        write(.data(.init(data: .byteBuffer(bytes), endStream: isEnded)), promise, context)
    }

    private var isEnded: Bool {
        if case .ended = answer { true } else { false }
    }

    func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
        guard let event = event as? Trailers else {
            return context.triggerUserOutboundEvent(event, promise: promise)
        }
        trailers = event.fields
        promise?.succeed()
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        switch (mode, answer) {
        case (.output, .ended):
            promise?.succeed()
        case (.output, .begun(left: nil)):
            answer = .ended
            if trailers.isEmpty {
                write(.data(.init(data: .byteBuffer(ByteBuffer()), endStream: true)), promise, context)
            } else {
                let fields = HPACKHeaders(trailers.map { ($0.name.lowercased(), $0.value) })
                write(.headers(.init(headers: fields, endStream: true)), promise, context)
            }
            context.flush()
        case (.output, _), (_, .begun):
            // That was not all of it.
            answer = .ended
            reset(.internalError, context)
            context.close(promise: promise)
        default:
            context.close(mode: mode, promise: promise)
        }
    }

    private func write(_ frame: OutboundOut, _ promise: EventLoopPromise<Void>?, _ context: ChannelHandlerContext) {
        guard isEnded && request != .ended else { return context.write(wrapOutboundOut(frame), promise: promise) }
        // The last frame of an answer that came before the end of its request. When the client has had time to see it,
        // it is told that nobody wants the rest (RFC 9113 §8.1).
        let written = promise ?? context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { _ in
            guard self.request != .ended, context.channel.isActive else { return }
            self.lingerTimer = context.eventLoop.assumeIsolated().scheduleTask(in: Self.lingering) {
                guard self.request != .ended, context.channel.isActive else { return }
                self.reset(.noError, context)
                context.close(promise: nil)
            }
        }
        context.write(wrapOutboundOut(frame), promise: written)
    }

    private func reset(_ code: HTTP2ErrorCode, _ context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(.rstStream(code)), promise: nil)
    }
}
