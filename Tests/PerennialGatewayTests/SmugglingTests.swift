import NIOHTTP1
import Perennial
import PerennialHTTP
import PerennialTesting
import Testing

@testable import PerennialGateway

/// Messages that two servers could understand in two ways are nobody's to guess at (RFC 9112 §11.2).
@Suite struct SmugglingTests {
    struct Wire: CustomTestStringConvertible, Sendable {
        var testDescription: String
        var bytes: String
        var status: Int

        init(_ bytes: String, _ status: Int = 400) {
            self.bytes = bytes
            self.status = status
            testDescription = bytes.debugDescription
        }

        /// A POST with these field lines, and what follows them.
        static func post(_ lines: String, _ body: String = "abcde", _ status: Int = 400) -> Wire {
            Wire("POST / HTTP/1.1\r\nHost: x\r\n\(lines)\r\n\r\n\(body)", status)
        }

        /// A GET with these lines behind its `Host`.
        static func get(_ lines: String, _ status: Int = 400) -> Wire {
            Wire("GET / HTTP/1.1\r\nHost: x\r\n\(lines)\r\n\r\n", status)
        }

        /// A POST in chunks.
        static func chunks(_ body: String) -> Wire { .post("Transfer-Encoding: chunked", body) }
    }

    static let lengths: [Wire] = [
        .post("Content-Length: 5, 5"), .post("Content-Length: 5\r\nContent-Length: 5"),
        .post("Content-Length: 5\r\nContent-Length: 6"), .post("Content-Length: +5"), .post("Content-Length: -5"),
        .post("Content-Length: 0x5"), .post("Content-Length: 5 5"), .post("Content-Length: "),
        .post("Content-Length: 5a"),
        .post("Content-Length: 18446744073709551621"), .post("Content-Length: 9223372036854775808"),
        .post("Content-Length: 18446744073709551615"), .post("Content-Length: \u{B}5"),
        .post("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        .post("Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n"),
        .post("Transfer-Encoding: identity\r\nContent-Length: 5"),
    ]

    static let codings: [Wire] = [
        .post("Transfer-Encoding: xchunked"), .post("Transfer-Encoding: chunked, identity", "0\r\n\r\n"),
        .post("Transfer-Encoding: chunked, chunked", "0\r\n\r\n"),
        .post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        .post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "0\r\n\r\n"),
        .post("Transfer-Encoding: gzip, chunked", "0\r\n\r\n", 501), .post("Transfer-Encoding: ,chunked", "0\r\n\r\n"),
        .post("Transfer-Encoding: chunked,", "0\r\n\r\n"), .post("Transfer-Encoding:", ""),
        .post("Transfer-Encoding: \"chunked\"", "0\r\n\r\n"), .post("Transfer-Encoding: chunked;a=b", "0\r\n\r\n"),
        .post("Transfer-Encoding: \u{B}chunked", "0\r\n\r\n"), .post("Transfer-Encoding: identity", ""),
        .post("Transfer-Encoding:\r\n chunked", "0\r\n\r\n"), .post("Transfer-Encoding : chunked", "0\r\n\r\n"),
        Wire("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        .get("Transfer-Encoding: identity"),
    ]

    static let lines: [Wire] = [
        .get("X: a\r\n b"), .get("X: a\r\n\tb"), .get("X:\r\n b"), .get("X: a\rb"), .get("X: a\r"), .get("X: a\nY: b"),
        .get("X: a\0b"), .get("X: a\u{1}b"), .get("X: a\u{7F}b"), .get("X : a"), .get("X\t: a"), .get(": a"),
        .get("X Y: a"),
        .get("X\u{1}: a"), .get("X(: a"), .get("Xé: a"), .get("X\0: a"), .get("X"), .get("X\r\nY: b"),
        Wire("GET / HTTP/1.1\r\n Host: x\r\n\r\n"), Wire("GET / HTTP/1.1\r\n\tX: y\r\nHost: x\r\n\r\n"),
        Wire("GET / HTTP/1.1\r\n \r\nHost: x\r\n\r\n"), Wire("GET / HTTP/1.1\r\nHost: x\n\n"),
        Wire("GET / HTTP/1.1\nHost: x\n\n"), Wire("GET / HTTP/1.1\rHost: x\r\n\r\n"),
        Wire("GET / HTTP/1.1\r\nHost: x\r\n\n"),
    ]

    static let starts: [Wire] = [
        Wire("GE(T / HTTP/1.1\r\nHost: x\r\n\r\n"), Wire(" GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        Wire("GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n"), Wire("GET /\tHTTP/1.1\r\nHost: x\r\n\r\n"),
        Wire("GET /a b HTTP/1.1\r\nHost: x\r\n\r\n"), Wire("GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n"),
        Wire("GET /\u{1} HTTP/1.1\r\nHost: x\r\n\r\n"), Wire("GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n"),
        Wire("GET * HTTP/1.1\r\nHost: x\r\n\r\n"), Wire("POST * HTTP/1.1\r\nHost: x\r\n\r\n"),
        Wire("GET x:80 HTTP/1.1\r\nHost: x\r\n\r\n"), Wire("GET ?a HTTP/1.1\r\nHost: x\r\n\r\n"),
        Wire("GET a/b HTTP/1.1\r\nHost: x\r\n\r\n"), Wire("CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        Wire("CONNECT /a HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        Wire("GET ftp://elsewhere/ HTTP/1.1\r\nHost: x\r\n\r\n"),
        Wire("GET / HTTP/0.9\r\nHost: x\r\n\r\n", 505), Wire("GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        Wire("GET / HTTP/1.10\r\nHost: x\r\n\r\n"), Wire("GET / HTTP/01.1\r\nHost: x\r\n\r\n"),
        Wire("GET / http/1.1\r\nHost: x\r\n\r\n"),
        Wire("GET / HTTP/1.1 \r\nHost: x\r\n\r\n"), Wire("GET / HTTP/x\r\nHost: x\r\n\r\n"),
        Wire("GET /\r\nHost: x\r\n\r\n"),
        Wire("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), Wire("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        Wire("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"), Wire("GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n"),
        Wire("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"), .get("Expect: tea", 417),
    ]

    static let chunked: [Wire] = [
        .chunks("5 \r\nabcde\r\n0\r\n\r\n"), .chunks(" 5\r\nabcde\r\n0\r\n\r\n"), .chunks("5\nabcde\r\n0\r\n\r\n"),
        .chunks("5\rabcde\r\n0\r\n\r\n"), .chunks("0x5\r\nabcde\r\n0\r\n\r\n"), .chunks("-5\r\nabcde\r\n0\r\n\r\n"),
        .chunks("+5\r\nabcde\r\n0\r\n\r\n"), .chunks("g\r\nabcde\r\n0\r\n\r\n"), .chunks("\r\nabcde\r\n0\r\n\r\n"),
        .chunks(";a\r\nabcde\r\n0\r\n\r\n"), .chunks("5\r\nabcdef\r\n0\r\n\r\n"), .chunks("5\r\nabcde0\r\n\r\n"),
        .chunks("5\r\nabcde\n0\r\n\r\n"), .chunks("10000000000000005\r\nabcde\r\n0\r\n\r\n"),
        .chunks("5;a\nb\r\nabcde\r\n0\r\n\r\n"), .chunks("5;a=\"x\r\n\"\r\nabcde\r\n0\r\n\r\n"),
        .chunks("5;a\0\r\nabcde\r\n0\r\n\r\n"), .chunks("5;;;\r\nabcde\r\n0\r\n\r\n"), .chunks("0\n\n"),
        .chunks("0\r\nX : a\r\n\r\n"), .chunks("0\r\nContent-Length: 5\r\n\r\nabcde"),
        .chunks("0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), .chunks("0\r\n X: a\r\n\r\n"),
    ]

    @Test(arguments: [lengths, codings, lines, starts, chunked])
    func `what could be understood in two ways is refused, and nothing behind it is taken for a request`(
        wires: [Wire]
    ) async throws {
        try await withRig(origin: { _ in .ok("never") }) { rig in
            for wire in wires {
                let client = try await rig.client()
                try await client.send(wire.bytes + "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
                let response = try? await client.response()
                #expect(response?.status == wire.status, "\(wire)")
                #expect(response?.field("Connection") == "close", "\(wire)")
                #expect(await client.rest().isEmpty, "\(wire)")
                #expect(rig.origin.requests.isEmpty, "\(wire)")
                await client.close()
            }
        }
    }

    @Test func `what is refused comes in its turn behind what was sent before`() async throws {
        try await withRig(origin: { .ok($0.target) }) { rig in
            let client = try await rig.client()
            try await client.send(
                "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nPOST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
                    + "POST /3 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"
                    + "GET /4 HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(try await client.response().body == "/1")
            #expect(try await client.response().body == "/2")
            #expect(try await client.response().status == 501)
            #expect(await client.rest().isEmpty)
            #expect(rig.origin.requests.map(\.target) == ["/1", "/2"])
        }
    }

    @Test func `what is odd but means one thing only is taken, and sent on plainly`() async throws {
        try await withRig(origin: { request in .ok("\(request.target) \(String(decoding: request.body, as: UTF8.self))")
        }) {
            rig in
            let client = try await rig.client()
            try await client.send(
                "\r\nPOST /1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: ChUnKeD\r\n\r\n"
                    + "0003;a=b;c=\"d\"\r\nabc\r\n0\r\nX-Trailer: t\r\nX-Forwarded-For: 1\r\nAuthorization: a\r\n\r\n")
            #expect(try await client.response().body == "/1 abc")
            try await client.send("POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length:  003 \r\n\r\nabc")
            #expect(try await client.response().body == "/2 abc")
            let first = try #require(rig.origin.requests.first)
            let second = try #require(rig.origin.requests.last)
            #expect(first.fields["Transfer-Encoding"] == ["chunked"] && first.fields["Content-Length"].isEmpty)
            // Trailers stay trailers (RFC 9110 §6.5.1).
            #expect(first.fields["X-Trailer"].isEmpty && first.trailers["X-Trailer"] == ["t"])
            #expect(first.trailers.count == 1)
            #expect(second.fields["Content-Length"] == ["3"] && second.fields["Transfer-Encoding"].isEmpty)
        }
    }

    @Test func `an empty line behind a request may come in two parts`() async throws {
        try await withRig(origin: { .ok($0.target) }) { rig in
            let client = try await rig.client()
            try await client.send("POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na\r")
            #expect(try await client.response().body == "/1")
            try await client.send("\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(try await client.response().body == "/2")
        }
    }

    @Test func `fields that some origins take for framing are not sent on`() async throws {
        try await withRig(origin: { _ in .ok("") }) { rig in
            let fields: KeyValuePairs = ["Content_Length": "50", "Transfer_Encoding": "chunked", "X-Other": "stays"]
            _ = try await rig.get("/", fields)
            let names = try #require(rig.origin.requests.first).fields.map { $0.name.lowercased() }
            #expect(!names.contains("content_length") && !names.contains("transfer_encoding"))
            #expect(names.contains("x-other"))
        }
    }

    /// Answers of an origin that are no whole, single answer.
    static let broken: [String] = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\n", "HTTP/1.1 200 OK\r\nX: a\rb\r\n", "HTTP/1.1 200 OK\r\nX: a\nb\r\n",
        "HTTP/1.1 200 OK\r\nX a: b\r\n", "HTTP/1.1 200 OK\r\n: a\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n", "HTTP/1.1 999 Odd\r\n",
        "HTTP/1.1 000 Odd\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n", "HTTP/2.0 200 OK\r\n",
    ]

    @Test(arguments: ["GET", "POST"])
    func `a broken answer of the origin is an error of the gateway's own, and never stored`(method: String) async throws
    {
        try await withRig(origin: { request in
            let head = Self.broken[Int(request.target.dropFirst())!]
            return .raw(head + "Cache-Control: max-age=60\r\n\r\nabcde", closes: true)
        }) { rig in
            for (number, head) in Self.broken.enumerated() {
                let client = try await rig.client()
                try await client.send("\(method) /\(number) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                let response = try? await client.response()
                // A POST's answer goes through as it comes, so all that can be done about a body that breaks off is to
                // break off.
                let isCutShort = method == "POST" && head.contains("Content-Length: 50")
                #expect(response?.status == (isCutShort ? nil : 502), "\(head.debugDescription)")
                await client.close()
                #expect(try await rig.storedKeys().isEmpty, "\(head.debugDescription)")
                // An origin that fails often is left alone for a while.
                rig.clock.advance(by: .seconds(120))
            }
        }
    }

    @Test func `a body in chunks that breaks off is never stored`() async throws {
        try await withRig(origin: { _ in
            .raw(
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
                closes: true)
        }) { rig in
            let response = try await rig.get("/")
            #expect(response.status == 502)
            #expect(try await rig.storedKeys().isEmpty)
        }
    }

    @Test func `a second answer nobody asked for answers nobody`() async throws {
        try await withRig(origin: { request in
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nCache-Control: no-store\r\n\r\n"
            return .raw("\(answer)good\(answer)evil")
        }) { rig in
            for number in 0..<20 {
                let response = try await rig.get("/\(number)")
                #expect(response.body != "evil")
            }
        }
    }
}
