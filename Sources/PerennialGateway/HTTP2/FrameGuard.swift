internal import NIOCore

/// Stands before the library's part of an HTTP/2 connection and sees to what that does not: heads that don't come to
/// their end, too many frames of whatever kind, and heads that come before the client has heard of the gateway's
/// settings (``FirstSettings``).
final class FrameGuard: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// For how long a client that is told to go may read that.
    private static let farewell = TimeAmount.seconds(1)
    private static let enhanceYourCalm: UInt32 = 0xb

    private let headTimeout: TimeAmount
    private let eventLoop: any EventLoop
    private var scanner = FrameScanner()
    private var budget: FrameBudget
    private var settings = FirstSettings()
    private var lastStream: UInt32 = 0
    private var isEnded = false
    private var context: ChannelHandlerContext?
    /// Runs while a head has come in part; which one.
    private var headTimer: (timer: Scheduled<Void>, head: Int)?
    private var closeTimer: Scheduled<Void>?
    /// The library flushes at the end of a read. If that fails since the client has gone, the channel closes; at the
    /// end of all that a client sent, NIO does not expect this to happen within its call, so it is done after it.
    private var isInReadComplete = false

    init(headTimeout: TimeAmount, eventLoop: any EventLoop) {
        self.headTimeout = headTimeout
        self.eventLoop = eventLoop
        budget = FrameBudget(now: eventLoop.now)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { self.context = context }
    }

    func channelInactive(context: ChannelHandlerContext) {
        isEnded = true
        self.context = nil
        headTimer?.timer.cancel()
        closeTimer?.cancel()
        (headTimer, closeTimer) = (nil, nil)
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if isEnded { return }
        let bytes = unwrapInboundIn(data)
        guard look(at: bytes) else { return sayGoodbye() }
        watchHead()
        let filtered = settings.filter(bytes)
        if filtered.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(filtered)) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isInReadComplete = true
        context.fireChannelReadComplete()
        isInReadComplete = false
    }

    func flush(context: ChannelHandlerContext) {
        guard isInReadComplete else { return context.flush() }
        eventLoop.assumeIsolated().execute { self.context?.flush() }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        budget.noteSent(unwrapOutboundIn(data).readableBytes)
        context.write(data, promise: promise)
    }

    /// - Returns: whether the client may go on.
    private func look(at bytes: ByteBuffer) -> Bool {
        var rest = bytes.readableBytesView
        while !rest.isEmpty {
            guard let frame = scanner.take(&rest) else { continue }
            if frame.kind == .headers { lastStream = max(lastStream, frame.stream) }
            guard budget.take(frame, at: eventLoop.now) else { return false }
        }
        return true
    }

    private func watchHead() {
        if let (timer, head) = headTimer {
            if scanner.isWithinHead && head == scanner.heads { return }
            timer.cancel()
            headTimer = nil
        }
        guard scanner.isWithinHead, context != nil else { return }
        let timer = eventLoop.assumeIsolated().scheduleTask(in: headTimeout) {
            self.headTimer = nil
            self.sayGoodbye()
        }
        headTimer = (timer, scanner.heads)
    }

    /// Tells the client that it asks too much, and closes (RFC 9113 §6.8). The frame goes past the library, which has
    /// no word in this.
    private func sayGoodbye() {
        guard let context, !isEnded else { return }
        isEnded = true
        headTimer?.timer.cancel()
        headTimer = nil
        closeTimer = eventLoop.assumeIsolated().scheduleTask(in: Self.farewell) { self.context?.close(promise: nil) }
        var frame = ByteBuffer(bytes: [0, 0, 8, 7, 0, 0, 0, 0, 0])
        frame.writeInteger(lastStream)
        frame.writeInteger(Self.enhanceYourCalm)
        context.writeAndFlush(wrapOutboundOut(frame), promise: nil)
    }
}
