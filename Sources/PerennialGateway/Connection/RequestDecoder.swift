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
        /// Within a body of known length.
        case body(left: Int64)
        case chunkSize
        case chunk(left: Int64)
        /// The line end behind a chunk.
        case chunkEnd
        case trailers(count: Int, size: Int)
        case messageEnd
        case ended
    }

    private let limits: HeadLimits
    private var state = State.head
    /// What has come and is not taken.
    private var buffer = ByteBuffer()
    /// The fields behind the body that is being taken.
    private var trailerFields: HTTPHeaders?
    /// How much of the buffer was looked at in vain.
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

    mutating func end() {
        state = .ended
        lookedAt = 0
        buffer = ByteBuffer()
    }

    /// The next event; `nil`: more bytes are needed.
    /// - Throws: what makes the bytes no request. Nothing is taken any more then.
    mutating func next() throws(RequestSyntaxError) -> Event? {
        do throws(RequestSyntaxError) {
            while true {
                switch try step() {
                case .event(let event): return event
                case .goOn: break
                case .wait:
                    // The storage is the channel's: it can be read into again.
                    if buffer.readableBytes == 0 { buffer = ByteBuffer() }
                    return nil
                }
            }
        } catch {
            end()
            throw error
        }
    }

    private enum Step {
        case event(Event)
        case goOn
        case wait
    }

    private mutating func step() throws(RequestSyntaxError) -> Step {
        switch state {
        case .head: return try takeHead()
        case .body(let left):
            guard let piece = takePiece(atMost: left) else { return .wait }
            let rest = left - Int64(piece.readableBytes)
            state = rest == 0 ? .messageEnd : .body(left: rest)
            return .event(.body(piece))
        case .chunkSize:
            guard let chunk = try buffer.chunkSize() else { return .wait }
            buffer.moveReaderIndex(forwardBy: chunk.length)
            state = chunk.size == 0 ? .trailers(count: 0, size: 0) : .chunk(left: chunk.size)
            return .goOn
        case .chunk(let left):
            guard let piece = takePiece(atMost: left) else { return .wait }
            let rest = left - Int64(piece.readableBytes)
            state = rest == 0 ? .chunkEnd : .chunk(left: rest)
            return .event(.body(piece))
        case .chunkEnd:
            guard let lineEnd = buffer.getBytes(at: buffer.readerIndex, length: 2) else { return .wait }
            guard lineEnd == [UInt8(ascii: "\r"), UInt8(ascii: "\n")] else {
                throw RequestSyntaxError(400, "A chunk of the request's body is longer than its size says.")
            }
            buffer.moveReaderIndex(forwardBy: 2)
            state = .chunkSize
            return .goOn
        case .trailers(let count, let size): return try takeTrailer(count: count, size: size)
        case .messageEnd:
            state = .head
            return .event(.end(trailerFields.take()))
        case .ended: return .wait
        }
    }

    private mutating func takeHead() throws(RequestSyntaxError) -> Step {
        buffer.moveReaderIndex(forwardBy: buffer.emptyLines)
        guard buffer.readableBytes > 0, mayBeWhole, !buffer.isHalfLineEnd else { return .wait }
        guard let head = try buffer.head(limits), let bytes = buffer.readSlice(length: head.end) else {
            lookedAt = buffer.readableBytes
            return .wait
        }
        lookedAt = 0
        switch head.framing {
        case .none: break
        case .length(let length): state = .body(left: length)
        case .chunked: state = .chunkSize
        }
        return .event(.head(head, bytes))
    }

    /// Whether a head, or a field behind a body, that came in parts is worth another look. Looking at each byte of a
    /// long one again for each byte that comes would be too much work.
    private var mayBeWhole: Bool {
        guard lookedAt > 1024, buffer.readableBytes < limits.size else { return true }
        return buffer.readableBytesView.dropFirst(lookedAt - 3).contains(UInt8(ascii: "\n"))
    }

    private mutating func takeTrailer(count: Int, size: Int) throws(RequestSyntaxError) -> Step {
        guard mayBeWhole else { return .wait }
        lookedAt = 0
        switch try buffer.fieldLine(at: 0, limit: limits.size) {
        case .line(let line) where buffer.isMisplacedTrailer(line):
            throw RequestSyntaxError(400, "A field behind the request's body belongs before it.")
        case .more where buffer.readableBytes < limits.size:
            lookedAt = buffer.readableBytes
            return .wait
        case .line(let line) where count < limits.fields && size + line.end <= limits.size:
            trailerFields = trailerFields ?? [:]
            trailerFields?.add(name: buffer.text(line.name), value: buffer.fieldText(line.value))
            buffer.moveReaderIndex(forwardBy: line.end)
            state = .trailers(count: count + 1, size: size + line.end)
            return .goOn
        case .line, .more:
            throw RequestSyntaxError(431, "There are more fields behind the request's body than this gateway takes.")
        case .end:
            buffer.moveReaderIndex(forwardBy: 2)
            state = .messageEnd
            return .goOn
        }
    }

    private mutating func takePiece(atMost left: Int64) -> ByteBuffer? {
        let size = Int(min(left, Int64(buffer.readableBytes)))
        return size > 0 ? buffer.readSlice(length: size) : nil
    }
}

extension ByteBuffer {
    fileprivate func head(_ limits: HeadLimits) throws(RequestSyntaxError) -> RequestHead? {
        try RequestHead.scan(readableBytesUInt8Span, limits: limits)
    }

    fileprivate func fieldLine(at index: Int, limit: Int) throws(RequestSyntaxError) -> FieldLine.Found {
        try FieldLine.scan(readableBytesUInt8Span, at: index, limit: limit)
    }

    fileprivate func chunkSize() throws(RequestSyntaxError) -> ChunkSize? { try ChunkSize.scan(readableBytesUInt8Span) }

    fileprivate func isMisplacedTrailer(_ line: FieldLine) -> Bool { line.isMisplacedTrailer(readableBytesUInt8Span) }

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

    /// The value of a field, whatever its bytes are.
    fileprivate func fieldText(_ range: Range<Int>) -> String {
        guard let view = viewBytes(at: readerIndex + range.lowerBound, length: range.count) else { return "" }
        return String(fieldBytes: view)
    }

    fileprivate func text(_ range: Range<Int>) -> String {
        getString(at: readerIndex + range.lowerBound, length: range.count) ?? ""
    }
}
