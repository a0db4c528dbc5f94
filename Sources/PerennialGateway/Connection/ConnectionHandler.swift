internal import NIOCore
internal import NIOHTTP1
internal import Perennial
internal import PerennialHTTP

/// One client's connection: takes requests in their order, one at a time, and answers each before it looks at the next.
///
/// What the memory tier has is answered here, on the event loop that read the request. Everything else goes to a task
/// (``Responder``), which writes back through ``ResponseWriter``. While a task is at it, nothing more is read than was read
/// already, so a client that sends faster than it is answered is slowed down by its own socket.
final class ConnectionHandler: ChannelDuplexHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// What came in and waits for its turn.
    private enum Inbound {
        case part(HTTPServerRequestPart)
        /// The bytes that followed are no request; the status to say so with.
        case malformed(Int)
    }

    /// A request that a task is answering.
    struct Exchange {
        var isRead: Bool
        var isOldVersion: Bool
        /// Whether the connection may stay open behind it.
        var keepsAlive: Bool
        var requestHasEnded: Bool
        var responseHasEnded = false
        var body: RequestBody.Producer.Source?
        var task: Task<Void, Never>?
        /// Set while a body is streamed.
        var framing: Framing?
    }

    let service: GatewayService
    let loop: LoopState
    var context: ChannelHandlerContext?
    /// Answers not yet given to the channel.
    var out = ByteBuffer()
    var exchange: Exchange?
    var isClosing = false
    var inputIsClosed = false
    /// Within a read: what is written now is flushed at its end.
    var isInRead = false
    /// When the client last sent or took something.
    var lastProgress = NIODeadline.now()
    /// Writes that wait for the client to take them, as far as they are watched.
    var unfinishedWrites = 0

    private var waiting = CircularBuffer<Inbound>()
    /// A request's head whose end has not come.
    private var head: HTTPRequestHead?
    private var readIsHeld = false
    private var bodyIsFull = false
    private var idleTimer: Scheduled<Void>?

    init(service: GatewayService, loop: LoopState) {
        self.service = service
        self.loop = loop
    }

    // MARK: The channel's life

    func channelActive(context: ChannelHandlerContext) {
        self.context = context
        loop.add(self)
        startIdleTimer(in: service.idleTimeout)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        isClosing = true
        idleTimer?.cancel()
        exchange?.body?.finish(RequestBroken())
        // A flight goes on without its reader; what passes through ends with it.
        exchange?.task?.cancel()
        exchange = nil
        waiting.removeAll()
        loop.remove(self)
        self.context = nil
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .some(ChannelEvent.inputClosed) = event as? ChannelEvent {
            inputIsClosed = true
            if isClosing {
                context.close(promise: nil)
            } else if exchange?.requestHasEnded == false {
                abort()
            } else if exchange == nil && waiting.isEmpty {
                closeWhenWritten()
            }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? HTTPParserError else { return abort() }
        if exchange?.requestHasEnded == false { return abort() }
        enqueue(.malformed(status(for: error)))
    }

    private func status(for error: HTTPParserError) -> Int {
        switch error {
        case .headerOverflow: 431
        case .invalidVersion: 505
        default: 400
        }
    }

    // MARK: Reading

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        isInRead = true
        lastProgress = .now()
        enqueue(.part(unwrapInboundIn(data)))
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isInRead = false
        writeOut()
        context.fireChannelReadComplete()
    }

    func read(context: ChannelHandlerContext) {
        if isHolding { readIsHeld = true } else { context.read() }
    }

    /// Whether there is enough to do before more is read.
    private var isHolding: Bool {
        if isClosing { return false }
        return !waiting.isEmpty || bodyIsFull || exchange?.requestHasEnded == true
    }

    private func readOn() {
        guard readIsHeld, !isHolding, let context else { return }
        readIsHeld = false
        context.read()
    }

    func bodyIsWanted() {
        bodyIsFull = false
        readOn()
    }

    private func enqueue(_ inbound: Inbound) {
        if waiting.isEmpty && canTake { take(inbound) } else if !isClosing { waiting.append(inbound) }
    }

    /// Whether the next thing that came can be looked at: nothing is being answered, or it belongs to that; and the client
    /// takes what it gets.
    private var canTake: Bool {
        if isClosing { return false }
        if let exchange { return !exchange.requestHasEnded }
        return context?.channel.isWritable ?? false
    }

    private func takeWaiting() {
        while canTake, let next = waiting.popFirst() { take(next) }
        if !isInRead { writeOut() }
        if inputIsClosed && exchange == nil && waiting.isEmpty { closeWhenWritten() }
        readOn()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        lastProgress = .now()
        if exchange == nil && !waiting.isEmpty && context.channel.isWritable { takeWaiting() }
        context.fireChannelWritabilityChanged()
    }

    private func take(_ inbound: Inbound) {
        switch inbound {
        case .malformed(let status):
            refuse(status, badRequest(status), detail: "bad-request", isRead: true)
        case .part(.head(let head)):
            if hasBody(head.headers) { dispatch(head, hasEnded: false) } else { self.head = head }
        case .part(.body(let piece)):
            guard let body = exchange?.body else { return }
            if case .stopProducing = body.yield(piece) { bodyIsFull = true }
        case .part(.end):
            if let head {
                self.head = nil
                dispatch(head, hasEnded: true)
            } else if exchange != nil {
                exchange?.requestHasEnded = true
                exchange?.body?.finish()
                bodyIsFull = false
                if exchange?.responseHasEnded == true { endExchange() }
            }
        }
    }

    private func badRequest(_ status: Int) -> String {
        switch status {
        case 431: "The request's fields are too large for this gateway. Send fewer or shorter ones."
        case 505: "This gateway speaks HTTP/1.1 and HTTP/1.0."
        default: "This is not a valid HTTP request."
        }
    }

    // MARK: One request

    private func dispatch(_ head: HTTPRequestHead, hasEnded: Bool) {
        let isRead = head.method == .GET || head.method == .HEAD
        if let complaint = complaint(about: head) {
            return refuse(complaint.status, complaint.text, detail: "bad-request", isRead: isRead)
        }
        let key: String
        do {
            key = try service.keys.key(forTarget: head.uri)
        } catch {
            return refuse(error.kind.rawValue, error.description, detail: "bad-address", isRead: isRead)
        }
        if hasEnded && isPlain(head) {
            if answerFromMemory(key, head, fields: nil) { return }
            return begin(head, key: key, fields: HeaderFields(head.headers), plan: .cache, hasEnded: true)
        }
        let fields = HeaderFields(head.headers)
        let plan = plan(method: head.method, fields: fields, allowances: service.responder.allowances)
        switch plan {
        case .cacheConditionally where hasEnded && answerFromMemory(key, head, fields: fields): break
        case .cache where hasEnded && answerFromMemory(key, head, fields: nil): break
        // The response to it must not be kept, but what is kept may answer it.
        case .pass(.request, _) where hasEnded && answerFromMemory(key, head, fields: nil): break
        default: begin(head, key: key, fields: fields, plan: plan, hasEnded: hasEnded)
        }
    }

    private func complaint(about head: HTTPRequestHead) -> (status: Int, text: String)? {
        if head.method == .CONNECT { return (501, "This gateway makes no tunnels.") }
        if head.isOldVersion { return nil }
        var hosts = 0
        for (name, _) in head.headers where name.utf8.count == 4 && name.lowercased() == "host" { hosts += 1 }
        return hosts == 1 ? nil : (400, "The request has \(hosts) Host fields; it must have one.")
    }

    /// Hands the request to a task.
    private func begin(_ head: HTTPRequestHead, key: String, fields: HeaderFields, plan: Plan, hasEnded: Bool) {
        guard context != nil else { return }
        let bound = NIOLoopBound(self, eventLoop: loop.eventLoop)
        var exchange = Exchange(
            isRead: head.method == .GET || head.method == .HEAD, isOldVersion: head.isOldVersion,
            keepsAlive: keepsAlive(head), requestHasEnded: hasEnded)
        var request = ClientRequest(
            method: head.method, key: key, fields: fields, isOldVersion: exchange.isOldVersion)
        if !hasEnded {
            let length = head.headers.first(name: "Content-Length").flatMap { Int64($0) }
            let isChunked = head.headers.contains(name: "Transfer-Encoding")
            let (body, source) = RequestBody.make(
                length: isChunked ? nil : length,
                demand: RequestBodyDemand(eventLoop: loop.eventLoop, connection: bound))
            request.body = body
            exchange.body = source
            if head.headers["Expect"].contains(where: { $0.lowercased() == "100-continue" }) {
                out.writeStaticString("HTTP/1.1 100 Continue\r\n\r\n")
                writeOut()
            }
        }
        let writer = ResponseWriter(eventLoop: loop.eventLoop, connection: bound)
        exchange.task = Task { [responder = service.responder] in
            await responder.respond(to: request, plan: plan, through: writer)
        }
        self.exchange = exchange
    }

    /// Whether the connection may stay open behind this request.
    func keepsAlive(_ head: HTTPRequestHead) -> Bool {
        // Once another protocol was offered, the decoder reads no more requests.
        head.isKeepAlive && !loop.isDraining && !head.headers.contains(name: "Upgrade")
    }

    /// The exchange has been answered: on to the next one.
    func endExchange() {
        guard let ended = exchange else { return }
        guard ended.requestHasEnded || !ended.keepsAlive else {
            exchange?.responseHasEnded = true
            return
        }
        exchange = nil
        bodyIsFull = false
        lastProgress = .now()
        if !ended.keepsAlive { return closeWhenWritten() }
        takeWaiting()
    }

    // MARK: Closing

    /// No more requests: closes now if nothing is being answered, else behind the answer.
    func drain() {
        if exchange != nil {
            exchange?.keepsAlive = false
        } else if head == nil && waiting.isEmpty {
            abort()
        }
    }

    /// Closes at once, whatever is going on.
    func abort() {
        isClosing = true
        context?.close(promise: nil)
    }

    private func startIdleTimer(in delay: TimeAmount) {
        idleTimer = loop.eventLoop.assumeIsolated().scheduleTask(in: delay) { self.checkIdle() }
    }

    /// Closes when it is the client's turn and has been for too long.
    private func checkIdle() {
        let isClientsTurn = exchange.map { !$0.requestHasEnded || unfinishedWrites > 0 } ?? true
        let now = NIODeadline.now()
        if !isClientsTurn { lastProgress = now }
        let left = lastProgress + service.idleTimeout - now
        if left <= .nanoseconds(0) { abort() } else { startIdleTimer(in: left) }
    }
}

extension HTTPRequestHead {
    /// HTTP/1.0: needs no `Host`, knows no chunks.
    var isOldVersion: Bool { version == .http1_0 || version == .http0_9 }
}
