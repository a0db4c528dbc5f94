internal import NIOCore
internal import NIOHTTP2
internal import PerennialHTTP

/// One client's HTTP/2 connection: knows how many streams are open, and ends it when it was idle for too long or the
/// gateway stops.
///
/// Each stream is to ``ConnectionHandler`` a connection with a single request; what is special about HTTP/2 is in
/// ``HTTP2Stream``.
final class HTTP2Connection: ChannelInboundHandler, ClientConnection {
    typealias InboundIn = HTTP2Frame

    /// How long a client may take to say that it has seen the end coming (a PING's way there and back).
    private static let farewell = TimeAmount.seconds(5)
    /// Larger heads end the connection. Those between the gateway's limit and this get an answer that says so.
    private static func largestHead(_ limits: HeadLimits) -> Int { 2 * limits.size }

    private let service: GatewayService
    private let loop: LoopState
    private var context: ChannelHandlerContext?
    private var openStreams = 0
    private var inputIsClosed = false
    private var idleSince: NIODeadline
    private var idleTimer: Scheduled<Void>?

    private init(service: GatewayService, loop: LoopState) {
        self.service = service
        self.loop = loop
        idleSince = loop.eventLoop.now
    }

    /// Sets up what speaks HTTP/2, at the end of the channel's handlers.
    static func add(to channel: any Channel, service: GatewayService, loop: LoopState) throws {
        let pipeline = channel.pipeline.syncOperations
        // Says GOAWAY twice, so that no request that is on its way is lost (RFC 9113 §6.8).
        let farewells = NIOHTTP2ServerConnectionManagementHandler(
            eventLoop: loop.eventLoop,
            configuration: .init(maxIdleTime: nil, maxAge: nil, maxGraceTime: nil, keepalive: nil))
        let connection = HTTP2Connection(service: service, loop: loop)
        let bound = NIOLoopBound(connection, eventLoop: loop.eventLoop)
        // The library's limits hold on resets, broken streams, PING, SETTINGS and PRIORITY (200 in 30 seconds each), on
        // CONTINUATION and empty DATA in a row, on streams at a time (100), and on unread data (65,535 bytes a
        // connection); on all other frames, and on the time that a head may take, those of ``FrameGuard``.
        var settings = NIOHTTP2Handler.ConnectionConfiguration()
        // ``HTTP2Stream`` counts: a client that stops sending because it has its answer is not to lose that.
        settings.contentLengthValidation = .disabled
        settings.initialSettings = [
            HTTP2Setting(parameter: .maxConcurrentStreams, value: 100),
            HTTP2Setting(parameter: .maxHeaderListSize, value: largestHead(service.limits)),
        ]
        var streams = NIOHTTP2Handler.StreamConfiguration()
        streams.outboundBufferSizeHighWatermark = 64 << 10
        streams.outboundBufferSizeLowWatermark = 32 << 10
        try pipeline.addHandler(FrameGuard(headTimeout: service.headTimeout, eventLoop: loop.eventLoop))
        _ = try pipeline.configureHTTP2Pipeline(
            mode: .server, connectionConfiguration: settings, streamConfiguration: streams,
            streamDelegate: StreamBalance(farewells.http2StreamDelegate, eventLoop: loop.eventLoop)
        ) { stream in
            stream.eventLoop.makeCompletedFuture {
                let connection = bound.value
                let pipeline = stream.pipeline.syncOperations
                try pipeline.addHandler(HTTP2Stream(of: connection, limits: connection.service.limits))
                try pipeline.addHandler(
                    ConnectionHandler(service: connection.service, loop: connection.loop, isStream: true))
            }
        }
        try pipeline.addHandler(farewells)
        try pipeline.addHandler(connection)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        // What the library said first may have found the client gone.
        guard context.channel.isActive else { return }
        self.context = context
        startIdleTimer(in: service.idleTimeout)
        // Says goodbye at once when the gateway is being stopped.
        loop.add(self)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.context = nil
        idleTimer?.cancel()
        idleTimer = nil
        loop.remove(self)
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .some(ChannelEvent.inputClosed) = event as? ChannelEvent {
            inputIsClosed = true
            if openStreams == 0 {
                abort()
            } else {
                // It can give no more windows and confirm nothing, so what does not reach it at once never will.
                idleTimer?.cancel()
                idleTimer = loop.eventLoop.assumeIsolated().scheduleTask(in: Self.farewell) { self.abort() }
            }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if !isMalformedRequest(error) { abort() }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // Frames about the connection as a whole have been dealt with.
    }

    func streamOpened() {
        openStreams += 1
    }

    func streamClosed() {
        openStreams -= 1
        guard openStreams == 0 else { return }
        idleSince = loop.eventLoop.now
        if inputIsClosed { abort() }
    }

    func drain() {
        context?.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
    }

    func abort() {
        context?.close(promise: nil)
    }

    private func startIdleTimer(in delay: TimeAmount) {
        idleTimer = loop.eventLoop.assumeIsolated().scheduleTask(in: delay) { self.checkIdle() }
    }

    private func checkIdle() {
        if openStreams > 0 { return startIdleTimer(in: service.idleTimeout) }
        let left = idleSince + service.idleTimeout - loop.eventLoop.now
        if left > .nanoseconds(0) { return startIdleTimer(in: left) }
        let farewell = min(Self.farewell, service.idleTimeout)
        idleTimer = loop.eventLoop.assumeIsolated().scheduleTask(in: farewell) { self.abort() }
        drain()
    }
}

/// Whether what went wrong is one request, whose stream has been reset, and not the connection (RFC 9113 §8.1.1).
private func isMalformedRequest(_ error: any Error) -> Bool {
    switch error {
    case is NIOHTTP2Errors.InvalidPseudoHeaders, is NIOHTTP2Errors.InvalidPseudoHeaderValue,
        is NIOHTTP2Errors.PseudoHeaderAfterRegularHeader, is NIOHTTP2Errors.UnknownPseudoHeader,
        is NIOHTTP2Errors.DuplicatePseudoHeader, is NIOHTTP2Errors.MissingPseudoHeader,
        is NIOHTTP2Errors.EmptyPathHeader, is NIOHTTP2Errors.ForbiddenHeaderField,
        is NIOHTTP2Errors.InvalidHTTP2HeaderFieldName, is NIOHTTP2Errors.InvalidHTTP2HeaderFieldValue:
        true
    default: false
    }
}
