internal import NIOCore
internal import PerennialHTTP

/// Makes responses of the bytes that an origin sends (RFC 9112): a value that is given bytes and asked for what they
/// mean. It calls nobody, so nothing can come back into it.
struct ResponseDecoder {
    enum Event: Equatable {
        /// An interim response (RFC 9110 §15.2): another head follows.
        case interim(Int, HeaderFields)
        case head(ResponseHead)
        case body(ByteBuffer)
        /// - Parameter mayBeReused: whether the connection may carry another request.
        case end(trailers: HeaderFields, mayBeReused: Bool)
    }

    private enum State {
        /// No response is expected.
        case idle
        case head
        /// Within a body of known length, in bytes.
        case body(left: Int64)
        /// Within a body that ends with the connection.
        case untilClose
        case chunkSize
        case chunk(left: Int64)
        /// The line end behind a chunk.
        case chunkEnd
        case trailers(size: Int)
        case ending
    }

    /// The largest head, and the most that may follow a body, in bytes.
    static let largestHead = 128 << 10
    /// More interim responses than any origin sends.
    private static let mostInterims = 1_000

    private var state = State.idle
    private var buffer = ByteBuffer()
    /// How much of the buffer was searched for the end of a head in vain.
    private var searched = 0
    private var interims = 0
    private var isHead = false
    private var keepsAlive = false
    private var trailers: HeaderFields = [:]

    /// Whether there are bytes that belong to no response.
    private var hasRest: Bool { buffer.readableBytes > 0 }

    /// A request has been sent.
    /// - Parameter isHead: the response has no body, whatever its fields say.
    mutating func begin(isHead: Bool) {
        self = ResponseDecoder()
        self.isHead = isHead
        state = .head
    }

    mutating func receive(_ bytes: inout ByteBuffer) {
        if buffer.readableBytes == 0 {
            buffer = bytes
            bytes = ByteBuffer()
        } else {
            buffer.discardReadBytes()
            buffer.writeBuffer(&bytes)
        }
    }

    /// The next event; `nil`: more bytes are needed.
    /// - Throws: ``PerennialHTTP/ResponseProblem``; nothing more can be read then.
    mutating func next() throws(ResponseProblem) -> Event? {
        while true {
            switch state {
            case .idle: return nil
            case .head: return try nextHead()
            case .ending:
                state = .idle
                let fields = trailers
                trailers = [:]
                return .end(trailers: fields, mayBeReused: keepsAlive && !hasRest)
            case .body(let left):
                guard let piece = take(atMost: left) else { return nil }
                let rest = left - Int64(piece.readableBytes)
                state = rest == 0 ? .ending : .body(left: rest)
                return .body(piece)
            case .untilClose: return take(atMost: .max).map { .body($0) }
            case .chunkSize:
                guard let chunk = try buffer.chunkSize() else { return nil }
                buffer.moveReaderIndex(forwardBy: chunk.length)
                state = chunk.size == 0 ? .trailers(size: 0) : .chunk(left: chunk.size)
            case .chunk(let left):
                guard let piece = take(atMost: left) else { return nil }
                let rest = left - Int64(piece.readableBytes)
                state = rest == 0 ? .chunkEnd : .chunk(left: rest)
                return .body(piece)
            case .chunkEnd:
                guard let lineEnd = buffer.getInteger(at: buffer.readerIndex, as: UInt16.self) else { return nil }
                guard lineEnd == 0x0D0A else { throw .coding }
                buffer.moveReaderIndex(forwardBy: 2)
                state = .chunkSize
            case .trailers(let size):
                guard try nextTrailer(size: size) else { return nil }
            }
        }
    }

    /// The connection has ended.
    /// - Parameter isClean: whether the origin has said so; behind TLS somebody between could have cut it.
    /// - Returns: the end of a response that ends with its connection; `nil`: there was none that was missing
    ///   something.
    /// - Throws: ``PerennialHTTP/ResponseProblem`` when the response is not whole.
    mutating func finish(isClean: Bool) throws(ResponseProblem) -> Event? {
        switch state {
        case .idle: return nil
        case .untilClose where isClean:
            state = .idle
            return .end(trailers: [:], mayBeReused: false)
        case .ending: return try next()
        default: throw .length
        }
    }

    private mutating func nextHead() throws(ResponseProblem) -> Event? {
        guard buffer.mayBeResponse else { throw .syntax }
        guard let length = try buffer.endOfHead(searchedBefore: searched) else {
            if buffer.readableBytes > Self.largestHead { throw .tooLarge }
            searched = buffer.readableBytes
            return nil
        }
        searched = 0
        guard length <= Self.largestHead else { throw .tooLarge }
        let head = try buffer.responseHead(length: length)
        buffer.moveReaderIndex(forwardBy: length + 2)
        if (100...199).contains(head.status) {
            interims += 1
            // Nobody asks for another protocol here.
            guard head.status != 101, interims <= Self.mostInterims else { throw .status }
            return .interim(head.status, head.fields)
        }
        if let problem = responseProblem(status: head.status, fields: head.fields, isOldVersion: head.isOldVersion) {
            throw problem
        }
        (state, keepsAlive) = framing(of: head)
        return .head(head)
    }

