import NIOConcurrencyHelpers
import NIOHTTP1
import Perennial
import PerennialGateway
import PerennialHTTP
import PerennialTesting
import Testing

@Suite struct PassingTests {
    @Test func `other methods pass through with their bodies, and a success removes what was stored`() async throws {
        try await withRig(origin: { request in
            request.method == "POST"
                ? .status(201, "made \(request.body.count)", ["Connection": "X-Secret", "X-Secret": "1"])
                : .ok("\(request.number)", ["Cache-Control": "max-age=60"])
        }) { rig in
            #expect(try await rig.get("/things").body == "1")
            let client = try await rig.client()
            try await client.send("POST /things HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nKeep-Alive: 1\r\n\r\n12345")
            let posted = try await client.response()
            #expect(posted.status == 201)
            #expect(posted.body == "made 5")
            #expect(posted.cacheStatus == "perennial; fwd=method; fwd-status=201")
            #expect(posted.field("X-Secret") == nil)
            #expect(posted.field("Age") == "0")
            #expect(posted.field("Via") == "1.1 perennial")
            #expect(rig.origin.requests[1].body == Array("12345".utf8))
            #expect(rig.origin.requests[1].field("Keep-Alive") == nil)
            #expect(try await rig.get("/things").body == "3")
        }
    }

    @Test func `a failed unsafe request leaves what is stored alone`() async throws {
        try await withRig(origin: { request in
            request.method == "DELETE" ? .status(409) : .ok("\(request.number)", ["Cache-Control": "max-age=60"])
        }) { rig in
            _ = try await rig.get("/")
            let client = try await rig.client()
            try await client.send("DELETE", "/")
            #expect(try await client.response().status == 409)
            #expect(try await client.get("/").body == "1")
        }
    }

