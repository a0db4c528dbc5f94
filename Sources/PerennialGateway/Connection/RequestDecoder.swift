package import NIOCore
package import NIOHTTP1
package import PerennialHTTP

/// Hands what a ``RequestParser`` finds in a client's bytes to the ``ConnectionHandler`` behind it.
///
/// A request with nothing remarkable in it is offered to the connection as it lies in the buffer: what the memory tier
/// has is answered without a copy of its head. After the first bytes that are no request nothing is read any more.
package final class RequestDecoder: ChannelInboundHandler {
    package typealias InboundIn = ByteBuffer
    package typealias InboundOut = HTTPServerRequestPart

    private let connection: ConnectionHandler?
    private var parser: RequestParser
    private var isHandingOn = false

    init(limits: HeadLimits, connection: ConnectionHandler?) {
        parser = RequestParser(limits: limits)
        self.connection = connection
    }

    /// Offers nothing to anybody first.
    package convenience init(limits: HeadLimits) {
        self.init(limits: limits, connection: nil)
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !parser.hasEnded else { return }
        parser.feed(unwrapInboundIn(data))
        // What comes while an event is handed on has its turn behind that event.
        guard !isHandingOn else { return }
        isHandingOn = true
        connection?.beginRead()
        do throws(RequestSyntaxError) {
            while let event = try parser.next() { handOn(event, context) }
            if parser.isWithinHead { connection?.headIsPartial() }
        } catch {
            context.fireErrorCaught(error)
        }
        isHandingOn = false
    }

    /// All that comes from now on is no request, but bytes for the other end of a tunnel: they are handed on as pieces of
    /// a body.
    /// - Returns: `false` when something has come already that was taken for a request.
    func becomeTunnel() -> Bool { parser.becomeTunnel() }

    package func channelInactive(context: ChannelHandlerContext) {
        parser.end()
        context.fireChannelInactive()
    }

    /// Every call out of here may come back: the connection may be closed when it returns.
    private func handOn(_ event: RequestParser.Event, _ context: ChannelHandlerContext) {
        switch event {
        case .head(let head, let bytes):
            connection?.headIsWhole()
            if head.isPlain, connection?.answerAtOnce(head, bytes) == true { return }
            context.fireChannelRead(wrapInboundOut(.head(bytes.request(head))))
            if head.framing == .none && !parser.hasEnded { context.fireChannelRead(wrapInboundOut(.end(nil))) }
        case .body(let piece): context.fireChannelRead(wrapInboundOut(.body(piece)))
        case .end(let trailers): context.fireChannelRead(wrapInboundOut(.end(trailers)))
        }
    }
}

/// Finds the requests in the bytes that a client sends (RFC 9112): bytes are fed, events are taken.
///
/// It calls nobody, and what it knows is complete before it returns an event. So whatever an event brings about, even
/// the end of the connection, the next call goes on from there.
struct RequestParser {
    enum Event {
        /// The bytes are those of the head. With a framing of `.none` the message ends with it, and no ``end(_:)``
        /// follows.
        case head(RequestHead, ByteBuffer)
        case body(ByteBuffer)
        /// With the fields behind the body, if there are any.
        case end(HTTPHeaders?)
    }

    private enum State {
        case head
        case body(BodyDecoder)
        /// No requests any more.
        case tunnel
        case ended
    }

    private let limits: HeadLimits
    private var state = State.head
    /// What has come and is not taken.
    private var buffer = ByteBuffer()
    /// How much of a head was looked at in vain.
    private var lookedAt = 0

    init(limits: HeadLimits) {
        self.limits = limits
    }

    /// Whether nothing more will be taken.
    var hasEnded: Bool {
        if case .ended = state { true } else { false }
    }

    /// Whether a part of a head has come, and not all of it.
    var isWithinHead: Bool { lookedAt > 0 }

