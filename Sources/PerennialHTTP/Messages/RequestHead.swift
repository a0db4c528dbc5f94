/// The head of an HTTP/1 request as it lies among received bytes: where its parts are (RFC 9112 §2 to §6).
///
/// A gateway and the server behind it must never see two different requests in the same bytes. So this is stricter than
/// a recipient has to be: no folded lines, no bare CR or LF, no length said twice, nothing between a name and its
/// colon.
package struct RequestHead: Hashable, Sendable {
    /// How the end of the body is found (RFC 9112 §6.3).
    package enum Framing: Hashable, Sendable {
        case none
        /// In bytes, more than 0.
        case length(Int64)
        case chunked
    }

    package var method: Range<Int>
    package var target: Range<Int>
    /// The value of the last `Host`; empty when there is none.
    package var host = 0..<0
    /// HTTP/1.0. Later versions than 1.1 count as 1.1 (RFC 9110 §2.5).
    package var isOldVersion: Bool
    /// The field lines, without the empty line behind them.
    package var fieldLines: Range<Int>
    package var fieldCount = 0
    package var framing = Framing.none
    /// A GET or HEAD of HTTP/1.1 with one `Host` and no field that matters to a cache or to the connection.
    package var isPlain = false
    package var isHead = false

    /// The first byte behind the head.
    package var end: Int { fieldLines.upperBound + 2 }
}

/// How large a head may be.
package struct HeadLimits: Hashable, Sendable {
    /// In bytes.
    package var size: Int
    package var fields: Int

    package init(size: Int, fields: Int) {
        self.size = size
        self.fields = fields
    }
}

/// Why bytes are no request, or one that is not taken.
package struct RequestSyntaxError: Error, Hashable, Sendable {
    /// 400, 414, 431, 501 or 505.
    package var status: Int
    /// In one line, for whoever sent it.
    package var reason: String

    package init(_ status: Int, _ reason: String) {
        self.status = status
        self.reason = reason
    }

    static func bad(_ reason: String) -> RequestSyntaxError { RequestSyntaxError(400, reason) }
}

extension RequestHead {
    /// Finds the head at the beginning of `bytes`; empty lines before it are not part of it (see ``emptyLines(_:)``).
    /// - Returns: `nil`: more bytes are needed.
    /// - Throws: what makes it no request, as early as that can be told.
    package static func scan(_ bytes: Span<UInt8>, limits: HeadLimits) throws(RequestSyntaxError) -> RequestHead? {
        guard let head = try requestLine(bytes, limit: limits.size) else { return nil }
        return try fields(of: head, bytes, limits: limits)
    }

    /// How many bytes of empty lines there are at the beginning, which some clients send behind a body (RFC 9112 §2.2).
    package static func emptyLines(_ bytes: Span<UInt8>) -> Int {
        var index = 0
        while index + 1 < bytes.count, bytes[index] == cr, bytes[index + 1] == lf { index += 2 }
        return index
    }

    /// `method SP request-target SP HTTP-version CRLF` (RFC 9112 §3), with an empty `fieldLines` behind it.
    private static func requestLine(
        _ bytes: Span<UInt8>, limit: Int
    ) throws(RequestSyntaxError) -> RequestHead? {
        let end = min(bytes.count, limit)
        func more() throws(RequestSyntaxError) -> RequestHead? {
            if bytes.count >= limit {
                throw RequestSyntaxError(414, "The request's first line is too long for this gateway.")
            }
            return nil
        }
        var index = 0
        while index < end, bytes[index].isTokenByte { index += 1 }
        let method = 0..<index
        guard index < end else { return try more() }
        guard bytes[index] == space, !method.isEmpty else { throw .bad("The request's method is not a token.") }
        index += 1
        let target = index
        while index < end, bytes[index] > space, bytes[index] < 0x7F { index += 1 }
        let targetEnd = index
        guard index < end else { return try more() }
        guard bytes[index] == space, targetEnd > target else {
            throw .bad("The request's target has characters that don't belong there, or no HTTP version follows it.")
        }
        index += 1
        guard end - index >= 10 else { return try more() }
        guard bytes[index] == UInt8(ascii: "H"), bytes[index + 1] == UInt8(ascii: "T"),
            bytes[index + 2] == UInt8(ascii: "T"), bytes[index + 3] == UInt8(ascii: "P"),
            bytes[index + 4] == UInt8(ascii: "/"), bytes[index + 5].isDigit, bytes[index + 6] == UInt8(ascii: "."),
            bytes[index + 7].isDigit, bytes[index + 8] == cr, bytes[index + 9] == lf
        else { throw .bad("The request's first line does not end with an HTTP version and CR LF.") }
        guard bytes[index + 5] == UInt8(ascii: "1") else {
            throw RequestSyntaxError(505, "This gateway speaks HTTP/1.1 and HTTP/1.0 here.")
        }
        let isOldVersion = bytes[index + 7] == UInt8(ascii: "0")
        index += 10
        return RequestHead(
            method: method, target: target..<targetEnd, isOldVersion: isOldVersion, fieldLines: index..<index)
    }