    /// How the end of the body is found (RFC 9112 §6.3).
    private func framing(of head: ResponseHead) -> (State, keepsAlive: Bool) {
        if isHead { return (.ending, head.keepsAlive) }
        if !statusHasBody(head.status) {
            // An origin that announces one may send it all the same, and it would be read as the next response. A 304
            // may say how long the body is that it does not have (RFC 9110 §15.4.5).
            let announcesBody = head.fields.contains("Transfer-Encoding") || head.fields.contains("Content-Length")
            return (.ending, head.keepsAlive && (head.status == 304 || !announcesBody))
        }
        if head.fields.contains("Transfer-Encoding") { return (.chunkSize, head.keepsAlive) }
        guard let length = head.fields.first("Content-Length").flatMap({ bodyLength($0) }) else {
            return (.untilClose, false)
        }
        return (length == 0 ? .ending : .body(left: length), head.keepsAlive)
    }

    /// Takes a field line behind the body, or the end of them.
    /// - Returns: whether there was one.
    private mutating func nextTrailer(size: Int) throws(ResponseProblem) -> Bool {
        // A line that comes byte by byte is not looked over again for each byte.
        guard searched == 0 || buffer.hasLineEnd(behind: searched - 1) else {
            if buffer.readableBytes >= Self.largestHead { throw .tooLarge }
            searched = buffer.readableBytes
            return false
        }
        searched = 0
        switch try buffer.trailerLine(limit: Self.largestHead) {
        case .end:
            buffer.moveReaderIndex(forwardBy: 2)
            state = .ending
        case .line(let line):
            guard size + line.end <= Self.largestHead else { throw .tooLarge }
            trailers.add(buffer.text(line.name), String(fieldBytes: buffer.bytes(line.value)))
            buffer.moveReaderIndex(forwardBy: line.end)
            state = .trailers(size: size + line.end)
        case .more:
            guard buffer.readableBytes < Self.largestHead else { throw .tooLarge }
            searched = buffer.readableBytes
            return false
        }
        return true
    }

    private mutating func take(atMost left: Int64) -> ByteBuffer? {
        let size = Int(min(left, Int64(buffer.readableBytes)))
        return size > 0 ? buffer.readSlice(length: size) : nil
    }
}

extension ByteBuffer {
    /// Whether the bytes so far can be the beginning of a response.
    fileprivate var mayBeResponse: Bool {
        readableBytesView.starts(with: "HTTP/1.".utf8.prefix(readableBytes))
    }

    /// Where the lines of a head end, the last one's CR LF included and the empty line not.
    /// - Throws: ``PerennialHTTP/ResponseProblem/syntax`` for a line that ends with LF alone.
    fileprivate func endOfHead(searchedBefore: Int) throws(ResponseProblem) -> Int? {
        let bytes = readableBytesUInt8Span
        var index = max(1, searchedBefore)
        while index < bytes.count {
            if bytes[index] == 0x0A {
                guard bytes[index - 1] == 0x0D else { throw .syntax }
                if index >= 3, bytes[index - 2] == 0x0A { return index - 1 }
            }
            index += 1
        }
        return nil
    }

    fileprivate func responseHead(length: Int) throws(ResponseProblem) -> ResponseHead {
        try ResponseHead(readableBytesUInt8Span.extracting(first: length))
    }

    fileprivate func chunkSize() throws(ResponseProblem) -> ChunkSize? {
        do throws(RequestSyntaxError) {
            return try ChunkSize.scan(readableBytesUInt8Span)
        } catch {
            throw .coding
        }
    }

    fileprivate func trailerLine(limit: Int) throws(ResponseProblem) -> FieldLine.Found {
        do throws(RequestSyntaxError) {
            return try FieldLine.scan(readableBytesUInt8Span, at: 0, limit: limit)
        } catch {
            throw .syntax
        }
    }

    /// Whether a line ends at this index or behind it.
    fileprivate func hasLineEnd(behind index: Int) -> Bool {
        readableBytesView.dropFirst(index).contains(0x0A)
    }

    fileprivate func bytes(_ range: Range<Int>) -> ByteBufferView {
        readableBytesView[readerIndex + range.lowerBound..<readerIndex + range.upperBound]
    }

    fileprivate func text(_ range: Range<Int>) -> String {
        getString(at: readerIndex + range.lowerBound, length: range.count) ?? ""
    }
}