    mutating func feed(_ bytes: ByteBuffer) {
        if case .ended = state { return }
        if buffer.readableBytes == 0 {
            buffer = bytes
        } else {
            buffer.discardReadBytes()
            buffer.writeImmutableBuffer(bytes)
        }
    }

    /// Whatever comes from now on is a piece of a body without an end.
    /// - Returns: whether nothing has come yet.
    mutating func becomeTunnel() -> Bool {
        guard case .head = state, buffer.readableBytes == 0 else { return false }
        state = .tunnel
        return true
    }

    mutating func end() {
        state = .ended
        lookedAt = 0
        buffer = ByteBuffer()
    }

    /// The next event; `nil`: more bytes are needed.
    /// - Throws: what makes the bytes no request. Nothing is taken any more then.
    mutating func next() throws(RequestSyntaxError) -> Event? {
        do throws(RequestSyntaxError) {
            switch state {
            case .head:
                if let event = try takeHead() { return event }
            case .body(var body):
                // One that is held here as well would be copied when it changes.
                state = .ended
                let event = try body.next(&buffer)
                state = .body(body)
                switch event {
                case .piece(let piece): return .body(piece)
                case .end(let trailers):
                    state = .head
                    return .end(trailers.isEmpty ? nil : HTTPHeaders(trailers.map { ($0.name, $0.value) }))
                case nil: break
                }
            case .tunnel:
                if let piece = buffer.readSlice(length: buffer.readableBytes), piece.readableBytes > 0 {
                    return .body(piece)
                }
            case .ended: return nil
            }
            // The storage is the channel's: it can be read into again.
            if buffer.readableBytes == 0 { buffer = ByteBuffer() }
            return nil
        } catch {
            end()
            throw error
        }
    }

    private mutating func takeHead() throws(RequestSyntaxError) -> Event? {
        buffer.moveReaderIndex(forwardBy: buffer.emptyLines)
        guard buffer.readableBytes > 0, mayBeWhole, !buffer.isHalfLineEnd else { return nil }
        guard let head = try buffer.head(limits), let bytes = buffer.readSlice(length: head.end) else {
            lookedAt = buffer.readableBytes
            return nil
        }
        lookedAt = 0
        if head.framing != .none { state = .body(BodyDecoder(head.framing, limits: limits, refusesMisplaced: true)) }
        return .head(head, bytes)
    }

    /// Whether a head that came in parts is worth another look. Looking at each byte of a long one again for each byte
    /// that comes would be too much work.
    private var mayBeWhole: Bool {
        guard lookedAt > 1024, buffer.readableBytes < limits.size else { return true }
        return buffer.readableBytesView.dropFirst(lookedAt - 3).contains(UInt8(ascii: "\n"))
    }
}

extension ByteBuffer {
    fileprivate func head(_ limits: HeadLimits) throws(RequestSyntaxError) -> RequestHead? {
        try RequestHead.scan(readableBytesUInt8Span, limits: limits)
    }

    /// Whether there is nothing but the beginning of what may be another empty line.
    fileprivate var isHalfLineEnd: Bool {
        readableBytes == 1 && getInteger(at: readerIndex) == UInt8(ascii: "\r")
    }

    fileprivate var emptyLines: Int { RequestHead.emptyLines(readableBytesUInt8Span) }

    /// A copy of a head that lies at the beginning of the buffer.
    fileprivate func request(_ head: RequestHead) -> HTTPRequestHead {
        var headers = HTTPHeaders()
        headers.reserveCapacity(head.fieldCount)
        var index = head.fieldLines.lowerBound
        while case .line(let line)? = try? fieldLine(at: index, limit: head.fieldLines.upperBound) {
            headers.add(name: text(line.name), value: fieldText(line.value))
            index = line.end
        }
        return HTTPRequestHead(
            version: head.isOldVersion ? .http1_0 : .http1_1, method: HTTPMethod(rawValue: text(head.method)),
            uri: text(head.target), headers: headers)
    }
}
