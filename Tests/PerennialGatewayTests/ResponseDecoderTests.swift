import Fuzzing
import NIOCore
import PerennialHTTP
import Testing

@testable import PerennialGateway

/// What an origin sends, byte by byte.
@Suite struct ResponseDecoderTests {
    /// What becomes of bytes that come in pieces of these sizes, and then of the end of the connection.
    private static func decode(
        _ text: String, isHead: Bool = false, pieces: () -> Int = { .max }, isClean: Bool = true
    ) -> (events: [ResponseDecoder.Event], problem: ResponseProblem?) {
        var decoder = ResponseDecoder()
        decoder.begin(isHead: isHead)
        var events: [ResponseDecoder.Event] = []
        var rest = Array(text.utf8)[...]
        do throws(ResponseProblem) {
            while !rest.isEmpty {
                let size = min(max(1, pieces()), rest.count)
                var bytes = ByteBuffer(bytes: rest.prefix(size))
                rest = rest.dropFirst(size)
                decoder.receive(&bytes)
                while let event = try decoder.next() { events.append(event) }
            }
            if let event = try decoder.finish(isClean: isClean) { events.append(event) }
            return (events, nil)
        } catch {
            return (events, error)
        }
    }

    /// Bodies joined, since they come in as many pieces as the network likes.
    private static func summary(_ events: [ResponseDecoder.Event]) -> [String] {
        var lines: [String] = []
        var body: [UInt8] = []
        func flush() {
            if !body.isEmpty { lines.append("body \(String(decoding: body, as: UTF8.self))") }
            body = []
        }
        for event in events {
            switch event {
            case .interim(let status, _): lines.append("interim \(status)")
            case .head(let head): lines.append("head \(head.status) \(head.fields.map { "\($0.name)=\($0.value)" })")
            case .body(let piece): body += piece.readableBytesView
            case .end(let trailers, let mayBeReused):
                flush()
                lines.append("end \(trailers.count) \(mayBeReused ? "again" : "closed")")
            }
        }
        flush()
        return lines
    }