    @Test func `a body in chunks goes through in chunks, and the client is told to go on`() async throws {
        try await withRig(origin: { request in
            .ok("\(String(decoding: request.body, as: UTF8.self)) \(request.field("Transfer-Encoding") ?? "-")")
        }) { rig in
            let client = try await rig.client()
            try await client.send(
                "PUT /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
            #expect(try await client.response().status == 100)
            try await client.send("3\r\nabc\r\n")
            try await client.send("2\r\nde\r\n0\r\n\r\n")
            #expect(try await client.response().body == "abcde chunked")
            #expect(rig.origin.requests[0].field("Expect") == nil)
        }
    }

    @Test(arguments: [("Authorization", "authorization"), ("Cookie", "cookies")])
    func `a request with credentials passes and is not stored`(field: String, detail: String) async throws {
        try await withRig(origin: { .ok("\($0.number)", ["Cache-Control": "public, max-age=60"]) }) { rig in
            let client = try await rig.client()
            for number in 1...2 {
                try await client.send("GET /me HTTP/1.1\r\nHost: x\r\n\(field): secret\r\n\r\n")
                let response = try await client.response()
                #expect(response.body == "\(number)")
                #expect(response.cacheStatus == "perennial; fwd=bypass; fwd-status=200; detail=\(detail)")
            }
            #expect(rig.origin.requests[0].field(field) == "secret")
            #expect(try await client.get("/me").cacheStatus == "perennial; fwd=uri-miss; stored")
        }
    }

    @Test func `requests with Authorization share answers once that is allowed, and refreshes carry none`() async throws
    {
        try await withRig(
            { $0.routes[0].rules.allowances = [.authorization] },
            origin: { .ok("\($0.number)", ["Cache-Control": "max-age=60, stale-while-revalidate=600"]) }
        ) { rig in
            #expect(try await rig.get("/", ["Authorization": "Bearer a"]).body == "1")
            #expect(try await rig.get("/", ["Authorization": "Bearer b"]).body == "1")
            #expect(rig.origin.requests[0].field("Authorization") == "Bearer a")
            rig.clock.advance(by: .seconds(70))
            _ = try await rig.get("/", ["Authorization": "Bearer b"])
            await rig.events.waitForRefresh()
            #expect(rig.origin.requests[1].field("Authorization") == nil)
        }
    }

    @Test func `the origin's own credentials come from the configuration, in place of the client's`() async throws {
        try await withRig(
            { $0.routes[0].origin.fields = ["X-Api-Key": "ours"] },
            origin: { _ in .ok("", ["Cache-Control": "max-age=60"]) }
        ) { rig in
            _ = try await rig.get("/", ["X-Api-Key": "theirs"])
            #expect(rig.origin.requests[0].fields["X-Api-Key"] == ["ours"])
        }
    }

    @Test func `a request marked no-store leaves nothing behind`() async throws {
        try await withRig(origin: { .ok("\($0.number)", ["Cache-Control": "max-age=60"]) }) { rig in
            let passed = try await rig.get("/", ["Cache-Control": "no-store"])
            #expect(passed.cacheStatus == "perennial; fwd=request; fwd-status=200")
            #expect(try await rig.get("/").body == "2")
        }
    }

    @Test func `100 readers of a response that may not be stored each get their own, side by side`() async throws {
        let gate = Gate()
        try await withRig(origin: { request in
            await gate.pass()
            return .ok("\(request.number)", ["Cache-Control": "no-store"])
        }) { rig in
            let clients = try await (0..<100).asyncMap { _ in try await rig.client() }
            for client in clients { try await client.send("GET", "/") }
            await gate.waitForArrivals()
            gate.open()
            let bodies = try await clients.asyncMap { try await $0.response().body }
            #expect(Set(bodies).count == 100)
            // Remembered for some seconds: nobody waits for anybody.
            #expect(try await rig.get("/").cacheStatus == "perennial; fwd=uri-miss; fwd-status=200; detail=not-stored")
            rig.clock.advance(by: .seconds(11))
            #expect(try await rig.get("/").cacheStatus == "perennial; fwd=uri-miss; fwd-status=200; detail=no-store")
        }
    }

    @Test func `a body over the limit streams through in flat memory and is not stored`() async throws {
        let taken = NIOLockedValueBox(0)
        let (pieces, size) = (512, 64 << 10)
        try await withRig(
            { $0.routes[0].rules.maxBody = 100_000 },
            origin: { _ in
                .pieces(
                    head: "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: \(pieces * size)\r\n\r\n",
                    count: pieces, taken: { number in taken.withLockedValue { $0 = max($0, number) } })
            }
        ) { rig in
            let client = try await rig.client()
            try await client.setReading(false)
            try await client.send("GET", "/large")
            // A second reader of the same gets through while the first one doesn't read at all.
            let other = try await rig.client()
            let whole = try await other.get("/large")
            #expect(whole.body.utf8.count == pieces * size)
            #expect(whole.cacheStatus.contains("fwd=uri-miss"))
            try await client.setReading(true)
            let late = try await client.response()
            #expect(late.body.utf8.count == pieces * size)
            #expect(taken.withLockedValue { $0 } == pieces)
        }
    }

    @Test func `a client that doesn't read slows the origin down`() async throws {
        let taken = NIOLockedValueBox(0)
        let begun = Gate()
        try await withRig(origin: { request in
            let isSlow = request.target == "/slow"
            return .pieces(
                head: "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: \(2048 * (64 << 10))\r\n\r\n",
                count: 2048,
                taken: { number in
                    guard isSlow else { return }
                    taken.withLockedValue { $0 = number }
                    begun.open()
                })
        }) { rig in
            let slow = try await rig.client()
            try await slow.setReading(false)
            try await slow.send("GET", "/slow")
            await begun.pass()
            // While somebody else gets all of 128 MiB, no more goes to this one than fits into the sockets on the way.
            let quick = try await rig.client()
            try await quick.send("GET", "/quick")
            #expect(try await quick.sizeOfRest(atLeast: 2048 * (64 << 10)) >= 2048 * (64 << 10))
            #expect(taken.withLockedValue { $0 } < 1024)
            await slow.close()
        }
    }

    @Test func `a body over the limit whose size nobody announced streams through whole`() async throws {
        try await withRig(
            { $0.routes[0].rules.maxBody = 100_000 },
            origin: { _ in
                .raw(
                    "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n"
                        + String(repeating: "2710\r\n\(String(repeating: "y", count: 10_000))\r\n", count: 50)
                        + "0\r\n\r\n")
            }
        ) { rig in
            let response = try await rig.get("/")
            #expect(response.body == String(repeating: "y", count: 500_000))
            #expect(response.cacheStatus == "perennial; fwd=uri-miss; fwd-status=200; detail=too-large")
            // A client of HTTP/1.0 knows no chunks: the end of the connection is the end of the body.
            let old = try await rig.client()
            try await old.send("GET / HTTP/1.0\r\n\r\n")
            let answer = try await old.response()
            #expect(answer.field("Connection") == "close")
            #expect(answer.field("Transfer-Encoding") == nil)
            #expect(answer.body.utf8.count == 500_000)
        }
    }

    @Test func `an answer that comes before its request has ended closes the connection behind it`() async throws {
        try await withRig(isHasty: true, origin: { _ in .status(413, "enough") }) { rig in
            let client = try await rig.client()
            try await client.send("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nabc")
            let response = try await client.response()
            #expect(response.status == 413)
            #expect(response.body == "enough")
            #expect(response.field("Connection") == "close")
            #expect(await client.rest().isEmpty)
        }
    }

    @Test func `a client that breaks off its upload breaks off the request to the origin`() async throws {
        try await withRig(origin: { _ in .ok("never") }) { rig in
            let client = try await rig.client()
            try await client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
            try await client.closeSending()
            #expect(await client.rest().isEmpty)
            #expect(rig.origin.requests.isEmpty)
        }
    }

    @Test(
        arguments: [
            ("/a//b/", "/a//b/"), ("/a?", "/a?"), ("/a?b=c&b=%20+", "/a?b=c&b=%20+"), ("/%2F%3F", "/%2F%3F"),
            ("/é", nil),
            ("/a|b", "/a|b"), ("/a\"b", "/a\"b"), ("/100%", "/100%"), ("/[x]", "/[x]"), ("/{a}?^", "/{a}?^"),
            ("http://ORIGIN/x", "/x"),
        ] as [(String, String?)])
    func `the origin is asked for the same address`(target: String, expected: String?) async throws {
        try await withRig(origin: { _ in .ok("") }) { rig in
            let target = target.replacing("ORIGIN", with: "127.0.0.1:\(rig.origin.port)")
            let response = try await rig.get(target)
            #expect(response.status == (expected == nil ? 400 : 200))
            #expect(rig.origin.requests.first?.target == expected)
        }
    }

    @Test(arguments: [ForwardedRule.off, .x, .rfc])
    func `the origin is told whose request passes, and nothing with what is shared`(rule: ForwardedRule) async throws {
        try await withRig(
            { $0.routes[0].origin.forwarded = rule }, origin: { _ in .ok("", ["Cache-Control": "max-age=60"]) }
        ) { rig in
            let client = try await rig.client()
            // What the client itself says is worth nothing.
            let claims: KeyValuePairs = [
                "Host": "a.example", "X-Forwarded-For": "1.2.3.4", "Forwarded": "for=1.2.3.4", "Content-Length": "0",
            ]
            try await client.send("POST", "/", claims)
            _ = try await client.response()
            try await client.send("GET", "/", ["Host": "a.example", "X-Forwarded-Host": "evil.example"])
            _ = try await client.response()
            await client.close()
            let (passed, shared) = (rig.origin.requests[0], rig.origin.requests[1])
            #expect(passed.field("X-Forwarded-For") == (rule == .x ? "127.0.0.1" : nil))
            #expect(passed.field("X-Forwarded-Proto") == (rule == .x ? "http" : nil))
            #expect(passed.field("X-Forwarded-Host") == (rule == .x ? "a.example" : nil))
            #expect(passed.field("Forwarded") == (rule == .rfc ? "for=127.0.0.1;proto=http;host=a.example" : nil))
            #expect(!shared.fields.contains { $0.name.lowercased().contains("forwarded") })
        }
    }

    @Test func `the origin need not hear of the gateway, for some don't compress then`() async throws {
        try await withRig(
            { $0.routes[0].origin.via = .off },
            origin: { .ok("\($0.field("Via") ?? "-") \($0.field("CDN-Loop") ?? "-")") }
        ) { rig in
            for method in ["GET", "POST"] {
                let client = try await rig.client()
                try await client.send(method, "/", ["Via": "1.1 front", "Content-Length": "0"])
                let answer = try await client.response()
                #expect(answer.body == "- perennial")
                #expect(answer.field("Via") == "1.1 perennial")
                await client.close()
            }
        }
    }

    @Test(arguments: [ViaRule.on, .off, .name("cache-1")])
    func `a gateway that is its own origin notices`(via: ViaRule) async throws {
        try await withRig(origin: { _ in .ok("") }) { rig in
            var itself = Origin(try OriginURL("http://127.0.0.1:\(rig.port)"))
            itself.via = via
            try await rig.gateway.reload([Route(origin: itself)])
            let client = try await rig.client()
            try await client.send("POST", "/")
            #expect(try await client.response().status == 508)
            await client.close()
        }
    }
}
