internal import NIOCore
internal import NIOHPACK
internal import NIOHTTP1
internal import NIOHTTP2
internal import PerennialHTTP

/// A connection to an origin that speaks HTTP/2: carries many exchanges at a time, each in a stream of its own.
///
/// A connection that somebody between has forgotten looks alive and is silent. So while exchanges are under way and
/// nothing comes, the origin is asked for a sign of life (PING, RFC 9113 §6.7); without one the connection is given up.
final class HTTP2OriginConnection: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame

    private let pool: OriginPool
    /// How long it may be silent before it is asked, and how long the sign of life may take.
    private let patience: TimeAmount
    private var context: ChannelHandlerContext?
    private var multiplexer: NIOHTTP2Handler.StreamMultiplexer?
    private var streams: [ObjectIdentifier: HTTP2OriginStream] = [:]
    private var opened = 0
    private var lastReceived: NIODeadline
    /// How many streams the origin takes at a time; before it has said so, as many as RFC 9113 §6.5.2 recommends it to
    /// take at least.
    private var mostStreams = 100
    private var pingSentAt: NIODeadline?
    private var timer: Scheduled<Void>?
    /// The origin takes no more requests here (GOAWAY, RFC 9113 §6.8).
    private var isLeaving = false
    private(set) var idleSince: NIODeadline

    private init(pool: OriginPool) {
        self.pool = pool
        lastReceived = pool.eventLoop.now
        idleSince = lastReceived
        patience = min(.seconds(5), .nanoseconds(pool.timeout.nanoseconds / 4))
    }

    /// Sets up what speaks HTTP/2, at the end of the channel's handlers.
    static func add(to channel: any Channel, pool: OriginPool) throws -> HTTP2OriginConnection {
        let pipeline = channel.pipeline.syncOperations
        var settings = NIOHTTP2Handler.ConnectionConfiguration()
        settings.initialSettings = [
            HTTP2Setting(parameter: .enablePush, value: 0),
            HTTP2Setting(parameter: .maxHeaderListSize, value: ResponseDecoder.largestHead),
            HTTP2Setting(parameter: .initialWindowSize, value: 256 << 10),
        ]
        settings.targetWindowSize = 1 << 20
        var streams = NIOHTTP2Handler.StreamConfiguration()
        streams.targetWindowSize = 256 << 10
        streams.outboundBufferSizeHighWatermark = 64 << 10
        streams.outboundBufferSizeLowWatermark = 32 << 10
        let connection = HTTP2OriginConnection(pool: pool)
        try pipeline.addHandler(ReceivedBytes(connection))
        // Nobody pushes here.
        connection.multiplexer = try pipeline.configureHTTP2Pipeline(
            mode: .client, connectionConfiguration: settings, streamConfiguration: streams
        ) { stream in stream.close() }
        try pipeline.addHandler(connection)
        return connection
    }

    var isOpen: Bool { !isLeaving && context?.channel.isActive == true }

    /// Whether another exchange may begin here: the origin takes more, and shows that it is there.
    var takesMore: Bool {
        guard isOpen, streams.count < mostStreams else { return false }
        // The way there and back is no silence yet.
        return pingSentAt.map { pool.eventLoop.now - $0 < min(.seconds(1), patience) } ?? true
    }

    var isIdle: Bool { streams.isEmpty }

    func start(_ exchange: OriginExchange) {
        guard let multiplexer, context != nil else {
            return exchange.fail(OriginBroken(.connectionTerminated))
        }
        opened += 1
        let loop = exchange.eventLoop
        let new = HTTP2OriginStream(exchange, connection: self, isReused: opened > 1)
        streams[ObjectIdentifier(new)] = new
        startTimer()
        let stream = NIOLoopBound(new, eventLoop: loop)
        let created = loop.makePromise(of: (any Channel).self)
        multiplexer.createStreamChannel(promise: created) { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(stream.value)
            }
        }
        created.futureResult.assumeIsolated().whenComplete { result in
            switch result {
            case .success: stream.value.begin()
            case .failure(let error): stream.value.couldNotBegin(error)
            }
        }
    }

    func close() { context?.close(promise: nil) }

    /// Takes no more exchanges, and closes behind the last one.
    func closeWhenIdle() {
        isLeaving = true
        if streams.isEmpty { close() }
    }

    fileprivate func closed(_ stream: HTTP2OriginStream) {
        streams[ObjectIdentifier(stream)] = nil
        pool.hasRoom(self)
        guard streams.isEmpty else { return }
        idleSince = pool.eventLoop.now
        if isLeaving { close() }
    }

    fileprivate func received() {
        lastReceived = pool.eventLoop.now
        guard pingSentAt != nil else { return }
        // Any frame is a sign of life.
        pingSentAt = nil
    }

    // MARK: - The sign of life

    private func startTimer() {
        guard timer == nil, let context else { return }
        // A silence from before these exchanges counts: what has been idle for long may be dead.
        let silence = pool.eventLoop.now - lastReceived
        if silence >= patience {
            ask(context)
        }
        scheduleCheck(in: patience)
    }

    private func scheduleCheck(in delay: TimeAmount) {
        timer = pool.eventLoop.assumeIsolated().scheduleTask(in: delay) { self.check() }
    }

    private func check() {
        timer = nil
        guard let context, !streams.isEmpty else { return }
        if let pingSentAt {
            if pool.eventLoop.now - pingSentAt >= patience { return giveUp(context) }
        } else if pool.eventLoop.now - lastReceived >= patience {
            ask(context)
        }
        scheduleCheck(in: patience)
    }

    private func ask(_ context: ChannelHandlerContext) {
        pingSentAt = pool.eventLoop.now
        let ping = HTTP2Frame(streamID: .rootStream, payload: .ping(HTTP2PingData(withInteger: 1), ack: false))
        context.writeAndFlush(wrapOutboundOut(ping), promise: nil)
    }

    private func giveUp(_ context: ChannelHandlerContext) {
        isLeaving = true
        pool.hasClosed(self)
        // Closing waits for the other side, which is silent: nobody here waits with it.
        for stream in streams.values { stream.abandon() }
        context.close(promise: nil)
    }

    // MARK: - The channel

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data).payload {
        case .goAway:
            isLeaving = true
            pool.hasClosed(self)
            if streams.isEmpty { context.close(promise: nil) }
        case .settings(.settings(let settings)):
            guard let most = settings.last(where: { $0.parameter == .maxConcurrentStreams }) else { return }
            mostStreams = most.value
            pool.hasRoom(self)
        default: break
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // Of a stream: it hears of it by itself.
        if error is NIOHTTP2Errors.StreamError { return }
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        timer = nil
        isLeaving = true
        pool.hasClosed(self)
        self.context = nil
        context.fireChannelInactive()
    }
}

