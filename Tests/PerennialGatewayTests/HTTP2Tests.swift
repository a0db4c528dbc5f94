import NIOHPACK
import NIOHTTP1
import NIOHTTP2
import Perennial
import PerennialTesting
import Testing

@testable import PerennialGateway

/// HTTP/2 without TLS, as clients speak it that know beforehand that the gateway does.
struct HTTP2Tests {
    @Test func `a miss, a hit and a request that passes get the answers of HTTP 1_1`() async throws {
        try await withRig(origin: { request in
            .ok(
                "\(request.method) \(request.target)",
                request.target == "/cached"
                    ? ["Cache-Control": "max-age=60", "ETag": "\"e\""] : ["Cache-Control": "no-store"])
        }) { rig in
            let client = try await HTTP2Client(port: rig.port)
            let old = try await rig.client()
            for (stream, target) in [(1, "/cached"), (3, "/cached"), (5, "/other")] {
                let answer = try await client.get(stream, target)
                #expect(answer.status == 200)
                #expect(answer.body == "GET \(target)")
                for name in ["connection", "transfer-encoding", "keep-alive"] {
                    #expect(!answer.fields.contains(name: name))
                }
                guard stream == 3 else { continue }
                let same = try await old.get(target)
                #expect(answer.cacheStatus == same.cacheStatus)
                let names = Set(same.fields.map { $0.name.lowercased() }).subtracting(["connection"])
                #expect(Set(answer.fields.map(\.name)).subtracting([":status"]) == names)
            }
            #expect(rig.origin.requests.count == 2)
            #expect(rig.gateway.metrics.openConnections == 2)
        }
    }

    @Test func `answers without a body end with their head`() async throws {
        try await withRig(origin: { request in
            request.target == "/none"
                ? .status(204) : .ok("text", ["Cache-Control": "max-age=60", "ETag": "\"e\""])
        }) { rig in
            let client = try await HTTP2Client(port: rig.port)
            try await client.begin(1, "HEAD", "/", isWhole: true)
            let head = try await client.response(on: 1)
            #expect(head.status == 200 && head.fields.first(name: "content-length") == "4" && head.body == "")
            #expect(try await client.get(3, "/", ["if-none-match": "\"e\""]).status == 304)
            #expect(try await client.get(5, "/none").status == 204)
        }
    }

    @Test func `an answer of unknown length ends, and one that breaks off is broken off`() async throws {
        try await withRig(origin: { request in
            let head = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
            return request.target == "/whole" ? .raw(head + "0\r\n\r\n") : .raw(head, closes: true)
        }) { rig in
            let client = try await HTTP2Client(port: rig.port)
            try await client.begin(1, "POST", "/whole", isWhole: true)
            let whole = try await client.response(on: 1)
            #expect(whole.body == "abc" && whole.reset == nil)
            try await client.begin(3, "POST", "/broken", isWhole: true)
            let broken = try await client.response(on: 3)
            #expect(broken.status == 200 && broken.reset == .internalError)
            #expect(try await client.get(5, "/whole").body == "abc")
        }
    }

