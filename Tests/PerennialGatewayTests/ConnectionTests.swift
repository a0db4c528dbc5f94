import Perennial
import PerennialHTTP
import PerennialTesting
import Testing

@testable import PerennialGateway

@Suite struct ConnectionTests {
    @Test func `50 pipelined requests are answered in their order, hits, misses and passed ones mixed`() async throws {
        try await withRig(origin: { request in
            .ok(
                request.target,
                request.target.hasPrefix("/cached") ? ["Cache-Control": "max-age=60"] : ["Cache-Control": "no-store"])
        }) { rig in
            let client = try await rig.client()
            let targets = (0..<50).map { $0 % 3 == 0 ? "/cached" : $0 % 3 == 1 ? "/cached/\($0)" : "/other/\($0)" }
            try await client.send(targets.map { "GET \($0) HTTP/1.1\r\nHost: x\r\n\r\n" }.joined())
            for target in targets {
                #expect(try await client.response().body == target)
            }
        }
    }

    @Test func `requests that come byte by byte are understood`() async throws {
        try await withRig(origin: { _ in .ok("slow", ["Cache-Control": "max-age=60"]) }) { rig in
            let client = try await rig.client()
            for character in "GET / HTTP/1.1\r\nHost: x\r\n\r\n" { try await client.send(String(character)) }
            #expect(try await client.response().body == "slow")
        }
    }

    @Test func `HTTP 1.0 closes unless it asks to stay`() async throws {
        try await withRig(origin: { _ in .ok("old", ["Cache-Control": "max-age=60"]) }) { rig in
            let client = try await rig.client()
            try await client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            #expect(try await client.response().field("Connection") == "keep-alive")
            try await client.send("GET / HTTP/1.0\r\n\r\n")
            let last = try await client.response()
            #expect(last.field("Connection") == "close")
            #expect(await client.rest().isEmpty)
        }
    }

