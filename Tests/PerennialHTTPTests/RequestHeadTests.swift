import Testing

@testable import PerennialHTTP

/// Where a request ends is the one thing that everybody on its way must agree on (RFC 9112).
@Suite struct RequestHeadTests {
    private let limits = HeadLimits(size: 1000, fields: 10)

    private func scan(_ text: String) throws(RequestSyntaxError) -> RequestHead? { try scan(Array(text.utf8)) }

    private func scan(_ bytes: [UInt8]) throws(RequestSyntaxError) -> RequestHead? {
        try RequestHead.scan(bytes.span, limits: limits)
    }

    private func chunkSize(_ text: String) throws(RequestSyntaxError) -> ChunkSize? {
        let bytes = Array(text.utf8)
        return try ChunkSize.scan(bytes.span)
    }

    private func status(_ text: String) -> Int {
        do {
            return try scan(text) == nil ? 0 : 200
        } catch {
            return error.status
        }
    }

    @Test func `the parts of a head are where they are`() throws {
        let text = "GET /a?b=c HTTP/1.1\r\nHost: example.com\r\nAccept:\t */* \r\nEmpty:\r\n\r\nGET /next"
        let bytes = Array(text.utf8)
        let head = try #require(try scan(text))
        func part(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }
        #expect(part(head.method) == "GET" && part(head.target) == "/a?b=c" && !head.isOldVersion)
        #expect(part(head.fieldLines) == "Host: example.com\r\nAccept:\t */* \r\nEmpty:\r\n")
        #expect(head.fieldCount == 3 && head.isPlain && !head.isHead && head.framing == .none)
        #expect(part(head.end..<bytes.count) == "GET /next")
        var values: [String] = []
        var index = head.fieldLines.lowerBound
        while case .line(let line) = try FieldLine.scan(bytes.span, at: index, limit: head.fieldLines.upperBound) {
            values.append("\(part(line.name))=\(part(line.value))")
            index = line.end
        }
        #expect(values == ["Host=example.com", "Accept=*/*", "Empty="])
    }

    @Test(arguments: [
        ("", RequestHead.Framing.none), ("Content-Length: 0\r\n", .none), ("content-length:5\r\n", .length(5)),
        ("Content-Length: 000\r\n", .none),
        ("Content-Length: 999999999999999999\r\n", .length(999_999_999_999_999_999)),
        ("Transfer-Encoding: chunked\r\n", .chunked), ("tRANSFER-eNCODING: ChunkeD \r\n", .chunked),
    ])
    func `a body has one end`(fields: String, framing: RequestHead.Framing) throws {
        #expect(try scan("POST / HTTP/1.1\r\nHost: x\r\n\(fields)\r\n")?.framing == framing)
    }

    @Test(arguments: [
        "Content-Length: 5\r\nContent-Length: 5", "Content-Length: 5\r\nContent-Length: 6", "Content-Length: 5, 5",
        "Content-Length: +5", "Content-Length: -5", "Content-Length: 0x5", "Content-Length: 5 5", "Content-Length:",
        "Content-Length: 1e3", "Content-Length: 5.0", "Content-Length: \"5\"", "Content-Length: ５",
        "Content-Length: 9999999999999999999", "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 0", "Content-Length : 5", "Content-Length\t: 5",
        " Content-Length: 5",
        "X: a\r\n b", "X: a\r\n\tb", "X: a\nY: b", "X: a\rY: b", "X: a\0b", "X: a\u{7F}", "X: a\u{1B}b", ": x", "X",
        "X Y: z",
        "X\u{0}: y", "X(: y", "X;: y", "Xé: y", "X: a\r\r\n",
    ])
    func `what could be read in two ways is refused`(fields: String) {
        #expect(status("POST / HTTP/1.1\r\nHost: x\r\n\(fields)\r\n\r\n") == 400)
    }

    @Test func `a coding before chunked is unknown, and nothing else ends`() {
        func status(_ value: String) -> Int {
            self.status("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \(value)\r\n\r\n")
        }
        #expect(status("gzip, chunked") == 501 && status("gzip;q=1,Chunked") == 501 && status("chunked") == 200)
    }

    @Test(arguments: [
        "identity", "gzip", "chunked, identity", "chunked, gzip, chunked", ",chunked", "chunked, chunked", "xchunked",
        "chunked;a=b",
        "\"chunked\"",
        "chunked\r\nTransfer-Encoding: chunked", "chunked\r\nTransfer-Encoding: identity", "\u{0B}chunked", "",
    ])
    func `only chunked, once, is a transfer coding`(value: String) {
        #expect(status("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \(value)\r\n\r\n") == 400)
    }

