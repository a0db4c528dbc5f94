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
        case body(BodyDecoder)
        /// Within a body that ends with the connection.
        case untilClose
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
    private var wanted: String?
    private var keepsAlive = false

    /// Whether there are bytes that belong to no response.
    private var hasRest: Bool { buffer.readableBytes > 0 }

    /// A request has been sent.
    /// - Parameters:
    ///   - isHead: the response has no body, whatever its fields say.
    ///   - wanted: the protocol that was asked for; `nil`: none. When the origin agrees, all that follows is the body.
    mutating func begin(isHead: Bool, upgradeTo wanted: String? = nil) {
        self = ResponseDecoder()
        self.isHead = isHead
        self.wanted = wanted
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
        switch state {
        case .idle: return nil
        case .head: return try nextHead()
        case .untilClose:
            let size = buffer.readableBytes
            return size > 0 ? buffer.readSlice(length: size).map { .body($0) } : nil
        case .body(var body):
            // One that is held here as well would be copied when it changes.
            state = .idle
            do throws(RequestSyntaxError) {
                let event = try body.next(&buffer)
                state = .body(body)
                switch event {
                case .piece(let piece): return .body(piece)
                case .end(let trailers):
                    state = .idle
                    return .end(trailers: trailers, mayBeReused: keepsAlive && !hasRest)
                case nil: return nil
                }
            } catch {
                throw error.status == 431 ? .tooLarge : body.isInTrailers ? .syntax : .coding
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
        case .head, .untilClose, .body: throw .length
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
        if head.status == 101, let wanted {
            guard !head.isOldVersion, agrees(toUpgrade: wanted, head.fields) else { throw .status }
            state = .untilClose
            return .head(head)
        }
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
        func body(_ framing: RequestHead.Framing) -> State {
            let limits = HeadLimits(size: Self.largestHead, fields: .max)
            return .body(BodyDecoder(framing, limits: limits, refusesMisplaced: false))
        }
        if isHead { return (body(.none), head.keepsAlive) }
        if !statusHasBody(head.status) {
            // An origin that announces one may send it all the same, and it would be read as the next response. A 304
            // may say how long the body is that it does not have (RFC 9110 §15.4.5).
            let announcesBody = head.fields.contains("Transfer-Encoding") || head.fields.contains("Content-Length")
            return (body(.none), head.keepsAlive && (head.status == 304 || !announcesBody))
        }
        if head.fields.contains("Transfer-Encoding") { return (body(.chunked), head.keepsAlive) }
        guard let length = head.fields.first("Content-Length").flatMap({ bodyLength($0) }) else {
            return (.untilClose, false)
        }
        return (body(length == 0 ? .none : .length(length)), head.keepsAlive)
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
}
