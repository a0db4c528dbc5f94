/// A reader of requests that takes RFC 9112 at its word, and nothing else: what the gateway takes for a request must be
/// the same request here. It shares no code with the gateway.
///
/// Only this liberty is allowed, which leaves one meaning: empty lines before a request (§2.2).
struct StrictRequests {
    struct Request: Equatable {
        var method: String
        var target: String
        var fields: [[String]]
        var body: [UInt8]
        var endsConnection: Bool
    }

    private var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) {
        rest = bytes[...]
    }

    /// The next request; `nil`: there is none, or not a whole and right one.
    mutating func next() -> Request? {
        while takeLineEnd() {}
        guard let words = line()?.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false),
            words.count == 3, !words[0].isEmpty, !words[1].isEmpty,
            words[0].allSatisfy(isToken), words[1].allSatisfy({ 0x21...0x7E ~= $0 })
        else { return nil }
        let version = text(words[2])
        guard version.utf8.count == 8, version.hasPrefix("HTTP/1."), version.last?.isASCII == true,
            version.last?.isNumber == true,
            let fields = self.fields()
        else { return nil }
        func values(_ name: String) -> [String] { fields.filter { $0[0].lowercased() == name }.map { $0[1] } }
        let (lengths, codings) = (values("content-length"), values("transfer-encoding"))
        var body: [UInt8] = []
        if let coding = codings.first {
            guard codings.count == 1, lengths.isEmpty, coding.lowercased() == "chunked", version != "HTTP/1.0",
                let chunks = self.chunks()
            else { return nil }
            body = chunks
        } else if let length = lengths.first {
            guard lengths.count == 1, !length.isEmpty, length.utf8.allSatisfy({ 0x30...0x39 ~= $0 }),
                let count = Int(length), count <= rest.count
            else { return nil }
            body = Array(take(count))
        }
        let hosts = values("host").count
        guard hosts == 1 || hosts == 0 && version == "HTTP/1.0" else { return nil }
        let options = values("connection").flatMap { $0.lowercased().split(separator: ",") }.map(trimmed)
        // Who asks for both, or twice, gets the safe one (RFC 9112 §9.3).
        let wishes = options.filter { $0 == "close" || $0 == "keep-alive" }
        let isKept = wishes.isEmpty ? version != "HTTP/1.0" : wishes == ["keep-alive"]
        return Request(
            method: text(words[0]), target: text(words[1]), fields: fields, body: body,
            endsConnection: !isKept || text(words[0]) == "CONNECT")
    }

    /// Up to CR LF, which is left out.
    private mutating func line() -> ArraySlice<UInt8>? {
        guard let end = rest.firstIndex(of: UInt8(ascii: "\n")), end > rest.startIndex,
            rest[end - 1] == UInt8(ascii: "\r")
        else { return nil }
        defer { rest = rest[(end + 1)...] }
        let line = rest[..<(end - 1)]
        return line.contains(UInt8(ascii: "\r")) ? nil : line
    }

    /// Field lines up to the empty one.
    private mutating func fields() -> [[String]]? {
        var fields: [[String]] = []
        while let line = line() {
            if line.isEmpty { return fields }
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex,
                line[..<colon].allSatisfy(isToken),
                line[(colon + 1)...].allSatisfy({ $0 == 9 || $0 >= 0x20 && $0 != 0x7F })
            else { return nil }
            fields.append([text(line[..<colon]), trimmed(text(line[(colon + 1)...]))])
        }
        return nil
    }

    private mutating func chunks() -> [UInt8]? {
        var body: [UInt8] = []
        while let line = line() {
            let digits = line.prefix { $0 != UInt8(ascii: ";") }
            guard !digits.isEmpty, digits.allSatisfy({ UnicodeScalar($0).properties.isASCIIHexDigit }),
                line.dropFirst(digits.count).allSatisfy({ $0 == 9 || $0 >= 0x20 && $0 != 0x7F }),
                let size = Int(text(digits), radix: 16)
            else { return nil }
            if size == 0 {
                // What trailers say counts for nothing (RFC 9110 §6.5.1).
                return self.fields() == nil ? nil : body
            }
            guard size <= rest.count else { return nil }
            body += take(size)
            guard takeLineEnd() else { return nil }
        }
        return nil
    }

    private mutating func takeLineEnd() -> Bool {
        guard rest.starts(with: "\r\n".utf8) else { return false }
        rest = rest.dropFirst(2)
        return true
    }

    private mutating func take(_ count: Int) -> ArraySlice<UInt8> {
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }
}

private func text(_ bytes: ArraySlice<UInt8>) -> String { latin1(bytes) }

/// A character for each byte, so that no two values are alike.
func latin1(_ bytes: some Sequence<UInt8>) -> String {
    var text = String.UnicodeScalarView()
    for byte in bytes { text.append(Unicode.Scalar(byte)) }
    return String(text)
}

func trimmed(_ text: some StringProtocol) -> String {
    let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\t" }
    return String(text.drop(while: isSpace).reversed().drop(while: isSpace).reversed())
}

private func isToken(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
    default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
    }
}