    @Test(arguments: [
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400), ("GET / HTTP/1.0\r\n\r\n", 200),
        ("GET / HTTP/1.2\r\nHost: x\r\n\r\n", 200), ("GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        ("GET / HTTP/0.9\r\n\r\n", 505),
        ("GET / HTTP/1\r\n\r\n123456", 400), ("GET / HTTP/1.11\r\n\r\n", 400), ("GET / http/1.1\r\n\r\n", 400),
        ("GET / XTTP/1.1\r\n\r\n", 400), ("GET / HTTP/1.1 \r\n\r\n", 400), ("GET / HTTP/1.1\n\n12345", 400),
        ("GET  / HTTP/1.1\r\n\r\n", 400), ("GET /  HTTP/1.1\r\n\r\n", 400), ("GET / a HTTP/1.1\r\n\r\n", 400),
        ("GET\t/ HTTP/1.1\r\n\r\n", 400), (" GET / HTTP/1.1\r\n\r\n", 400), ("G(T / HTTP/1.1\r\n\r\n", 400),
        ("GET /\u{0} HTTP/1.1\r\n\r\n", 400), ("GET /é HTTP/1.1\r\n\r\n", 400), ("GET\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("\u{16}\u{3}\u{1}\u{2}", 400), ("\r\n GET / HTTP/1.1\r\n\r\n", 400), ("GET / HTTP/1.1\r\n\u{0}", 400),
    ])
    func `a first line is a method, a target and a version`(text: String, expected: Int) {
        #expect(status(text) == expected)
    }

    @Test func `too much is refused as soon as it is too much`() {
        #expect(status("GET /\(String(repeating: "a", count: 1000))") == 414)
        #expect(status(String(repeating: "a", count: 1000)) == 414)
        #expect(status("GET / HTTP/1.1\r\nX: \(String(repeating: "a", count: 1000))") == 431)
        #expect(status("GET / HTTP/1.1\r\n\(String(repeating: "a", count: 1000))") == 431)
        #expect(status("GET / HTTP/1.1\r\n\(String(repeating: "a: b\r\n", count: 10))\r\n") == 200)
        #expect(status("GET / HTTP/1.1\r\n\(String(repeating: "a: b\r\n", count: 11))") == 431)
    }

    @Test func `every beginning of a head needs more, and says nothing else`() throws {
        let text = "POST /a HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\nX:  y \r\n\r\n"
        let bytes = Array(text.utf8)
        for count in 0..<bytes.count {
            #expect(try scan(Array(bytes[..<count])) == nil, "\(count)")
        }
        #expect(try scan(text)?.framing == .chunked)
    }

    @Test(arguments: [
        ("GET", "", true), ("HEAD", "", true), ("get", "", false), ("POST", "", false), ("OPTIONS", "", false),
        ("GET", "Host: y\r\n", false), ("GET", "X-Host: y\r\n", true), ("GET", "Connection: keep-alive\r\n", true),
        ("GET", "Connection: close\r\n", false),
        ("GET", "Connection: Keep-Alive\r\n", true), ("GET", "Connection: x-a\r\n", false),
        ("GET", "Range: bytes=0-1\r\n", false),
        ("GET", "COOKIE: a=b\r\n", false), ("GET", "Expect: 100-continue\r\n", false),
        ("GET", "pragma: no-cache\r\n", false),
        ("GET", "Upgrade: h2c\r\n", false), ("GET", "If-Match: *\r\n", false), ("GET", "If-Range: x\r\n", false),
        ("GET", "Authorization: x\r\n", false), ("GET", "X-Api-Key: x\r\n", false),
        ("GET", "X-Auth-Token: x\r\n", false),
        ("GET", "X-HTTP-Method: x\r\n", false), ("GET", "X-Method-Override: x\r\n", false),
        ("GET", "X-HTTP-Method-Override: x\r\n", false), ("GET", "Host: a/b\r\n", false),
        ("GET", "Cache-Control: no-store\r\n", false),
        ("GET", "If-None-Match: x\r\n", false), ("GET", "If-Modified-Since: x\r\n", false),
        ("GET", "If-Unmodified-Since: x\r\n", false), ("GET", "Content-Length: 1\r\n", false),
        ("GET", "Content-Length: 0\r\n", true), ("GET", "Transfer-Encoding: chunked\r\n", false),
        ("GET", "Accept: */*\r\nAccept-Encoding: gzip\r\nUser-Agent: x\r\nReferer: y\r\n", true),
    ])
    func `plain is what has nothing that matters in it`(method: String, fields: String, isPlain: Bool) throws {
        #expect(try scan("\(method) / HTTP/1.1\r\nHost: x\r\n\(fields)\r\n")?.isPlain == isPlain)
        #expect(try scan("\(method) / HTTP/1.0\r\nHost: x\r\n\(fields)\r\n".filteringChunks)?.isPlain == false)
    }

    @Test func `token characters are those of the table`() {
        for byte in UInt8.min...UInt8.max { #expect(byte.isTokenByte == byte.isTokenCharacter, "\(byte)") }
    }

    @Test(arguments: [
        ("0\r\n", ChunkSize(size: 0, length: 3)), ("1F\r\nx", ChunkSize(size: 31, length: 4)),
        ("00a\r\n", ChunkSize(size: 10, length: 5)), ("5;a=b;c=\"d\"\r\n", ChunkSize(size: 5, length: 13)),
        ("5", nil), ("5\r", nil), ("5;a", nil), ("", nil),
        ("fffffffffffffff\r\n", ChunkSize(size: 0xFFF_FFFF_FFFF_FFFF, length: 17)),
    ])
    func `chunks have sizes`(text: String, chunk: ChunkSize?) throws {
        #expect(try chunkSize(text) == chunk)
    }

    @Test(arguments: [
        "\r\n", "x\r\n", "-1\r\n", "+1\r\n", "0x1\r\n", "5 \r\n", " 5\r\n", "5\n", "5\rx", "5;a\n", "5;\u{0}\r\n",
        "5 ;a\r\n",
        "ffffffffffffffff\r\n", "1\t\r\n", "5,5\r\n", "5;\(String(repeating: "a", count: 2000))",
    ])
    func `what is no size of a chunk is refused`(text: String) {
        #expect(throws: RequestSyntaxError.self) { try chunkSize(text) }
    }
}

extension String {
    /// HTTP/1.0 knows no chunks.
    fileprivate var filteringChunks: String { replacing("Transfer-Encoding: chunked\r\n", with: "") }
}
