internal import NIOCore
internal import NIOHTTP1
internal import PerennialHTTP

/// What carries an exchange: a connection of HTTP/1.1, or a stream of HTTP/2.
///
/// A carrier tells its exchange what has come, and forgets it before it says that the exchange has ended.
protocol OriginCarrier: AnyObject {
    /// Sends a piece of the request's body.
    func send(_ piece: ByteBuffer, promise: EventLoopPromise<Void>)
    /// The request's body is complete.
    func endRequest(trailers: HeaderFields)
    /// The answer's body is wanted again.
    func readOn()
    /// Nobody wants the rest of the answer.
    func cancel()
}

/// One request on its way to an origin and its answer on the way back; lives on one event loop.
///
/// It knows who waits, how much may still be read, and how long each step may take. How messages look on the wire is
/// the carrier's.
final class OriginExchange {
    /// What it waits for, and so what it means when that takes too long.
    private enum Step {
        case place, connection, requestTaken, head, body
    }

    let request: OriginRequest
    let eventLoop: any EventLoop
    private let places: OriginPlaces
    private let timeout: TimeAmount
    private let response: EventLoopPromise<OriginClient.Response>

    private(set) var rank: OriginRank
    private(set) var isOver = false
    /// Whether it ended before its answer did.
    private(set) var wasBrokenOff = false
    private(set) var requestHasEnded: Bool
    /// Whether the origin has agreed to another protocol: bytes go both ways, and nobody waits for an answer.
    private(set) var isTunnel = false
    /// Nothing more of the body is to be read for now.
    private(set) var isHeld = false
    private var hasPlace = false
    private var hasHead = false
    private var carrier: (any OriginCarrier)?
    private var body: OriginBody.Producer.Source?
    private var upload: Task<Void, Never>?
    private var step = Step.place
    /// When `step` has taken too long; `nil`: it may take as long as it likes.
    private var deadline: NIODeadline?
    private var timer: Scheduled<Void>?

    /// - Parameters:
    ///   - timeout: for each step: a place and a connection, a piece of the request, the answer's head, a pause in its
    ///     body.
    ///   - response: gets the answer's head.
    init(
        _ request: OriginRequest, rank: OriginRank, places: OriginPlaces, timeout: TimeAmount,
        on eventLoop: any EventLoop,
        response: EventLoopPromise<OriginClient.Response>
    ) {
        self.request = request
        self.rank = rank
        self.places = places
        self.timeout = timeout
        self.eventLoop = eventLoop
        self.response = response
        requestHasEnded = request.body == nil
        expect(.place)
    }

    /// Takes a place, and calls `proceed` when it has one.
    func enter(then proceed: @escaping () -> Void) {
        if isOver { return }
        let again = NIOLoopBound((exchange: self, proceed: proceed), eventLoop: eventLoop)
        let entry = places.enter(rank) { [eventLoop] in
            eventLoop.execute {
                // Who gave up meanwhile lets the next one try.
                let (exchange, proceed) = again.value
                if exchange.isOver { exchange.places.offer() } else { exchange.enter(then: proceed) }
            }
        }
        switch entry {
        case .entered:
            hasPlace = true
            expect(.connection)
            proceed()
        case .waits: break
        case .refused: fail(OriginBroken(.connectionLimit))
        }
    }

    // MARK: - What the carrier tells

    /// The request's head is on its way.
    func carried(by carrier: any OriginCarrier) {
        self.carrier = carrier
        if let body = request.body {
            deadline = nil
            startUpload(body)
        } else {
            expect(.head)
        }
    }

    func received(interim status: Int, _ fields: HeaderFields) {
        request.extras?.note(interim: status, fields)
    }

    func received(_ head: ResponseHead) {
        guard !isOver, !hasHead else { return }
        hasHead = true
        if head.status == 101 {
            isTunnel = true
            requestHasEnded = false
        }
        if requestHasEnded { expect(.body) } else { deadline = nil }
        let exchange = NIOLoopBound(self, eventLoop: eventLoop)
        let producer = OriginBody.Producer.makeSequence(
            elementType: ByteBuffer.self, failureType: (any Error).self,
            backPressureStrategy: OriginBody.Strategy(lowWatermark: 1, highWatermark: 2), finishOnDeinit: true,
            delegate: OriginBodyDemand(exchange: exchange, eventLoop: eventLoop))
        body = producer.source
        let length = head.fields.first("Content-Length").flatMap { bodyLength($0) }
        response.succeed(
            OriginClient.Response(
                status: head.status, fields: head.fields,
                body: OriginBody(producer.sequence, length: length, of: exchange, on: eventLoop)))
        if isTunnel, !isOver, let tunnel = request.tunnel { startUpload(tunnel.bytes) }
    }

    func received(_ piece: ByteBuffer) {
        guard !isOver, body != nil, piece.readableBytes > 0 else { return }
        if requestHasEnded { expect(.body) }
        hand(piece)
    }