    @Test func `Connection close is obeyed, and what follows is not answered`() async throws {
        try await withRig(origin: { _ in .ok("x", ["Cache-Control": "max-age=60"]) }) { rig in
            let client = try await rig.client()
            try await client.send(
                "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(try await client.response().field("Connection") == "close")
            #expect(await client.rest().isEmpty)
        }
    }

    /// Bytes that are no request this gateway takes.
    struct Refused: CustomTestStringConvertible, Sendable {
        var testDescription: String
        var bytes: String
        var status: Int

        init(_ description: String, _ bytes: String, _ status: Int) {
            (testDescription, self.bytes, self.status) = (description, bytes, status)
        }
    }

    @Test(arguments: [
        Refused("no Host", "GET / HTTP/1.1\r\n\r\n", 400),
        Refused("two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        Refused("nonsense", "nonsense\r\n\r\n", 400),
        Refused("a control character", "GET /\u{7F} HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        Refused("a port that is none", "GET / HTTP/1.1\r\nHost: a:notaport\r\n\r\n", 400),
        Refused("a scheme that is none here", "GET ftp://elsewhere.example/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        Refused("a long target", "GET /\(String(repeating: "a", count: 9000)) HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        Refused(
            "a long field", "GET / HTTP/1.1\r\nHost: x\r\nX: \(String(repeating: "a", count: 70_000))\r\n\r\n", 431),
        Refused(
            "many fields", "GET / HTTP/1.1\r\nHost: x\r\n\(String(repeating: "X: y\r\n", count: 200))\r\n", 431),
        Refused("a tunnel", "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n", 501),
        Refused("a later version", "GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        Refused(
            "two framings", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400
        ),
    ])
    func `what is no request is refused with a readable line, and the connection closed`(refused: Refused) async throws
    {
        try await withRig(origin: { _ in .ok("never") }) { rig in
            let client = try await rig.client()
            try await client.send(refused.bytes)
            let response = try await client.response()
            #expect(response.status == refused.status)
            #expect(response.body.hasSuffix("\n"))
            #expect(response.field("Connection") == "close")
            #expect(response.cacheStatus.hasPrefix("perennial; detail="))
            _ = await client.rest()
            #expect(rig.origin.requests.isEmpty)
        }
    }

    @Test func `a bad request behind good ones is refused in its turn`() async throws {
        let gate = Gate()
        try await withRig(origin: { _ in
            await gate.pass()
            return .ok("good")
        }) { rig in
            let client = try await rig.client()
            try await client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\nnonsense\r\n\r\n")
            await gate.waitForArrivals()
            gate.open()
            #expect(try await client.response().body == "good")
            #expect(try await client.response().status == 400)
        }
    }

    @Test func `a client that closes its sending side still gets its answer`() async throws {
        try await withRig(origin: { _ in .ok("heard") }) { rig in
            let client = try await rig.client()
            try await client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            try await client.closeSending()
            #expect(try await client.response().body == "heard")
            #expect(await client.rest().isEmpty)
        }
    }

    @Test(arguments: ["", "GET / HTTP/1.1\r\nHo", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"])
    func `a connection on which nothing comes any more is closed`(begun: String) async throws {
        try await withRig({ $0.idleTimeout = .milliseconds(100) }, origin: { _ in .ok("") }) { rig in
            let client = try await rig.client()
            // It may be closed already when this machine is slow.
            if !begun.isEmpty { try? await client.send(begun) }
            _ = await client.rest()
        }
    }

    @Test func `a pipelined request behind a large answer is answered behind it`() async throws {
        let large = String(repeating: "x", count: 15 << 20)
        try await withRig(origin: { request in
            .ok(request.target == "/large" ? large : "small", ["Cache-Control": "max-age=60"])
        }) { rig in
            for target in ["/large", "/small"] { _ = try await rig.get(target) }
            let client = try await rig.client()
            try await client.setReading(false)
            for target in ["/large", "/small", "/large"] { try await client.send("GET", target) }
            try await client.send("GET /small HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            try await client.setReading(true)
            for size in [large.utf8.count, 5, large.utf8.count, 5] {
                let answer = try await client.response()
                #expect(answer.body.utf8.count == size && answer.cacheStatus.hasPrefix("perennial; hit"))
            }
            #expect(await client.rest().isEmpty)
        }
    }

    @Test func `shutting down finishes what is being answered and closes what is idle`() async throws {
        let gate = Gate()
        try await withRig(origin: { _ in
            await gate.pass()
            return .ok("finished")
        }) { rig in
            let (busy, idle) = (try await rig.client(), try await rig.client())
            try await busy.send("GET", "/")
            await gate.waitForArrivals()
            async let down: Void = rig.gateway.shutdown(deadline: .seconds(20))
            _ = await idle.rest()
            // Refused, unless a server of another test has got the port meanwhile.
            let late = try? await TestClient(port: rig.port)
            #expect(rig.gateway.metrics.openConnections == 1)
            await late?.close()
            gate.open()
            let last = try await busy.response()
            #expect(last.body == "finished")
            #expect(last.field("Connection") == "close")
            await down
        }
    }

    @Test func `a gateway that drains takes connections for a while, and keeps none open`() async throws {
        try await withRig({ $0.drain = .seconds(2) }, origin: { _ in .ok("", ["Cache-Control": "max-age=60"]) }) {
            rig in
            let early = try await rig.client()
            #expect(try await early.get("/").field("Connection") == nil)
            async let down: Void = rig.gateway.shutdown(deadline: .seconds(20))
            try await eventually {
                let late = try await rig.client()
                let answer = try await late.get("/")
                await late.close()
                return answer.field("Connection") == "close"
            }
            #expect(try await early.get("/").field("Connection") == "close")
            _ = await early.rest()
            await down
        }
    }

    @Test func `a stop does not wait for a stream of events`() async throws {
        try await withRig(origin: { _ in
            .raw("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        }) { rig in
            let client = try await rig.client()
            try await client.send("GET", "/")
            _ = try await client.take { $0.contains(Array("abc".utf8)) ? $0.count : nil }
            let began = ContinuousClock.now
            await rig.gateway.shutdown(deadline: .seconds(60))
            #expect(ContinuousClock.now - began < .seconds(50))
            _ = await client.rest()
        }
    }

    @Test func `one client's connection too many is told so`() async throws {
        try await withRig({ $0.maxConnectionsPerClient = 1 }, origin: { _ in .ok("") }) { rig in
            let first = try await rig.client()
            #expect(try await first.get("/").status == 200)
            let second = try await rig.client()
            let refused = try await second.get("/")
            #expect(refused.status == 503 && refused.cacheStatus.contains("detail=too-many-connections"))
        }
    }

    @Test func `shutting down cuts off what takes longer than the deadline`() async throws {
        let gate = Gate()
        try await withRig(origin: { _ in
            await gate.pass()
            return .ok("too late")
        }) { rig in
            let client = try await rig.client()
            try await client.send("GET", "/")
            await gate.waitForArrivals()
            await rig.gateway.shutdown(deadline: .milliseconds(50))
            await #expect(throws: TestClient.Closed.self) { try await client.response() }
            gate.open()
        }
    }

    @Test func `every answer is counted once`() async throws {
        try await withRig(origin: { request in
            .status(request.target == "/bad" ? 500 : 200, "12345", ["Cache-Control": "max-age=60"])
        }) { rig in
            let client = try await rig.client()
            _ = try await client.get("/")
            _ = try await client.get("/")
            _ = try await client.get("/bad")
            try await client.send("POST", "/")
            _ = try await client.response()
            try await client.send("nonsense\r\n\r\n")
            _ = try await client.response()
            let metrics = rig.gateway.metrics
            #expect(metrics.hits == 1)
            #expect(metrics.misses == 2)
            #expect(metrics.passed == 1)
            #expect(metrics.errors == 1)
            #expect(metrics.answers2xx == 3)
            #expect(metrics.answers4xx == 1)
            #expect(metrics.answers5xx == 1)
            #expect(metrics.reads == 4)
            #expect(metrics.writes == 1)
            #expect(metrics.requests == 5)
            #expect(metrics.bytesOut > 500)
        }
    }

    @Test func `a head that does not come to its end is answered with a 408`() async throws {
        try await withRig({ $0.headTimeout = .milliseconds(200) }, origin: { _ in .ok("") }) { rig in
            let client = try await rig.client()
            try await client.send("GET / HTTP/1.1\r\nHo")
            let late = try await client.response()
            #expect(late.status == 408 && late.field("Connection") == "close")
            _ = await client.rest()
            // A whole one may be followed by nothing for longer.
            let other = try await rig.client()
            #expect(try await other.get("/").status == 200)
        }
    }

    @Test func `a body that is too large is answered with a 413, announced or not`() async throws {
        try await withRig({ $0.maxRequestBody = 10 }, origin: { .ok(String(decoding: $0.body, as: UTF8.self)) }) {
            rig in
            let client = try await rig.client()
            try await client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789")
            #expect(try await client.response().body == "0123456789")
            try await client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n")
            #expect(try await client.response().status == 413)
            let other = try await rig.client()
            try await other.send(
                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n012345\r\n6\r\n012345\r\n")
            #expect(try await other.response().status == 413)
            let second = try await HTTP2Client(port: rig.port)
            try await second.begin(1, "POST", "/")
            try await second.body("01234567890", on: 1)
            #expect(try await second.response(on: 1).status == 413)
        }
    }

    @Test func `one connection too many is told so, and others can come when one has gone`() async throws {
        try await withRig({ $0.maxConnections = 1 }, origin: { _ in .ok("") }) { rig in
            let first = try await rig.client()
            #expect(try await first.get("/").status == 200)
            let second = try await rig.client()
            let refused = try await second.get("/")
            #expect(refused.status == 503 && refused.field("Retry-After") == "1")
            _ = await second.rest()
            await second.close()
            #expect(try await first.get("/").status == 200)
            #expect(rig.gateway.metrics.refusedConnections == 1)
            await first.close()
            while true {
                let third = try await rig.client()
                let answer = try await third.get("/")
                await third.close()
                if answer.status == 200 { break }
            }
        }
    }

    @Test(arguments: [
        "a.example", "A.example", "a.example:8080", "a.example:80", "a.example.", "[::1]:8080", "", "a_b", "a'b",
        "a..b",
    ])
    func `the quick way to a key with the client's host gives the key of the slow one`(host: String) throws {
        for (origin, strips) in [("http://x", false), ("https://x:1234/base", true)] {
            let address = try RouteAddress(
                path: PathPattern("/a"), stripsPath: strips, origin: OriginURL(origin), sentHost: .client)
            let keys = AddressKeys(address: address, query: QueryRules(dropped: [Wildcard("x")]), limit: 100)
            let (target, bytes) = ("/a/b?x=1&y", Array("/a/b?x=1&y\(host)".utf8))
            let quick = keys.key(forPlainTarget: 0..<target.count, host: target.count..<bytes.count, in: bytes.span)
            #expect(try quick == nil || quick == keys.key(forTarget: target, host: host))
            #expect((quick != nil) == ["a.example", "a.example:8080"].contains(host))
        }
    }

    @Test(arguments: [
        "/", "/a", "/a?b=c", "//", "/a//b", "/a/../b", "/./", "/%7e", "/%7E", "/%2f", "/a.b/c..", "/.hidden", "/a#b",
        "?", "a",
        "/a?x=/../y", "/ä", "/a b", "*", "",
    ])
    func `the quick way to a key gives the key of the slow one`(target: String) throws {
        for origin in ["http://x", "https://x:1234/base"] {
            let keys = AddressKeys(address: RouteAddress(origin: try OriginURL(origin)), limit: 100)
            let slow = Result { () throws(AddressError) in try keys.address.origin.key(forTarget: target, limit: 100) }
            let quick = Result { () throws(AddressError) in try keys.key(forTarget: target, host: "h") }
            #expect(quick == slow)
        }
    }
}
