internal import Logging
internal import NIOCore
internal import NIOHTTP2
internal import NIOTLS
internal import PerennialHTTP

/// What every client's connection can be told, whatever it speaks.
protocol ClientConnection: AnyObject {
    /// No more requests: closes behind what is being answered.
    func drain()
    /// Closes at once.
    func abort()
}

/// The beginning of a connection: finds out what the client speaks, sets up the handlers for that, and goes.
///
/// Behind TLS the handshake says it. Without, the first bytes do: HTTP/2 begins with a fixed line that no request of
/// HTTP/1.1 has (RFC 9113 §3.4).
final class ProtocolDetector: ChannelInboundHandler, RemovableChannelHandler, ClientConnection {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    private let service: GatewayService
    private let loop: LoopState
    private let isSecure: Bool
    private var isDone = false
    /// There are too many connections for another one.
    private var isRefused = false
    private var received = ByteBuffer()
    private var context: ChannelHandlerContext?
    private var idleTimer: Scheduled<Void>?

    init(service: GatewayService, loop: LoopState, isSecure: Bool) {
        self.service = service
        self.loop = loop
        self.isSecure = isSecure
    }

    func channelActive(context: ChannelHandlerContext) {
        self.context = context
        let connections = service.connections
        let client = ClientAddress(context.channel.remoteAddress)
        isRefused = !connections.enter(client)
        context.channel.closeFuture.whenComplete { _ in connections.leave(client) }
        idleTimer = loop.eventLoop.assumeIsolated().scheduleTask(in: service.idleTimeout) { self.abort() }
        if isRefused { loop.counters.connectionRefused() }
        // Closes it at once when the gateway is being stopped.
        loop.add(self)
        if isRefused && isSecure { abort() }
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        if isSecure && !isDone && !isRefused { loop.counters.handshakeFailed() }
        leave()
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .some(.handshakeCompleted(let negotiated)) = event as? TLSUserEvent {
            setUp(negotiated == "h2" ? addHTTP2 : addHTTP1, context)
        } else if case .some(ChannelEvent.inputClosed) = event as? ChannelEvent, !isDone {
            abort()
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if isSecure || isDone { return context.fireChannelRead(data) }
        if isRefused { return refuse(context) }
        var bytes = unwrapInboundIn(data)
        received.writeBuffer(&bytes)
        let start = received.readableBytesView.prefix(Self.preface.count)
        guard Self.preface.starts(with: start) else { return setUp(addHTTP1, context) }
        if start.count == Self.preface.count { setUp(addHTTP2, context) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        let client = context.channel.remoteAddress
        if isSecure, !isDone, let reason = refusalOfClient(error), let others = loop.mayLogRefusal() {
            service.responder.logger.notice(
                "a client was refused: \(reason)",
                metadata: [
                    "client": "\(client?.ipAddress ?? client?.description ?? "-")", "error": "\(error)",
                    "others": "\(others)",
                ])
        }
        abort()
    }

    /// Says that there are too many, once the client has said something: what lay unread would take the answer away
    /// with it.
    private func refuse(_ context: ChannelHandlerContext) {
        isDone = true
        let reply = Reply.own(
            503, "There are too many connections. Try again in a moment.",
            cacheStatus: CacheStatus(detail: "too-many-connections"), now: service.responder.now,
            retryAfter: .seconds(1))
        var bytes = reply.head
        bytes.writeStaticString("Connection: close\r\n\r\n")
        bytes.writeImmutableBuffer(reply.body)
        loop.counters.answered(.error, status: 503, isRead: true)
        idleTimer?.cancel()
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { _ in
            guard let context = self.context else { return }
            self.idleTimer = self.loop.eventLoop.assumeIsolated().scheduleTask(in: .seconds(2)) { self.abort() }
            context.close(mode: .output, promise: nil)
        }
        context.writeAndFlush(wrapOutboundOut(bytes), promise: written)
    }

    func drain() { abort() }

    func abort() {
        context?.close(promise: nil)
    }

    /// Adds the handlers, hands on what was read, and leaves.
    private func setUp(_ add: (ChannelHandlerContext) throws -> Void, _ context: ChannelHandlerContext) {
        guard !isDone, self.context != nil else { return }
        isDone = true
        let bytes = received
        received = ByteBuffer()
        do {
            try add(context)
        } catch {
            return abort()
        }
        // The first words of what was added may have found the client gone.
        guard self.context != nil else { return }
        leave()
        if bytes.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(bytes)) }
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    private func leave() {
        context = nil
        idleTimer?.cancel()
        idleTimer = nil
        loop.remove(self)
    }

    private func addHTTP1(_ context: ChannelHandlerContext) throws {
        let pipeline = context.pipeline.syncOperations
        let connection = ConnectionHandler(service: service, loop: loop)
        try pipeline.addHandler(RequestDecoder(limits: service.limits, connection: connection))
        try pipeline.addHandler(connection)
    }

    private func addHTTP2(_ context: ChannelHandlerContext) throws {
        try HTTP2Connection.add(to: context.channel, service: service, loop: loop)
    }
}
