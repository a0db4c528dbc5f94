/// The head of an origin's HTTP/1 response (RFC 9112 §4, §5).
package struct ResponseHead: Hashable, Sendable {
    package var status: Int
    /// HTTP/1.0. Later versions than 1.1 count as 1.1 (RFC 9110 §2.5).
    package var isOldVersion: Bool
    package var fields: HeaderFields

    package init(status: Int, isOldVersion: Bool = false, fields: HeaderFields) {
        self.status = status
        self.isOldVersion = isOldVersion
        self.fields = fields
    }

    /// Whether the connection may be used for another request behind this response (RFC 9112 §9.3).
    package var keepsAlive: Bool {
        let options = fields.values(of: "Connection").flatMap { listMembers($0) }
        if options.contains(where: { $0.equalsIgnoringCase("close") }) { return false }
        return !isOldVersion || options.contains { $0.equalsIgnoringCase("keep-alive") }
    }

    /// Reads a head that is there in full.
    ///
    /// A folded line is joined with a space to the one before, white space between a name and its colon is left out,
    /// and the reason phrase may be missing, with or without the space before it: an intermediary forwards such a
    /// response in its usual form (RFC 9112 §4, §5.1, §5.2). Anything else that is not as the RFC has it makes the
    /// response unusable.
    ///
    /// - Parameter bytes: status line and field lines, each with its CR LF, without the empty line behind them.
    /// - Throws: ``ResponseProblem/syntax`` for what is no head.
    package init(_ bytes: Span<UInt8>) throws(ResponseProblem) {
        var index = 0
        guard let first = try nextLine(bytes, &index) else { throw .syntax }
        (status, isOldVersion) = try Self.statusLine(bytes, first)
        var fields: [(name: String, value: String)] = []
        while let line = try nextLine(bytes, &index) {
            if bytes[line.lowerBound].isOptionalWhiteSpace {
                guard !fields.isEmpty else { throw .syntax }
                let rest = try Self.value(bytes, line)
                let last = fields.count - 1
                if !fields[last].value.isEmpty && !rest.isEmpty { fields[last].value += " " }
                fields[last].value += rest
            } else {
                fields.append(try Self.field(bytes, line))
            }
        }
        self.fields = HeaderFields(fields)
    }

    /// `HTTP-version SP status-code SP [ reason-phrase ]`.
    private static func statusLine(
        _ bytes: Span<UInt8>, _ line: Range<Int>
    ) throws(ResponseProblem) -> (status: Int, isOldVersion: Bool) {
        let start = line.lowerBound
        guard line.count >= 12, bytes.holds("HTTP/1.", at: start..<start + 7), bytes[start + 7].isDigit,
            bytes[start + 8] == space, line.count == 12 || bytes[start + 12] == space
        else { throw .syntax }
        var status = 0
        for index in start + 9..<start + 12 {
            guard bytes[index].isDigit else { throw .syntax }
            status = status * 10 + Int(bytes[index] - UInt8(ascii: "0"))
        }
        for index in start + 12..<line.upperBound where !bytes[index].isFieldByte { throw .syntax }
        return (status, bytes[start + 7] == UInt8(ascii: "0"))
    }

    private static func field(
        _ bytes: Span<UInt8>, _ line: Range<Int>
    ) throws(ResponseProblem) -> (name: String, value: String) {
        var index = line.lowerBound
        while index < line.upperBound, bytes[index].isTokenByte { index += 1 }
        let name = line.lowerBound..<index
        while index < line.upperBound, bytes[index].isOptionalWhiteSpace { index += 1 }
        guard !name.isEmpty, index < line.upperBound, bytes[index] == UInt8(ascii: ":") else { throw .syntax }
        return (bytes.text(name), try value(bytes, index + 1..<line.upperBound))
    }

    private static func value(_ bytes: Span<UInt8>, _ range: Range<Int>) throws(ResponseProblem) -> String {
        var (start, end) = (range.lowerBound, range.upperBound)
        while start < end, bytes[start].isOptionalWhiteSpace { start += 1 }
        while end > start, bytes[end - 1].isOptionalWhiteSpace { end -= 1 }
        for index in start..<end where !bytes[index].isFieldByte { throw .syntax }
        return bytes.extracting(start..<end).withUnsafeBufferPointer { String(fieldBytes: $0) }
    }
}

/// The line at `index`, without its CR LF; `index` moves to the next one.
private func nextLine(_ bytes: Span<UInt8>, _ index: inout Int) throws(ResponseProblem) -> Range<Int>? {
    let start = index
    guard start < bytes.count else { return nil }
    while index < bytes.count, bytes[index] != cr, bytes[index] != lf { index += 1 }
    guard index > start, index + 1 < bytes.count, bytes[index] == cr, bytes[index + 1] == lf else { throw .syntax }
    index += 2
    return start..<index - 2
}