    /// Makes who waits for the next piece of the answer's body look up: it gets an empty one.
    func wakeReader() {
        if !isOver, hasHead { hand(ByteBuffer()) }
    }

    private func hand(_ piece: ByteBuffer) {
        switch body?.yield(piece) {
        case nil: break
        case .produceMore: break
        case .stopProducing:
            isHeld = true
            deadline = nil
        case .dropped: cancel()
        }
    }

    /// The answer is complete. The carrier has forgotten the exchange.
    func ended(trailers: HeaderFields) {
        guard !isOver else { return }
        if !trailers.isEmpty { request.extras?.responseTrailers = passableTrailers(trailers) }
        let body = body
        close()
        body?.finish()
    }

    /// There will be no answer, or no more of it. The carrier has forgotten the exchange.
    func fail(_ error: any Error) {
        guard !isOver else { return }
        wasBrokenOff = true
        let body = body
        close()
        if let body { body.finish(error) } else { response.fail(error) }
    }

    // MARK: - What the other side wants

    /// The answer's body is wanted again.
    func resume() {
        guard isHeld, !isOver else { return }
        isHeld = false
        // The two ends of a tunnel may be silent for as long as the client's connection may be idle.
        if !isTunnel || requestHasEnded { expect(.body) }
        carrier?.readOn()
    }

    /// Nobody wants the answer, or the rest of it, any more.
    func cancel() { giveUp(CancellationError()) }

    /// The answer turned out to be for one client alone.
    /// - Returns: whether it may go to that; `false`: as many pass through as may, and the exchange is over.
    func becomePass(of client: ClientAddress?) -> Bool {
        guard !isOver, hasPlace, rank == .fetch else { return true }
        let pass = OriginRank.pass(client: client)
        guard places.move(to: pass) else {
            giveUp(OriginBroken(.connectionLimit))
            return false
        }
        rank = pass
        return true
    }

    private func giveUp(_ error: any Error) {
        guard !isOver else { return }
        wasBrokenOff = true
        let (body, carrier) = (body, carrier)
        close()
        if let body { body.finish(error) } else { response.fail(error) }
        carrier?.cancel()
    }

    private func close() {
        isOver = true
        timer?.cancel()
        timer = nil
        upload?.cancel()
        upload = nil
        carrier = nil
        body = nil
        if hasPlace { places.leave(rank) }
    }

    // MARK: - The request's body

    private func startUpload(_ pieces: RequestBody) {
        let (eventLoop, exchange) = (eventLoop, NIOLoopBound(self, eventLoop: eventLoop))
        upload = Task {
            do {
                for try await piece in pieces {
                    let sent = eventLoop.makePromise(of: Void.self)
                    eventLoop.execute { exchange.value.send(piece, promise: sent) }
                    try await sent.futureResult.get()
                }
                try Task.checkCancellation()
                eventLoop.execute { exchange.value.endUpload() }
            } catch {
                // The client has gone, or the exchange is over.
                eventLoop.execute { exchange.value.giveUp(error) }
            }
        }
    }

    private func send(_ piece: ByteBuffer, promise: EventLoopPromise<Void>) {
        guard let carrier else { return promise.fail(ChannelError.ioOnClosedChannel) }
        // Once it answers, it may leave the rest of the request.
        if !hasHead || isTunnel { expect(.requestTaken) }
        promise.futureResult.assumeIsolated().whenComplete { _ in
            if self.step == .requestTaken { self.deadline = nil }
        }
        carrier.send(piece, promise: promise)
    }

    private func endUpload() {
        guard !isOver, let carrier else { return }
        requestHasEnded = true
        expect(hasHead ? .body : .head)
        // It is not the origin that pauses.
        if isHeld { deadline = nil }
        carrier.endRequest(trailers: isTunnel ? [:] : request.extras?.requestTrailers ?? [:])
    }

    // MARK: - Time

    /// A step begins that may take as long as the time-out. One timer serves all: it looks again when it has come too
    /// early.
    private func expect(_ step: Step) {
        self.step = step
        deadline = eventLoop.now + timeout
        if timer == nil, !isOver { startTimer(in: timeout) }
    }

    private func startTimer(in delay: TimeAmount) {
        timer = eventLoop.assumeIsolated().scheduleTask(in: delay) { self.checkTime() }
    }

    private func checkTime() {
        timer = nil
        guard !isOver else { return }
        guard let deadline else { return startTimer(in: timeout) }
        let left = deadline - eventLoop.now
        guard left <= .nanoseconds(0) else { return startTimer(in: left) }
        let reason: OriginBroken.Reason =
            switch step {
            case .place: .connectionLimit
            case .connection: .connectionTimeout
            case .requestTaken: .writeTimeout
            case .head: .responseTimeout
            case .body: .readTimeout
            }
        giveUp(OriginBroken(reason))
    }
}
