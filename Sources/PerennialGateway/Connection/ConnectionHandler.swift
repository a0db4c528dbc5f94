internal import NIOCore
internal import NIOHTTP1
internal import Perennial
internal import PerennialHTTP

/// One client's connection: takes requests in their order, one at a time, and answers each before it looks at the next.
///
/// What the memory tier has is answered here, on the event loop that read the request. Everything else goes to a task
/// (``Responder``), which writes back through ``ResponseWriter``. While a task is at it, nothing more is read than was
/// read already, so a client that sends faster than it is answered is slowed down by its own socket.
///
/// A stream of HTTP/2 is taken for a connection that is closed behind its only answer; ``HTTP2Stream`` translates.
///
/// Whatever it writes, flushes, closes or reads may come back to it before that call returns: the write fails, the
/// channel becomes inactive, and everything here is gone. So each method finishes its own state first and calls out
/// then, or looks at the state again behind the call.
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
        /// Whether its connection carries another protocol until it ends.
        var isTunnel = false
        /// How much of the request's body has come, in bytes.
        var bodySize = 0
        var body: RequestBody.Producer.Source?
        var task: Task<Void, Never>?
        /// Set while a body is streamed.
        var framing: Framing?
        /// When the last piece of that body came.
        var lastPiece = NIODeadline.uptimeNanoseconds(0)
        /// While a body comes that is watched.
        var uploadRate: UploadRate?
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
    var lastProgress: NIODeadline
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
    /// Runs while the rest of what the client sends is read and dropped.
    var closeTimer: Scheduled<Void>?
    /// Runs until the request's body would be too slow.
    var uploadTimer: Scheduled<Void>?

    init(service: GatewayService, loop: LoopState, isStream: Bool = false) {
        self.service = service
        self.loop = loop
        self.isStream = isStream
        lastProgress = loop.eventLoop.now
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
        startIdleTimer(in: service.idleTimeout)
        // Closes it at once when the gateway is being stopped.
        if !isStream { loop.add(self) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        isClosing = true
        self.context = nil
        let broken = exchange.take()
        waiting.removeAll()
        head = nil
        unsent = ByteBuffer()
        out = ByteBuffer()
        cancelTimers()
        loop.unbounded[ObjectIdentifier(self)] = nil
        loop.heldBodies.letGo(of: self)
        if !isStream { loop.remove(self) }
        if broken?.isTunnel == true { loop.counters.tunnelClosed() }
        broken?.body?.finish(RequestBroken())
        // A flight goes on without its reader; what passes through ends with it.
        broken?.task?.cancel()
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .some(ChannelEvent.inputClosed) = event as? ChannelEvent {
            inputIsClosed = true
            if isClosing {
                context.close(promise: nil)
            } else if exchange?.isTunnel == true {
                endTunnelsInput()
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

    /// The body of the request that is being answered can't be read to its end: neither the origin nor the cache gets
    /// it as a whole, and the client hears so unless it has been answered already.
    func breakOff(_ error: RequestSyntaxError, detail: String = "bad-request") {
        guard let broken = exchange, !broken.answerHasBegun, !isClosing else { return abort() }
        endUpload()
        exchange = nil
        broken.body?.finish(RequestBroken())
        broken.task?.cancel()
        refuse(error.status, error.reason, detail: detail, isRead: broken.isRead)
    }

    /// Bytes have come from the client.
    func beginRead() {
        isInRead = true
        noteProgress()
    }

    /// The client has sent or taken something.
    func noteProgress() {
        lastProgress = loop.eventLoop.now
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // Of a connection the decoder tells when bytes have come.
        if isStream { noteProgress() }
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
        noteProgress()
        isWritable = context.channel.isWritable
        sendPieces()
        if exchange == nil && !waiting.isEmpty && context.channel.isWritable { takeWaiting() }
        context.fireChannelWritabilityChanged()
    }
}
