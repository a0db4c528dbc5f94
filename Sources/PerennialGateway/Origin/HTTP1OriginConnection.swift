internal import NIOCore
internal import NIOHTTP1
internal import PerennialHTTP

/// A connection to an origin that speaks HTTP/1.1: carries one exchange after the other.
final class HTTP1OriginConnection: ChannelDuplexHandler, OriginCarrier {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = Never
    typealias OutboundOut = ByteBuffer

    private let pool: OriginPool
    private var context: ChannelHandlerContext?
    private var exchange: OriginExchange?
    private var decoder = ResponseDecoder()
    private var isChunked = false
    private var readIsHeld = false
    /// Whether anything has come of the answer.
    private var hasReceived = false
    /// Whether the origin's end could have been cut off by somebody between.
    private var wasCut = false
    /// Whether the last exchange is over and another may follow, once all has been read that came with its end.
    private var isFree = false
    /// How many exchanges it has carried.
    private var exchanges = 0
    /// Since when it waits for another exchange.
    private(set) var idleSince: NIODeadline

    init(pool: OriginPool) {
        self.pool = pool
        idleSince = pool.eventLoop.now
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    /// Sends a request. The connection must be idle.
    func start(_ exchange: OriginExchange) {
        guard let context, context.channel.isActive else {
            return exchange.fail(staleConnection())
        }
        let request = exchange.request
        self.exchange = exchange
        exchanges += 1
        hasReceived = false
        decoder.begin(isHead: request.method == .HEAD, upgradeTo: request.tunnel?.name)
        isChunked = request.body != nil && request.announcedLength == nil
        let head = self.head(of: request)
        exchange.carried(by: self)
        context.writeAndFlush(wrapOutboundOut(head), promise: nil)
        // It may have held back what nobody wanted to read of the exchange before.
        readOn()
    }

    /// Closes it; what it carries breaks off. Behind TLS that takes a while.
    func close() {
        isFree = false
        pool.hasClosed(self)
        context?.close(promise: nil)
    }

    private func head(of request: OriginRequest) -> ByteBuffer {
        var head = ByteBuffer()
        head.writeString(request.method.rawValue)
        head.writeStaticString(" ")
        head.writeString(request.target)
        head.writeStaticString(" HTTP/1.1\r\n")
        head.writeField("Host", request.host)
        head.writeFields(request.fields)
        if let tunnel = request.tunnel {
            head.writeStaticString("Connection: upgrade\r\n")
            head.writeField("Upgrade", tunnel.name)
        }
        if isChunked {
            head.writeStaticString("Transfer-Encoding: chunked\r\n")
        } else if let length = request.announcedLength {
            head.writeField("Content-Length", String(length))
        }
        head.writeLineEnd()
        return head
    }

    // MARK: - The carrier

    func send(_ piece: ByteBuffer, promise: EventLoopPromise<Void>) {
        guard let context else { return promise.fail(ChannelError.ioOnClosedChannel) }
        // An empty chunk would be the last one.
        if piece.readableBytes == 0 { return promise.succeed() }
        guard isChunked else { return context.writeAndFlush(wrapOutboundOut(piece), promise: promise) }
        var bytes = context.channel.allocator.buffer(capacity: piece.readableBytes + 16)
        bytes.writeString(String(piece.readableBytes, radix: 16))
        bytes.writeLineEnd()
        bytes.writeImmutableBuffer(piece)
        bytes.writeLineEnd()
        context.writeAndFlush(wrapOutboundOut(bytes), promise: promise)
    }

    func endRequest(trailers: HeaderFields) {
        guard let context else { return }
        // All that tells the other end of a tunnel that nothing more will come.
        if exchange?.isTunnel == true { return context.close(mode: .output, promise: nil) }
        guard isChunked else { return }
        var bytes = ByteBuffer(string: "0\r\n")
        bytes.writeFields(trailers)
        bytes.writeLineEnd()
        context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
    }

    func readOn() {
        guard readIsHeld, let context else { return }
        readIsHeld = false
        context.read()
    }

    func cancel() {
        exchange = nil
        close()
    }

    // MARK: - The channel

    func read(context: ChannelHandlerContext) {
        if exchange?.isHeld == true { readIsHeld = true } else { context.read() }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        // What nobody asked for can't be told from an answer to the next request.
        guard exchange != nil else { return close() }
        hasReceived = true
        decoder.receive(&bytes)
        do throws(ResponseProblem) {
            while exchange != nil, let event = try decoder.next() { handle(event) }
        } catch {
            breakOff(error)
        }
    }

    private func handle(_ event: ResponseDecoder.Event) {
        switch event {
        case .interim(let status, let fields): exchange?.received(interim: status, fields)
        case .head(let head): exchange?.received(head)
        case .body(let piece): exchange?.received(piece)
        case .end(let trailers, let mayBeReused): end(trailers: trailers, mayBeReused: mayBeReused)
        }
    }

    private func end(trailers: HeaderFields, mayBeReused: Bool) {
        guard let exchange else { return }
        self.exchange = nil
        // The rest of a request that was answered early would be taken for another one. One that was made for a tunnel
        // is not among those that the pool counts on.
        let isFree =
            mayBeReused && exchange.requestHasEnded && exchange.request.tunnel == nil
            && context?.channel.isActive == true
        self.isFree = isFree
        exchange.ended(trailers: trailers)
        if !isFree { close() }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if isFree {
            isFree = false
            idleSince = pool.eventLoop.now
            readOn()
            pool.isIdle(self)
        }
        context.fireChannelReadComplete()
    }

    private func breakOff(_ problem: any Error) {
        let broken = exchange
        exchange = nil
        broken?.fail(OriginBroken(answering: problem))
        close()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // The end of the connection follows.
        wasCut = true
        close()
    }

    func channelInactive(context: ChannelHandlerContext) {
        isFree = false
        pool.hasClosed(self)
        if let exchange {
            if hasReceived {
                do throws(ResponseProblem) {
                    if case .end(let trailers, _)? = try decoder.finish(isClean: !wasCut) {
                        self.exchange = nil
                        exchange.ended(trailers: trailers)
                    }
                } catch {
                    breakOff(error)
                }
            } else {
                self.exchange = nil
                exchange.fail(staleConnection())
            }
        }
        context.fireChannelInactive()
    }

    /// The connection ended without a byte of the answer: most likely the origin closed it while it was idle, if it had
    /// been used before (RFC 9112 §9.3.1).
    private func staleConnection() -> OriginBroken {
        var broken = OriginBroken(.connectionTerminated)
        broken.isStaleConnection = exchanges > 1
        return broken
    }
}
