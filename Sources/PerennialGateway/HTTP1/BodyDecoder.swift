internal import NIOCore
internal import PerennialHTTP

/// Finds the pieces of a message's body, and the fields behind it, in the bytes of a connection (RFC 9112 §6, §7.1).
/// A value: it calls nobody, and is complete before it returns an event.
struct BodyDecoder {
    enum Event {
        case piece(ByteBuffer)
        /// With the fields behind a body in chunks.
        case end(trailers: HeaderFields)
    }

    private enum State {
        /// Within a body of known length, in bytes.
        case length(left: Int64)
        case chunkSize
        case chunk(left: Int64)
        /// The line end behind a chunk.
        case chunkEnd
        case trailers(count: Int, size: Int)
        case ending
        case ended
    }

    /// Of the fields behind the body.
    private let limits: HeadLimits
    /// Whether a field behind the body that belongs before it makes the message unusable.
    private let refusesMisplaced: Bool
    private var state: State
    private var trailers: HeaderFields = [:]
    /// How much of an unfinished field line was looked at in vain.
    private var lookedAt = 0

    /// - Parameters:
    ///   - framing: how the end of the body is found.
    ///   - limits: of the fields behind the body.
    ///   - refusesMisplaced: whether a field behind the body that belongs before it is an error (RFC 9110 §6.5.1).
    init(_ framing: RequestHead.Framing, limits: HeadLimits, refusesMisplaced: Bool) {
        self.limits = limits
        self.refusesMisplaced = refusesMisplaced
        state =
            switch framing {
            case .none: .ending
            case .length(let length): .length(left: length)
            case .chunked: .chunkSize
            }
    }

    /// Whether the body is over, and fields may follow.
    var isInTrailers: Bool {
        if case .trailers = state { true } else { false }
    }

    /// Takes the next event off the front of `buffer`; `nil`: more bytes are needed, or the body has ended.
    /// - Throws: what makes the bytes no body: 400, or 431 for too many fields behind it.
    mutating func next(_ buffer: inout ByteBuffer) throws(RequestSyntaxError) -> Event? {
        while true {
            switch state {
            case .length(let left):
                guard let (piece, rest) = buffer.piece(of: left) else { return nil }
                state = rest == 0 ? .ending : .length(left: rest)
                return .piece(piece)
            case .chunkSize:
                guard let chunk = try buffer.chunkSize() else { return nil }
                buffer.moveReaderIndex(forwardBy: chunk.length)
                state = chunk.size == 0 ? .trailers(count: 0, size: 0) : .chunk(left: chunk.size)
            case .chunk(let left):
                guard let (piece, rest) = buffer.piece(of: left) else { return nil }
                state = rest == 0 ? .chunkEnd : .chunk(left: rest)
                return .piece(piece)
            case .chunkEnd:
                guard let lineEnd = buffer.getInteger(at: buffer.readerIndex, as: UInt16.self) else { return nil }
                guard lineEnd == 0x0D0A else {
                    throw RequestSyntaxError(400, "A chunk of the request's body is longer than its size says.")
                }
                buffer.moveReaderIndex(forwardBy: 2)
                state = .chunkSize
            case .trailers(let count, let size):
                guard try takeTrailer(&buffer, count: count, size: size) else { return nil }
            case .ending:
                state = .ended
                return .end(trailers: trailers)
            case .ended: return nil
            }
        }
    }

    /// Takes a field line behind the body, or the empty line behind the last.
    /// - Returns: whether there was one.
    private mutating func takeTrailer(
        _ buffer: inout ByteBuffer, count: Int, size: Int
    ) throws(RequestSyntaxError) -> Bool {
        // A line that comes byte by byte is not looked over again for each byte.
        if buffer.readableBytes < limits.size, lookedAt > 0, !buffer.hasLineEnd(behind: lookedAt - 1) { return false }
        lookedAt = 0
        switch try buffer.fieldLine(at: 0, limit: limits.size) {
        case .line(let line) where refusesMisplaced && buffer.isMisplacedTrailer(line):
            throw RequestSyntaxError(400, "A field behind the request's body belongs before it.")
        case .more where buffer.readableBytes < limits.size:
            lookedAt = buffer.readableBytes
            return false
        case .line(let line) where count < limits.fields && size + line.end <= limits.size:
            trailers.add(buffer.text(line.name), buffer.fieldText(line.value))
            buffer.moveReaderIndex(forwardBy: line.end)
            state = .trailers(count: count + 1, size: size + line.end)
        case .line, .more:
            throw RequestSyntaxError(431, "There are more fields behind the request's body than this gateway takes.")
        case .end:
            buffer.moveReaderIndex(forwardBy: 2)
            state = .ending
        }
        return true
    }
}

extension ByteBuffer {
    /// As much as there is of the next `left` bytes, and how many are missing then.
    fileprivate mutating func piece(of left: Int64) -> (ByteBuffer, rest: Int64)? {
        let size = Int(min(left, Int64(readableBytes)))
        guard size > 0, let piece = readSlice(length: size) else { return nil }
        return (piece, left - Int64(size))
    }

    fileprivate func chunkSize() throws(RequestSyntaxError) -> ChunkSize? { try ChunkSize.scan(readableBytesUInt8Span) }

    fileprivate func isMisplacedTrailer(_ line: FieldLine) -> Bool { line.isMisplacedTrailer(readableBytesUInt8Span) }

    /// Whether a line ends at this index or behind it.
    fileprivate func hasLineEnd(behind index: Int) -> Bool {
        readableBytesView.dropFirst(index).contains(UInt8(ascii: "\n"))
    }

    func fieldLine(at index: Int, limit: Int) throws(RequestSyntaxError) -> FieldLine.Found {
        try FieldLine.scan(readableBytesUInt8Span, at: index, limit: limit)
    }

    /// The value of a field, whatever its bytes are.
    func fieldText(_ range: Range<Int>) -> String {
        guard let view = viewBytes(at: readerIndex + range.lowerBound, length: range.count) else { return "" }
        return String(fieldBytes: view)
    }

    func text(_ range: Range<Int>) -> String {
        getString(at: readerIndex + range.lowerBound, length: range.count) ?? ""
    }
}
