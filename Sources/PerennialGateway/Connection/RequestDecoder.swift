package import NIOCore
package import NIOHTTP1
package import PerennialHTTP

/// Makes requests of the bytes that a client sends (RFC 9112), for the ``ConnectionHandler`` behind it.
///
/// A request with nothing remarkable in it is offered to the connection as it lies in the buffer: what the memory tier has is
/// answered without a copy of its head. After the first bytes that are no request nothing is read any more.
package final class RequestDecoder: ChannelInboundHandler {
    package typealias InboundIn = ByteBuffer
    package typealias InboundOut = HTTPServerRequestPart

    private enum State {
        case head
        /// Within a body of known length.
        case body(left: Int64)
        case chunkSize
        case chunk(left: Int64)
        /// The line end behind a chunk.
        case chunkEnd
        case trailers(count: Int, size: Int)
        case ended
    }

    private let limits: HeadLimits
    private let connection: ConnectionHandler?
    private var state = State.head
    /// What has come and is not decoded.
    private var buffer = ByteBuffer()
    /// The fields behind the body that is being decoded.
    private var trailerFields: HTTPHeaders?
    /// How much of the buffer was looked at in vain.
    private var lookedAt = 0

    init(limits: HeadLimits, connection: ConnectionHandler?) {
        self.limits = limits
        self.connection = connection
    }

    /// Offers nothing to anybody first.
    package convenience init(limits: HeadLimits) {
        self.init(limits: limits, connection: nil)
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        if case .ended = state { return }
        if buffer.readableBytes == 0 { buffer = bytes } else { buffer.writeBuffer(&bytes) }
        connection?.beginRead()
        do {
            while try decode(context) {}
            buffer.discardReadBytes()
        } catch {
            end()
            context.fireErrorCaught(error)
        }
    }

    package func channelInactive(context: ChannelHandlerContext) {
        end()
        context.fireChannelInactive()
    }

    private func end() {
        state = .ended
        buffer.clear()
    }

    /// Takes the next piece from the buffer.
    /// - Returns: whether there may be another.
    private func decode(_ context: ChannelHandlerContext) throws(RequestSyntaxError) -> Bool {
        switch state {
        case .head: return try decodeHead(context)
        case .body(let left):
            guard let piece = takePiece(atMost: left) else { return false }
            state = .body(left: left - Int64(piece.readableBytes))
            context.fireChannelRead(wrapInboundOut(.body(piece)))
            if case .body(left: 0) = state { endMessage(context) }
            return true
        case .chunkSize:
            guard let chunk = try buffer.chunkSize() else { return false }
            buffer.moveReaderIndex(forwardBy: chunk.length)
            state = chunk.size == 0 ? .trailers(count: 0, size: 0) : .chunk(left: chunk.size)
            return true
        case .chunk(let left):
            guard let piece = takePiece(atMost: left) else { return false }
            let rest = left - Int64(piece.readableBytes)
            state = rest == 0 ? .chunkEnd : .chunk(left: rest)
            context.fireChannelRead(wrapInboundOut(.body(piece)))
            return true
        case .chunkEnd:
            guard let lineEnd = buffer.getBytes(at: buffer.readerIndex, length: 2) else { return false }
            guard lineEnd == [UInt8(ascii: "\r"), UInt8(ascii: "\n")] else {
                throw RequestSyntaxError(400, "A chunk of the request's body is longer than its size says.")
            }
            buffer.moveReaderIndex(forwardBy: 2)
            state = .chunkSize
            return true
        case .trailers(let count, let size): return try decodeTrailer(context, count: count, size: size)
        case .ended: return false
        }
    }

    private func decodeHead(_ context: ChannelHandlerContext) throws(RequestSyntaxError) -> Bool {
        buffer.moveReaderIndex(forwardBy: buffer.emptyLines)
        guard buffer.readableBytes > 0, mayBeWhole, !buffer.isHalfLineEnd else { return false }
        guard let head = try buffer.head(limits) else {
            lookedAt = buffer.readableBytes
            connection?.headIsPartial()
            return false
        }
        lookedAt = 0
        connection?.headIsWhole()
        if head.isPlain, connection?.answerAtOnce(head, buffer) == true {
            buffer.moveReaderIndex(forwardBy: head.end)
            return true
        }
        let request = buffer.request(head)
        buffer.moveReaderIndex(forwardBy: head.end)
        switch head.framing {
        case .none: break
        case .length(let length): state = .body(left: length)
        case .chunked: state = .chunkSize
        }
        context.fireChannelRead(wrapInboundOut(.head(request)))
        if head.framing == .none { endMessage(context) }
        return true
    }

    /// Whether a head, or a field behind a body, that came in parts is worth another look. Looking at each byte of a long one again for
    /// each byte that comes would be too much work.
    private var mayBeWhole: Bool {
        guard lookedAt > 1024, buffer.readableBytes < limits.size else { return true }
        return buffer.readableBytesView.dropFirst(lookedAt - 3).contains(UInt8(ascii: "\n"))
    }

    private func decodeTrailer(
        _ context: ChannelHandlerContext, count: Int, size: Int
    ) throws(RequestSyntaxError) -> Bool {
        guard mayBeWhole else { return false }
        lookedAt = 0
        switch try buffer.fieldLine(at: 0, limit: limits.size) {
        case .line(let line) where buffer.isMisplacedTrailer(line):
            throw RequestSyntaxError(400, "A field behind the request's body belongs before it.")
        case .more where buffer.readableBytes < limits.size:
            lookedAt = buffer.readableBytes
            return false
        case .line(let line) where count < limits.fields && size + line.end <= limits.size:
            trailerFields = trailerFields ?? [:]
            trailerFields?.add(name: buffer.text(line.name), value: buffer.fieldText(line.value))
            buffer.moveReaderIndex(forwardBy: line.end)
            state = .trailers(count: count + 1, size: size + line.end)
            return true
        case .line, .more:
            throw RequestSyntaxError(431, "There are more fields behind the request's body than this gateway takes.")
        case .end:
            buffer.moveReaderIndex(forwardBy: 2)
            endMessage(context)
            return true
        }
    }

    private func takePiece(atMost left: Int64) -> ByteBuffer? {
        let size = Int(min(left, Int64(buffer.readableBytes)))
        return size > 0 ? buffer.readSlice(length: size) : nil
    }

    private func endMessage(_ context: ChannelHandlerContext) {
        // The connection may have closed behind what it got.
        if case .ended = state { return }
        state = .head
        context.fireChannelRead(wrapInboundOut(.end(trailerFields.take())))
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