/// Notes that the origin has sent something, before anybody reads what it is.
private final class ReceivedBytes: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private weak var connection: HTTP2OriginConnection?

    init(_ connection: HTTP2OriginConnection) {
        self.connection = connection
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        connection?.received()
        context.fireChannelRead(data)
    }
}

/// An exchange in a stream of HTTP/2 (RFC 9113 §8).
private final class HTTP2OriginStream: ChannelDuplexHandler, OriginCarrier {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias OutboundIn = Never
    typealias OutboundOut = HTTP2Frame.FramePayload

    private let connection: HTTP2OriginConnection
    private let isReused: Bool
    private let request: OriginRequest
    private var exchange: OriginExchange?
    private var context: ChannelHandlerContext?
    private var hasReceived = false
    private var hasHead = false
    private var readIsHeld = false
    private var isCounted = true
    private var trailers: HeaderFields = [:]
    /// What broke the stream, to be said at its end.
    private var error: (any Error)?

    init(_ exchange: OriginExchange, connection: HTTP2OriginConnection, isReused: Bool) {
        self.exchange = exchange
        self.connection = connection
        self.isReused = isReused
        request = exchange.request
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    /// The stream is there: sends the request's head.
    func begin() {
        guard let exchange, !exchange.isOver, let context else {
            exchange = nil
            return reset()
        }
        var fields = HPACKHeaders()
        fields.reserveCapacity(request.fields.count + 5)
        fields.add(name: ":method", value: request.method.rawValue)
        fields.add(name: ":scheme", value: connection.scheme)
        fields.add(name: ":authority", value: request.host)
        fields.add(name: ":path", value: request.target)
        for field in request.fields {
            let name = field.name.lowercased()
            let isSecret = name == "authorization" || name == "cookie"
            let value = field.value.withFieldBytes { String(fieldBytesAsCharacters: $0) }
            fields.add(name: name, value: value, indexing: isSecret ? .neverIndexed : .indexable)
        }
        if let length = request.announcedLength { fields.add(name: "content-length", value: String(length)) }
        exchange.carried(by: self)
        let payload = HTTP2Frame.FramePayload.headers(.init(headers: fields, endStream: exchange.requestHasEnded))
        context.writeAndFlush(wrapOutboundOut(payload), promise: nil)
    }

    /// The connection is given up.
    func abandon() {
        let lost = exchange
        exchange = nil
        lost?.fail(self.lost(nil))
    }

    func couldNotBegin(_ error: any Error) {
        leave()
        let broken = exchange
        exchange = nil
        broken?.fail(lost(error))
    }

    // MARK: - The carrier

    func send(_ piece: ByteBuffer, promise: EventLoopPromise<Void>) {
        guard let context else { return promise.fail(ChannelError.ioOnClosedChannel) }
        context.writeAndFlush(wrapOutboundOut(.data(.init(data: .byteBuffer(piece)))), promise: promise)
    }

    func endRequest(trailers: HeaderFields) {
        guard let context else { return }
        let payload: HTTP2Frame.FramePayload
        if trailers.isEmpty {
            payload = .data(.init(data: .byteBuffer(ByteBuffer()), endStream: true))
        } else {
            let fields = HPACKHeaders(trailers.map { ($0.name.lowercased(), $0.value) })
            payload = .headers(.init(headers: fields, endStream: true))
        }
        context.writeAndFlush(wrapOutboundOut(payload), promise: nil)
    }

    func readOn() {
        guard readIsHeld, let context else { return }
        readIsHeld = false
        context.read()
    }

    func cancel() {
        exchange = nil
        reset()
    }

    private func reset() {
        guard let context, context.channel.isActive else { return }
        context.writeAndFlush(wrapOutboundOut(.rstStream(.cancel)), promise: nil)
        context.close(promise: nil)
    }

    // MARK: - The channel

    func read(context: ChannelHandlerContext) {
        if exchange?.isHeld == true { readIsHeld = true } else { context.read() }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        hasReceived = true
        guard exchange != nil else { return }
        switch unwrapInboundIn(data) {
        case .headers(let frame): received(frame)
        case .data(let frame):
            if case .byteBuffer(let bytes) = frame.data { exchange?.received(bytes) }
            if frame.endStream { end() }
        default: break
        }
    }

    private func received(_ frame: HTTP2Frame.FramePayload.Headers) {
        let fields = HeaderFields(
            frame.headers.lazy.filter { $0.name.utf8.first != UInt8(ascii: ":") }.map {
                ($0.name, $0.value.asFieldText)
            })
        if hasHead {
            trailers = fields
        } else {
            guard let status = frame.headers.first(name: ":status").flatMap({ Int($0) }) else {
                return breakOff(ResponseProblem.syntax)
            }
            if (100...199).contains(status) {
                guard status != 101 else { return breakOff(ResponseProblem.status) }
                exchange?.received(interim: status, fields)
                return
            }
            if let problem = responseProblem(status: status, fields: fields, isOldVersion: false) {
                return breakOff(problem)
            }
            hasHead = true
            exchange?.received(ResponseHead(status: status, fields: fields))
            // What such a response has behind its head is nobody's body (RFC 9110 §6.4.1).
            if request.method == .HEAD || !statusHasBody(status) {
                if frame.endStream { return end() }
                end()
                return reset()
            }
        }
        if frame.endStream { end() }
    }

    private func end() {
        let ended = exchange
        exchange = nil
        ended?.ended(trailers: trailers)
        // The rest of the request is not wanted any more (RFC 9113 §8.1).
        if ended?.requestHasEnded == false { reset() }
    }

    private func breakOff(_ problem: any Error) {
        let broken = exchange
        exchange = nil
        broken?.fail(OriginBroken(answering: problem))
        reset()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if self.error == nil { self.error = error }
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        leave()
        let broken = exchange
        exchange = nil
        self.context = nil
        broken?.fail(lost(error))
        context.fireChannelInactive()
    }

    private func leave() {
        guard isCounted else { return }
        isCounted = false
        connection.closed(self)
    }

    private func lost(_ error: (any Error)?) -> OriginBroken {
        if hasReceived { return OriginBroken(answering: error ?? ResponseProblem.length) }
        var broken = OriginBroken(.connectionTerminated, seen: error.map { String(describing: $0) })
        broken.isStaleConnection = isReused
        return broken
    }
}

extension HTTP2OriginConnection {
    fileprivate var scheme: String { pool.scheme }
}