    @Test func `bodies go to the origin, with their length or without, and trailers behind them`() async throws {
        try await withRig(origin: { request in
            .ok("\(request.field("Content-Length") ?? "-") \(String(decoding: request.body, as: UTF8.self))")
        }) { rig in
            let client = try await HTTP2Client(port: rig.port)
            try await client.begin(1, "POST", "/", ["content-length": "6"])
            try await client.body("abc", on: 1, isLast: false)
            try await client.body("def", on: 1)
            #expect(try await client.response(on: 1).body == "6 abcdef")
            try await client.begin(3, "PUT", "/", ["expect": "100-continue"])
            #expect(
                try await client.take { $0.streamID == 3 && $0.status != nil }.status == "100")
            try await client.body("abc", on: 3, isLast: false)
            try await client.send(.headers(.init(headers: ["x-sum": "1"], endStream: true)), on: 3)
            #expect(try await client.response(on: 3).body == "- abc")
            #expect(rig.origin.requests.last?.trailers["x-sum"] == ["1"])
        }
    }

    @Test func `hints come before the answer and trailers behind it`() async throws {
        try await withRig(origin: { _ in
            .raw(
                "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
                    + "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: no-store\r\n\r\n"
                    + "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n")
        }) { rig in
            let client = try await HTTP2Client(port: rig.port)
            try await client.begin(1, "GET", "/", isWhole: true)
            let frames = try await client.frames(on: 1)
            let heads = frames.compactMap { frame in
                if case .headers(let head) = frame.payload { head.headers } else { nil }
            }
            #expect(heads.map { $0.first(name: ":status") } == ["103", "200", nil])
            #expect(heads[0].first(name: "link") == "</a>")
            #expect(heads[2].first(name: "x-sum") == "1")
        }
    }

    @Test func `an answer that comes before the end of its request ends the stream without blame`() async throws {
        try await withRig(isHasty: true, origin: { _ in .status(403, "no") }) { rig in
            let client = try await HTTP2Client(port: rig.port)
            try await client.begin(1, "POST", "/")
            try await client.body("begun", on: 1, isLast: false)
            #expect(try await client.response(on: 1).body == "no")
            #expect(try await client.response(on: 1).reset == .noError)
            #expect(try await client.get(3, "/").status == 403)
        }
    }

    @Test func `an answer that comes while megabytes are sent is whole, and then the stream ends without blame`()
        async throws
    {
        let text = String(repeating: "too large. ", count: 3000)
        try await withRig(isHasty: true, origin: { _ in .status(413, text) }) { rig in
            try await withThrowingTaskGroup { group in
                for round in 0..<8 {
                    group.addTask {
                        let client = try await HTTP2Client(port: rig.port)
                        try await client.begin(1, "POST", "/", round % 2 == 0 ? ["content-length": "\(4 << 20)"] : [:])
                        async let upload: Void = {
                            for _ in 0..<60 {
                                try? await client.body(String(repeating: "x", count: 64 << 10), on: 1, isLast: false)
                            }
                        }()
                        let answer = try await client.response(on: 1)
                        #expect(answer.status == 413 && answer.body == text && answer.reset == nil)
                        #expect(try await client.response(on: 1).reset == .noError)
                        await upload
                        await client.close()
                    }
                }
                try await group.waitForAll()
            }
        }
    }

    @Test func `curl gets the whole answer that comes while it sends 20 MB`() async throws {
        let text = String(repeating: "too large. ", count: 3000)
        let folder = try await Certificates()
        let file = folder.path("upload")
        try await Shell.run("dd", "if=/dev/zero", "of=\(file)", "bs=1M", "count=20")
        try await withRig(isHasty: true, origin: { _ in .status(413, text) }) { rig in
            for _ in 0..<20 {
                let said = try await Shell.run(
                    "curl", "-sS", "--http2-prior-knowledge", "-T", file, "-w", " %{http_code}",
                    "http://127.0.0.1:\(rig.port)/")
                #expect(said == text + " 413")
            }
        }
    }

    @Test func `a client that stops sending when it sees the head of its answer gets the rest of it`() async throws {
        let text = String(repeating: "x", count: 100_000)
        try await withRig(isHasty: true, origin: { _ in .status(413, text) }) { rig in
            let client = try await HTTP2Client(port: rig.port)
            try await client.begin(1, "POST", "/", ["content-length": "1000000"])
            try await client.body("begun", on: 1, isLast: false)
            try await client.take { $0.streamID == 1 && $0.status == "413" }
            // Less than it said it would be, and the window is too small for the answer.
            try await client.body("", on: 1, isLast: true)
            try await client.send(.windowUpdate(windowSizeIncrement: 100_000), on: 1)
            try await client.send(.windowUpdate(windowSizeIncrement: 100_000))
            let answer = try await client.response(on: 1)
            #expect(answer.body == text && answer.reset == nil)
        }
    }

    @Test(arguments: ["abc", "abcdef"])
    func `a body that is not as long as it says is refused, and never taken for a whole one`(body: String) async throws
    {
        try await withRig(origin: { request in .ok("\(request.body.count)") }) { rig in
            let client = try await HTTP2Client(port: rig.port)
            try await client.begin(1, "POST", "/", ["content-length": "5"])
            try await client.body(body, on: 1)
            let answer = try await client.response(on: 1)
            #expect(answer.status == 0 && answer.reset == .protocolError)
            #expect(rig.origin.requests.isEmpty)
            try await client.begin(3, "POST", "/", ["content-length": "5"])
            try await client.body("abcde", on: 3)
            #expect(try await client.response(on: 3).body == "5")
        }
    }

    @Test func `the origin hears by what version a request came`() async throws {
        try await withRig(origin: { request in .ok(request.field("Via") ?? "") }) { rig in
            let client = try await HTTP2Client(port: rig.port)
            try await client.begin(1, "POST", "/", isWhole: true)
            #expect(try await client.response(on: 1).body == "2 perennial")
        }
    }

    @Test func `cookies that come one by one are one field`() async throws {
        try await withRig(origin: { request in .ok(request.field("Cookie") ?? "") }) { rig in
            let client = try await HTTP2Client(port: rig.port)
            let answer = try await client.get(1, "/", ["cookie": "a=1", "cookie": "b=2"])
            #expect(answer.body == "a=1; b=2")
            #expect(answer.cacheStatus.contains("detail=cookies"))
        }
    }

    /// What a stream is refused for.
    struct Refused: CustomTestStringConvertible, Sendable {
        var testDescription: String
        var fields: [String: String]
        /// `nil`: it is reset.
        var status: Int?

        init(_ description: String, _ fields: [String: String], _ status: Int?) {
            (testDescription, self.fields, self.status) = (description, fields, status)
        }
    }

    @Test(arguments: [
        Refused("no path", [":path": "none"], nil),
        Refused("an unknown pseudo-field", [":x": "y"], nil),
        Refused("a field of one connection", ["connection": "close"], nil),
        Refused("chunks", ["transfer-encoding": "chunked"], nil),
        Refused("a capital letter", ["X-Y": "z"], nil),
        Refused("a line end in a field", ["x": "a\r\nb: c"], nil),
        Refused("a line end in the path", [":path": "/a b\r\n"], nil),
        Refused("a content length for nothing", ["content-length": "5"], nil),
        Refused("a control character", ["x": "a\u{1}"], 400),
        Refused("a method that is no word", [":method": "GET/"], 400),
        Refused("two hosts", ["host": "elsewhere"], 400),
        Refused("no host", [":authority": "none"], 400),
        Refused("a tunnel", [":method": "CONNECT", ":path": "none", ":scheme": "none"], 501),
        Refused("an absolute address for a path", [":path": "http://elsewhere.example/"], 400),
        Refused("a long target", [":path": "/" + String(repeating: "a", count: 9000)], 414),
    ])
    func `what is no request is refused, and other streams go on`(refused: Refused) async throws {
        try await withRig(origin: { _ in .ok("fine", ["Cache-Control": "max-age=60"]) }) { rig in
            let client = try await HTTP2Client(port: rig.port)
            var fields = [
                (":method", "GET"), (":scheme", "http"), (":authority", "gateway"), (":path", "/"),
            ].filter { refused.fields[$0.0] == nil }
            fields += refused.fields.filter { $0.value != "none" }.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
            try await client.begin(1, fields)
            let answer = try await client.response(on: 1)
            if let status = refused.status {
                #expect(answer.status == status)
                #expect(answer.cacheStatus.hasPrefix("perennial; detail="))
            } else {
                #expect(answer.reset != nil)
            }
            #expect(rig.origin.requests.isEmpty)
            #expect(try await client.get(3, "/").body == "fine")
        }
    }

    @Test func `200 fields are too many, and so are 75 KB, but not 200 cookies`() async throws {
        try await withRig(origin: { _ in .ok("fine") }) { rig in
            let client = try await HTTP2Client(port: rig.port)
            let start = [(":method", "GET"), (":scheme", "http"), (":authority", "gateway"), (":path", "/")]
            try await client.begin(1, start + (0..<200).map { ("x-\($0)", "y") })
            #expect(try await client.response(on: 1).status == 431)
            // Larger than the limit when it has been decompressed.
            try await client.begin(5, start + (0..<25).map { _ in ("x", String(repeating: "a", count: 3000)) })
            #expect(try await client.response(on: 5).status == 431)
            try await client.begin(7, start + (0..<200).map { ("cookie", "c\($0)=1") })
            #expect(try await client.response(on: 7).status == 200)
        }
    }

    @Test func `100 streams at a time are answered`() async throws {
        let gate = Gate()
        try await withRig(origin: { request in
            await gate.pass()
            return .ok(request.target)
        }) { rig in
            let client = try await HTTP2Client(port: rig.port)
            for number in 0..<100 { try await client.begin(2 * number + 1, "GET", "/\(number)", isWhole: true) }
            await gate.waitForArrivals(100)
            gate.open()
            for number in 0..<100 { #expect(try await client.response(on: 2 * number + 1).body == "/\(number)") }
        }
    }

    @Test func `a client that begins and resets again and again is cut off`() async throws {
        try await withRig(origin: { _ in .ok("x", ["Cache-Control": "max-age=60"]) }) { rig in
            let client = try await HTTP2Client(port: rig.port)
            await #expect(throws: (any Error).self) {
                for number in 0..<5000 {
                    try await client.begin(2 * number + 1, "POST", "/")
                    try await client.send(.rstStream(.cancel), on: 2 * number + 1)
                }
            }
            await client.waitForEnd()
        }
    }

    @Test(
        arguments: [
            [0, 0, 0, 4, 0, 0, 0, 0, 0],  // SETTINGS
            [0, 0, 8, 6, 0, 0, 0, 0, 0] + Array(repeating: 7, count: 8),  // PING
            [0, 0, 5, 2, 0, 0, 0, 0, 9, 0, 0, 0, 0, 1],  // PRIORITY
            [0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1],  // WINDOW_UPDATE
            [0, 0, 0, 99, 0, 0, 0, 0, 0],  // One that nobody knows
        ] as [[UInt8]])
    func `a client that sends the same control frame again and again is cut off`(frame: [UInt8]) async throws {
        try await withRig(origin: { _ in .ok("") }) { rig in
            let client = try await rig.client()
            try await client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            try? await client.send(
                bytes: [0, 0, 0, 4, 0, 0, 0, 0, 0] + Array(repeating: frame, count: 100_000).joined())
            let said = await client.rest()
            // GOAWAY: ENHANCE_YOUR_CALM.
            #expect(said.suffix(17).prefix(9) == [0, 0, 8, 7, 0, 0, 0, 0, 0] && said.last == 0xb)
        }
    }

    @Test func `a head of 60 KB in a client's first words is taken, though it can't know yet that it may be so large`()
        async throws
    {
        try await withRig(origin: { request in .ok("\(request.field("x")?.utf8.count ?? 0)") }) { rig in
            let client = try await rig.client()
            var fields: [UInt8] = [0x82, 0x84, 0x86, 0x01, 7] + Array("gateway".utf8) + [0x00, 1] + Array("x".utf8)
            // A length of 60,000 in HPACK's way (RFC 7541 §5.1).
            let left = 60_000 - 127
            fields += [0x7F, UInt8(left & 0x7F) | 0x80, UInt8(left >> 7 & 0x7F) | 0x80, UInt8(left >> 14)]
            fields += Array(repeating: UInt8(ascii: "a"), count: 60_000)
            var bytes = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0]
            for start in stride(from: 0, to: fields.count, by: 16_384) {
                let part = fields[start..<min(fields.count, start + 16_384)]
                let isLast = part.endIndex == fields.count
                bytes += [0, UInt8(part.count >> 8), UInt8(part.count & 0xFF), start == 0 ? 1 : 9]
                bytes += [(start == 0 ? 1 : 0) | (isLast ? 4 : 0), 0, 0, 0, 1] + part
            }
            try await client.send(bytes: bytes)
            let answer = try await client.take { $0.contains(Array("60000".utf8)) ? $0.count : nil }
            #expect(!answer.isEmpty)
            // The acknowledgement comes when it comes.
            try await client.send(
                bytes: [0, 0, 0, 4, 1, 0, 0, 0, 0] + [0, 0, 8, 6, 0, 0, 0, 0, 0] + Array("abcdefgh".utf8))
            _ = try await client.take { $0.contains(Array("abcdefgh".utf8)) ? $0.count : nil }
        }
    }

    @Test func `a head that goes on and on is cut off`() async throws {
        try await withRig(origin: { _ in .ok("") }) { rig in
            let client = try await rig.client()
            try await client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            let more: [UInt8] = [0, 0, 1, 9, 0, 0, 0, 0, 1, 0x82]
            try? await client.send(
                bytes: [0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82]
                    + Array(repeating: more, count: 1000).joined())
            _ = await client.rest()
        }
    }

    @Test func `the preface may come byte by byte, and what only begins like it is HTTP 1_1`() async throws {
        try await withRig(origin: { _ in .ok("") }) { rig in
            let client = try await rig.client()
            for character in "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" { try await client.send(String(character)) }
            try await client.send(bytes: [0, 0, 0, 4, 0, 0, 0, 0, 0])
            let first = try await client.take { $0.count >= 9 ? 9 : nil }
            #expect(first[3] == 4)
            let other = try await rig.client()
            try await other.send("PRI * HTTP/2.0\r\n\r\nXX")
            #expect(try await other.response().status >= 400)
        }
    }

    @Test func `a client that does not take its answer gets what its window allows, and no more is held for it`()
        async throws
    {
        let size = 12 << 20
        try await withRig(
            { $0.idleTimeout = .seconds(15) },
            origin: { _ in .ok(String(repeating: "x", count: size), ["Cache-Control": "max-age=60"]) }
        ) { rig in
            _ = try await rig.get("/")
            let before = rig.gateway.metrics.bytesOut
            let client = try await HTTP2Client(port: rig.port)
            try await client.begin(1, "GET", "/", isWhole: true)
            try await client.take { $0.streamID == 1 && $0.status == "200" }
            // It sends no WINDOW_UPDATE, so the stream is reset for idleness.
            try await client.take { if case .rstStream = $0.payload { true } else { false } }
            #expect(client.received(on: 1) == 65_535)
            #expect(rig.gateway.metrics.bytesOut - before < 1 << 20)
            await client.waitForEnd()
        }
    }

    @Test func `an idle connection is told so and closed`() async throws {
        try await withRig({ $0.idleTimeout = .seconds(2) }, origin: { _ in .ok("") }) { rig in
            let client = try await HTTP2Client(port: rig.port)
            try await client.take { if case .goAway = $0.payload { true } else { false } }
            await client.waitForEnd()
        }
    }

    @Test func `shutting down finishes what is being answered and says goodbye`() async throws {
        let gate = Gate()
        try await withRig(origin: { _ in
            await gate.pass()
            return .ok("finished")
        }) { rig in
            let client = try await HTTP2Client(port: rig.port)
            try await client.begin(1, "GET", "/", isWhole: true)
            await gate.waitForArrivals()
            async let down: Void = rig.gateway.shutdown(deadline: .seconds(20))
            try await client.take { if case .goAway = $0.payload { true } else { false } }
            gate.open()
            #expect(try await client.response(on: 1).body == "finished")
            await client.waitForEnd()
            await down
        }
    }
}

extension HTTP2Frame {
    fileprivate var status: String? {
        guard case .headers(let head) = payload else { return nil }
        return head.headers.first(name: ":status")
    }
}