    private static func fields(
        of head: RequestHead, _ bytes: Span<UInt8>, limits: HeadLimits
    ) throws(RequestSyntaxError) -> RequestHead? {
        var head = head
        var facts = Facts()
        var index = head.fieldLines.lowerBound
        while true {
            switch try FieldLine.scan(bytes, at: index, limit: limits.size) {
            case .line(let line):
                head.fieldCount += 1
                if head.fieldCount > limits.fields {
                    throw RequestSyntaxError(
                        431, "The request has more fields than the \(limits.fields) that this gateway takes.")
                }
                try facts.note(line, bytes)
                index = line.end
            case .end:
                head.fieldLines = head.fieldLines.lowerBound..<index
                head.host = facts.host
                head.framing = try facts.framing(isOldVersion: head.isOldVersion)
                head.isHead = bytes.holds("HEAD", at: head.method)
                head.isPlain =
                    !head.isOldVersion && facts.hosts == 1 && !facts.isRemarkable && head.framing == .none
                    && (head.isHead || bytes.holds("GET", at: head.method))
                return head
            case .more:
                if bytes.count >= limits.size {
                    throw RequestSyntaxError(
                        431, "The request's fields are longer than the \(limits.size) bytes that this gateway takes.")
                }
                return nil
            }
        }
    }

    /// What the fields say about the message itself.
    private struct Facts {
        var hosts = 0
        var host = 0..<0
        /// A field that ``isPlain`` excludes.
        var isRemarkable = false
        var length: Int64?
        var codings = 0
        var coding: Coding?

        mutating func note(_ line: FieldLine, _ bytes: Span<UInt8>) throws(RequestSyntaxError) {
            switch RequestFieldClass(bytes, at: line.name) {
            case .host:
                hosts += 1
                host = line.value
                if !bytes.isHostAndPort(line.value) { isRemarkable = true }
            case .connection:
                if !bytes.holds("keep-alive", at: line.value, ignoringCase: true) { isRemarkable = true }
            case .framing where bytes.holds("content-length", at: line.name, ignoringCase: true):
                guard length == nil else { throw .bad("The request has more than one Content-Length.") }
                length = try contentLength(line.value, bytes)
            case .framing:
                codings += 1
                let isChunked = bytes.holds("chunked", at: line.value, ignoringCase: true)
                coding = isChunked ? .chunked : Coding(of: bytes.text(line.value))
            case let other: if other.isRemarkable { isRemarkable = true }
            }
        }

        private func contentLength(_ value: Range<Int>, _ bytes: Span<UInt8>) throws(RequestSyntaxError) -> Int64 {
            guard (1...18).contains(value.count) else {
                throw .bad("The request's Content-Length is not a number of bytes.")
            }
            var length: Int64 = 0
            for index in value {
                guard bytes[index].isDigit else { throw .bad("The request's Content-Length is not a number of bytes.") }
                length = length * 10 + Int64(bytes[index] - UInt8(ascii: "0"))
            }
            return length
        }

        /// Where a body's end could be seen in two places there is no telling who sees it where (RFC 9112 §6.1, §11.2).
        func framing(isOldVersion: Bool) throws(RequestSyntaxError) -> Framing {
            guard let coding else { return length.map { $0 == 0 ? .none : .length($0) } ?? .none }
            guard length == nil else {
                throw .bad("The request has both Content-Length and Transfer-Encoding; send one of them.")
            }
            guard !isOldVersion else { throw .bad("HTTP/1.0 has no Transfer-Encoding; send Content-Length.") }
            guard codings == 1, coding != .endless else {
                throw .bad("The request's Transfer-Encoding is not “chunked”, and once.")
            }
            guard coding == .chunked else {
                throw RequestSyntaxError(
                    501, "This gateway knows no transfer coding but “chunked”; use Content-Encoding.")
            }
            return .chunked
        }
    }

    private enum Coding {
        case chunked
        /// There is another one before it.
        case unknown
        /// Does not end in "chunked": nobody knows where the body ends (RFC 9112 §6.3).
        case endless

        init(of value: String) {
            let members = listMembers(value)
            let chunked = members.count { $0.equalsIgnoringCase("chunked") }
            let endsInChunked = members.last?.equalsIgnoringCase("chunked") == true
            self = endsInChunked && chunked == 1 && members.count > 1 ? .unknown : .endless
        }
    }
}
