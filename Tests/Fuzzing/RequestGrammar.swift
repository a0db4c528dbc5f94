/// Makes requests: mostly right, with the oddities that attacks are made of, and broken ones.
struct RequestGrammar {
    var dice: Dice
    /// How seldom something is odd on this connection: right requests behind one another must be tried as well as wrong ones.
    private var calm = 1

    init(dice: Dice) {
        self.dice = dice
    }

    /// One to three requests on one connection, changed in some places or not.
    mutating func connection() -> [UInt8] {
        var bytes: [UInt8] = []
        calm = dice.pick([1, 3, 20])
        for _ in 0..<(1 + dice.below(3)) { bytes += request() }
        if dice.once(in: 1 + calm) { dice.mutate(&bytes) }
        return bytes
    }

    /// True once in `times`, and more seldom on a calm connection.
    private mutating func odd(_ times: Int) -> Bool { dice.once(in: times * calm) }

    private mutating func request() -> [UInt8] {
        var lines = "\(method()) \(target()) \(version())\(lineEnd())"
        if !odd(12) { lines += "Host: \(odd(3) ? dice.pick(Self.hosts) : "x")\(lineEnd())" }
        for _ in 0..<dice.below(4) { lines += field() }
        let (framing, body) = self.framing()
        lines += framing
        for _ in 0..<dice.below(2) { lines += field() }
        return Array((lines + lineEnd() + body).utf8)
    }

    private mutating func method() -> String {
        dice.once(in: 8)
            ? dice.pick(Self.oddMethods) : dice.pick(["GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
    }

    private mutating func target() -> String {
        if odd(6) { return dice.pick(Self.oddTargets) }
        return "/" + String(decoding: (0..<dice.below(12)).map { _ in dice.pick(Self.pathLetters) }, as: UTF8.self)
    }

    private mutating func version() -> String {
        odd(8) ? dice.pick(Self.oddVersions) : dice.once(in: 6) ? "HTTP/1.0" : "HTTP/1.1"
    }

    private mutating func lineEnd() -> String {
        odd(60) ? dice.pick(["\n", "\r", "\r\r\n", " \r\n", "\r\n ", "\n\n"]) : "\r\n"
    }

    private mutating func field() -> String {
        let name = odd(2) ? dice.pick(Self.names) : dice.pick(["X", "Accept", "Cookie", "Via"])
        let colon =
            odd(40) ? dice.pick([" : ", "\t:", "::", ":\r\n ", " "]) : dice.pick([": ", ":", ":\t "])
        return "\(name)\(colon)\(odd(3) ? dice.pick(Self.values) : "a, b")\(lineEnd())"
    }

    private mutating func framing() -> (String, String) {
        let body = dice.pick(["", "a", "abcde", "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n", "0\r\n\r\n"])
        switch dice.below(odd(2) ? 6 : 2) {
        case 0: return ("Content-Length: \(body.utf8.count)\(lineEnd())", body)
        case 1: return ("Transfer-Encoding: chunked\(lineEnd())", chunks(of: body))
        case 2: return ("Content-Length: \(dice.pick(Self.lengths))\(lineEnd())", body)
        case 3: return ("Transfer-Encoding: \(dice.pick(Self.codings))\(lineEnd())", chunks(of: body))
        case 4 where dice.once(in: 3):
            let both = [
                "Transfer-Encoding: chunked\(lineEnd())", "Content-Length: \(dice.pick(Self.lengths))\(lineEnd())",
                "Transfer-Encoding: \(dice.pick(Self.codings))\(lineEnd())",
            ].shuffled(using: &dice)
            return (both.prefix(2).joined(), dice.once(in: 2) ? chunks(of: body) : body)
        default: return ("", "")
        }
    }

    private mutating func chunks(of body: String) -> String {
        let size = odd(10) ? dice.pick(["0x1", "-1", "+1", " 1", "1 ", "", "g", "ffffffffffffffff1"]) : ""
        let count = size.isEmpty ? String(body.utf8.count, radix: 16, uppercase: dice.once(in: 2)) : size
        let zeros = dice.once(in: 6) ? "000" : ""
        let tail = odd(6) ? dice.pick(Self.extensions) : ""
        let first = body.isEmpty ? "" : "\(zeros)\(count)\(tail)\(lineEnd())\(body)\(lineEnd())"
        let trailer = dice.once(in: 6) ? field() : ""
        return "\(first)0\(odd(12) ? dice.pick(Self.extensions) : "")\(lineEnd())\(trailer)\(lineEnd())"
    }

    private static let hosts = ["x", "x:80", "[::1]", "", "a b", "a/b", "a@b", "a, b", "ü", "evil.example"]
    private static let oddMethods = [
        "FOO", "get", "GE T", "", "CONNECT", "TRACE", "PRI", "QUERY", "M-SEARCH", "MSEARCH", "GET ", " GET", "G(T",
    ]
    private static let oddTargets = [
        "*", "/a b", "/a#b", "//", "/..;/", "/%2f..%2f", "/%00", "http://origin.example/", "http://elsewhere/", "x:80",
        "?a", "",
        "/\u{1}", "/ü", "/%", "http://origin.example:80/%2e%2e/a?b", "http://a@origin.example/", "/a\\..\\b",
        "HTTP://ORIGIN.EXAMPLE",
    ]
    private static let oddVersions = [
        "HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/1.10", "http/1.1", "HTTP/1", "HTTP/11", "", "HTTP/1.1 ", "HTTP 1.1",
        "HTTP/01.1",
    ]
    private static let pathLetters = Array("ab/.%2eEfF?&=;,+~_-c1".utf8)
    private static let names = [
        "X", "Accept", "Cookie", "Connection", "Upgrade", "Expect", "Transfer-Encoding", "Content-Length", "Host",
        "X Y", "", "X(",
        "Transfer_Encoding", "content-length", "TE", "Trailer", "Via", "Range", "X\0", "If-None-Match",
        "X-Forwarded-Host",
    ]
    private static let values = [
        "", "a", "close", "keep-alive", "upgrade", "100-continue", "chunked", "5", "0", "h2c", "a\0b", "a\u{1}b",
        "a\rb", "a\nb",
        "a\r\n b", "ü", "\"a, b\"", "x, y", "a ", "\t", "TE, close",
    ]
    private static let lengths = [
        "0", "5", "005", "5, 5", "+5", "-5", "0x5", "5 5", "", "5.0", "5a", "18446744073709551621",
        "9223372036854775808", "5 ", "\u{B}5",
    ]
    private static let codings = [
        "chunked", "Chunked", "CHUNKED ", "xchunked", "chunked, identity", "identity", "chunked, chunked",
        "gzip, chunked", ",chunked",
        "chunked,", "", "\"chunked\"", "chunked;a=b", "\u{B}chunked", "chunked\t", "identity, chunked", "chun\u{1}ked",
    ]
    private static let extensions = [
        ";a", ";a=b", ";a=\"b\"", "; a", ";", ";a=\"", ";a\0", " ;a", ";a\nb", ";a=\"\r\n\"", ";\u{FF}",
    ]
}