    static let whole: [(String, [String])] = [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            ["head 200 [\"Content-Length=5\"]", "body hello", "end 0 again"]
        ),
        ("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", ["head 200 [\"Content-Length=0\"]", "end 0 again"]),
        ("HTTP/1.1 200 \r\nContent-Length:0\r\n\r\n", ["head 200 [\"Content-Length=0\"]", "end 0 again"]),
        (
            "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
            ["interim 103", "head 200 [\"Content-Length=1\"]", "body x", "end 0 again"]
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=\"y\"\r\nde\r\n0\r\nA: b\r\n\r\n",
            ["head 200 [\"Transfer-Encoding=chunked\"]", "body abcde", "end 1 again"]
        ),
        ("HTTP/1.1 200 OK\r\n\r\nuntil the end", ["head 200 []", "body until the end", "end 0 closed"]),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
            ["head 200 [\"Content-Length=1\"]", "body x", "end 0 closed"]
        ),
        (
            "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx",
            ["head 200 [\"Connection=Keep-Alive\", \"Content-Length=1\"]", "body x", "end 0 again"]
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
            ["head 200 [\"Connection=close\", \"Content-Length=1\"]", "body x", "end 0 closed"]
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", ["head 204 []", "end 0 again"]),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", ["head 304 [\"Content-Length=9\"]", "end 0 again"]),
        // A folded line, and white space before a colon.
        (
            "HTTP/1.1 200 OK\r\nA : b\r\n\t c\r\nContent-Length: 0\r\n\r\n",
            ["head 200 [\"A=b c\", \"Content-Length=0\"]", "end 0 again"]
        ),
    ]

    @Test(arguments: whole)
    func `a response is the same in whatever pieces it comes`(text: String, expected: [String]) {
        let atOnce = Self.decode(text)
        #expect(Self.summary(atOnce.events) == expected)
        #expect(atOnce.problem == nil)
        var dice = Dice(seed: 7)
        for _ in 0..<50 {
            let most = dice.next() % 9 + 1
            let inPieces = Self.decode(text, pieces: { Int(dice.next() % most) })
            #expect(Self.summary(inPieces.events) == expected)
            #expect(inPieces.problem == nil)
        }
    }

    @Test(arguments: whole)
    func `a response that is cut anywhere is never taken for a whole one`(text: String, expected: [String]) {
        for length in 0..<text.utf8.count {
            let cut = Self.decode(String(decoding: text.utf8.prefix(length), as: UTF8.self), isClean: false)
            let isWhole = cut.problem == nil && cut.events.contains { if case .end = $0 { true } else { false } }
            #expect(!isWhole, "cut behind \(length) bytes")
        }
    }

    @Test func `HEAD has no body, whatever its length says`() {
        let head = Self.decode("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", isHead: true)
        #expect(Self.summary(head.events) == ["head 200 [\"Content-Length=100\"]", "end 0 again"])
    }

    @Test func `bytes behind a response without a body are not another response`() {
        let split = Self.decode("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        #expect(Self.summary(split.events) == ["head 204 []", "end 0 closed"])
    }

    @Test func `a connection is not used again behind a status without a body that announces one`() {
        for fields in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
            let odd = Self.decode("HTTP/1.1 204 No Content\r\n\(fields)\r\n\r\n")
            #expect(Self.summary(odd.events).last == "end 0 closed")
        }
    }

    @Test(arguments: [
        ("this is no HTTP\r\n\r\n", ResponseProblem.syntax), ("HTTP/2 200 OK\r\n\r\n", .syntax),
        ("HTTP/1.1 20 OK\r\n\r\n", .syntax), ("HTTP/1.1 2000 OK\r\n\r\n", .syntax),
        ("HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", .syntax), ("HTTP/1.1 200 OK\r\nA\r\n\r\n", .syntax),
        ("HTTP/1.1 200 OK\r\n: a\r\n\r\n", .syntax), ("HTTP/1.1 200 OK\r\n folded: a\r\n\r\n", .syntax),
        ("HTTP/1.1 200 OK\r\nA: b\u{0}\r\n\r\n", .syntax), ("HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n", .syntax),
        ("HTTP/1.1 099 Odd\r\n\r\n", .status), ("HTTP/1.1 101 Switching\r\n\r\n", .status),
        ("HTTP/1.1 600 Odd\r\n\r\n", .status),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", .length),
        ("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx", .length),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", .length),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", .coding),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", .coding),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", .coding),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", .coding),
    ])
    func `what is no response is said to be none`(text: String, problem: ResponseProblem) {
        #expect(Self.decode(text).problem == problem)
        #expect(Self.decode(text, pieces: { 1 }).problem == problem)
    }

    @Test func `heads, trailers and interim responses have an end`() {
        let endless = "HTTP/1.1 200 OK\r\n" + String(repeating: "A: b\r\n", count: 30_000)
        #expect(Self.decode(endless, pieces: { 1_000 }).problem == .tooLarge)
        let line = "HTTP/1.1 200 OK\r\nA: " + String(repeating: "b", count: 200_000)
        #expect(Self.decode(line, pieces: { 1_000 }).problem == .tooLarge)
        let trailers =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
            + String(repeating: "A: b\r\n", count: 30_000)
        #expect(Self.decode(trailers, pieces: { 1_000 }).problem == .tooLarge)
        let interims = String(repeating: "HTTP/1.1 103 Hints\r\n\r\n", count: 1_100)
        #expect(Self.decode(interims).problem == .status)
    }

    @Test func `random bytes never trap, and a head is found within its bytes`() {
        var dice = Dice(seed: 3)
        let parts = [
            "HTTP/1.1 200 OK\r\n", "HTTP/1.0 204\r\n", "\r\n", "\r", "\n", "Content-Length: 3\r\n", "0\r\n\r\n", "abc",
            ": ", " ",
            "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n", "ffffffffffffffff\r\n", "\u{FF}",
            "HTTP/1.1 100 Go on\r\n\r\n",
        ]
        for _ in 0..<20_000 {
            let text = (0...dice.next() % 9).map { _ in parts[Int(dice.next() % UInt64(parts.count))] }.joined()
            let atOnce = Self.decode(text)
            let inPieces = Self.decode(text, pieces: { Int(dice.next() % 5) })
            #expect(atOnce.problem == inPieces.problem)
            // Whether the connection may be used again depends on whether what follows has come already.
            func lines(_ events: [ResponseDecoder.Event]) -> [String] {
                Self.summary(events).map { $0.hasPrefix("end") ? "end" : $0 }
            }
            if atOnce.problem == nil { #expect(lines(atOnce.events) == lines(inPieces.events)) }
        }
    }
}
