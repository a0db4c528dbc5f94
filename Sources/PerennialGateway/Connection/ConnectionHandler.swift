internal import NIOCore
internal import NIOHTTP1
internal import Perennial
internal import PerennialHTTP

/// One client's connection: takes requests in their order, one at a time, and answers each before it looks at the next.
///
/// What the memory tier has is answered here, on the event loop that read the request. Everything else goes to a task
/// (``Responder``), which writes back through ``ResponseWriter``. While a task is at it, nothing more is read than was read
/// already, so a client that sends faster than it is answered is slowed down by its own socket.
///
/// A stream of HTTP/2 is taken for a connection that is closed behind its only answer; ``HTTP2Stream`` translates.
final class ConnectionHandler: ChannelDuplexHandler, ClientConnection {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// What came in and waits for its turn.
    enum Inbound {
        case part(HTTPServerRequestPart)
        /// The bytes that followed are no request.
        case malformed(RequestSyntaxError)
    }

    /// A request that a task is answering.
    struct Exchange {
        var isRead: Bool
        var isOldVersion: Bool
        /// Whether the connection may stay open behind it.
        var keepsAlive: Bool
        var requestHasEnded: Bool
        /// Counts this connection's exchanges.
        var number: Int
        /// Set with the task.
        var extras: MessageExtras?
        /// What is asked for, while the store is being asked.
        var stored: (head: HTTPRequestHead, route: ActiveRoute, key: String)?
        var answerHasBegun = false
        /// How much of the request's body has come, in bytes.
        var bodySize = 0
        var responseHasEnded = false
        var body: RequestBody.Producer.Source?
        var task: Task<Void, Never>?
        /// Set while a body is streamed.
        var framing: Framing?
    }

    let service: GatewayService
    let loop: LoopState
    let isStream: Bool
    var context: ChannelHandlerContext?
    /// Answers not yet given to the channel.
    var out = ByteBuffer()
    /// What is left of a large body: it is given to the channel in pieces, as the client takes them.
    var unsent = ByteBuffer()
    var isSendingPieces = false
    var closesWhenSent = false
    var exchange: Exchange?
    var exchanges = 0
    var isClosing = false
    var inputIsClosed = false
    /// Whether the client takes what it gets.
    var isWritable = true
    /// Within a read: what is written now is flushed at its end.
    var isInRead = false
    /// When the client last sent or took something.
    var lastProgress = NIODeadline.now()
    /// Writes that wait for the client to take them, as far as they are watched.
    var unfinishedWrites = 0

    var waiting = CircularBuffer<Inbound>()
    /// A request's head whose end has not come.
    var head: HTTPRequestHead?
    var readIsHeld = false
    var bodyIsFull = false
    var idleTimer: Scheduled<Void>?
    /// Runs while a part of a head has come.
    var headTimer: Scheduled<Void>?

    init(service: GatewayService, loop: LoopState, isStream: Bool = false) {
        self.service = service
        self.loop = loop
        self.isStream = isStream
    }

    func handlerAdded(context: ChannelHandlerContext) {
        // Mostly it comes when it is known what the client speaks.
        if context.channel.isActive { begin(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        if self.context == nil { begin(context) }
        context.fireChannelActive()
    }

    private func begin(_ context: ChannelHandlerContext) {
        self.context = context
        isWritable = context.channel.isWritable
        if !isStream { loop.add(self) }
        startIdleTimer(in: service.idleTimeout)
    }

    func channelInactive(context: ChannelHandlerContext) {
        isClosing = true
        idleTimer?.cancel()
        headTimer?.cancel()
        exchange?.body?.finish(RequestBroken())
        // A flight goes on without its reader; what passes through ends with it.
        exchange?.task?.cancel()
        exchange = nil
        waiting.removeAll()
        unsent = ByteBuffer()
        if !isStream { loop.remove(self) }
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
        guard let error = error as? RequestSyntaxError else { return abort() }
        if exchange?.requestHasEnded == false { return breakOff(error) }
        enqueue(.malformed(error))
    }

    /// The body of the request that is being answered can't be read to its end: neither the origin nor the cache gets it as a whole,
    /// and the client hears so unless it has been answered already.
    func breakOff(_ error: RequestSyntaxError) {
        guard let broken = exchange, broken.framing == nil, !isClosing else { return abort() }
        broken.body?.finish(RequestBroken())
        broken.task?.cancel()
        exchange = nil
        refuse(error.status, error.reason, detail: "bad-request", isRead: broken.isRead)
    }

    /// Bytes have come from the client.
    func beginRead() {
        isInRead = true
        lastProgress = .now()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
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

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        lastProgress = .now()
        isWritable = context.channel.isWritable
        sendPieces()
        if exchange == nil && !waiting.isEmpty && context.channel.isWritable { takeWaiting() }
        context.fireChannelWritabilityChanged()
    }
}
