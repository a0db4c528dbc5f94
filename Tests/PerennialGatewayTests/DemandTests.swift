import Perennial
import PerennialGateway
import PerennialHTTP
import PerennialTesting
import Testing

/// What a request's `Cache-Control` asks for.
@Suite struct DemandTests {
    private static let usual = "max-age=60, stale-while-revalidate=30"

    @Test(arguments: [
        ("Cache-Control", "no-cache"), ("Cache-Control", "max-age=0"), ("Pragma", "no-cache"),
        ("Cache-Control", "max-age=4"), ("Cache-Control", "min-fresh=56"), ("Cache-Control", "max-age=never"),
    ])
    func `what the request does not want is asked for again, with the validator`(name: String, value: String)
        async throws
    {
        try await withRig(origin: { request in
            let fields: KeyValuePairs = ["ETag": "\"v1\"", "Cache-Control": "max-age=60"]
            return request.field("If-None-Match") == "\"v1\"" ? .status(304, "", fields) : .ok("body", fields)
        }) { rig in
            let client = try await rig.client()
            _ = try await client.get("/")
            rig.clock.advance(by: .seconds(5))
            try await client.send("GET / HTTP/1.1\r\nHost: x\r\n\(name): \(value)\r\n\r\n")
            let asked = try await client.response()
            #expect(asked.body == "body")
            #expect(asked.field("Age") == "0")
            #expect(asked.cacheStatus == "perennial; fwd=request; fwd-status=304; stored")
            #expect(rig.origin.requests.count == 2)
            // Caches before the origin hear of it, too.
            #expect(rig.origin.requests[1].field("Cache-Control") != nil)
            #expect(rig.origin.requests[0].field("Cache-Control") == nil)
            // The entry has begun anew for all.
            let plain = try await client.get("/")
            #expect(plain.cacheStatus.hasPrefix("perennial; hit; ttl="))
            #expect(plain.field("Age") == "0")
            #expect(rig.origin.requests.count == 2)
        }
    }

    @Test(arguments: ["max-age=5", "min-fresh=55", "max-stale", "min-fresh=x", "max-stale=-1", "stale-if-error=5"])
    func `what the request may get is served at once`(directives: String) async throws {
        try await withRig(origin: { _ in .ok("body", ["Cache-Control": "max-age=60"]) }) { rig in
            _ = try await rig.get("/")
            rig.clock.advance(by: .seconds(5))
            let hit = try await rig.get("/", ["Cache-Control": directives])
            #expect(hit.cacheStatus.hasPrefix("perennial; hit; ttl="))
            #expect(hit.field("Age") == "5")
            #expect(rig.origin.requests.count == 1)
        }
    }

    @Test func `max-stale gets what has expired, but not by more than it names`() async throws {
        // With a validator the store keeps it for a day, in case the origin confirms it.
        try await withRig(origin: { request in
            .ok("\(request.number)", ["Cache-Control": "max-age=60", "ETag": "\"\(request.number)\""])
        }) { rig in
            _ = try await rig.get("/")
            rig.clock.advance(by: .seconds(100))
            for _ in 0..<2 {
                let stale = try await rig.get("/", ["Cache-Control": "max-stale=40"])
                #expect(stale.body == "1")
                #expect(stale.cacheStatus == "perennial; hit; ttl=-40")
                #expect(stale.field("Age") == "100")
            }
            let asked = try await rig.get("/", ["Cache-Control": "max-stale=39"])
            #expect(asked.body == "2")
            #expect(asked.cacheStatus == "perennial; fwd=stale; fwd-status=200; stored")
        }
    }

    @Test(arguments: ["must-revalidate", "proxy-revalidate"])
    func `max-stale gets nothing that the origin forbids to serve stale`(directive: String) async throws {
        try await withRig(origin: { request in
            .ok("\(request.number)", ["ETag": "\"\(request.number)\"", "Cache-Control": "max-age=60, \(directive)"])
        }) { rig in
            _ = try await rig.get("/")
            rig.clock.advance(by: .seconds(61))
            #expect(try await rig.get("/", ["Cache-Control": "max-stale"]).body == "2")
        }
    }

    @Test func `a stale response is served without a demand, and not to who names an age or a lesser staleness`()
        async throws
    {
        let gate = Gate()
        try await withRig(
            { $0.workers = 0 },
            origin: { request in
                if request.number > 1 { await gate.pass() }
                return .ok("\(request.number)", ["Cache-Control": Self.usual])
            }
        ) { rig in
            _ = try await rig.get("/")
            rig.clock.advance(by: .seconds(70))
            #expect(try await rig.get("/").cacheStatus.hasPrefix("perennial; hit; ttl=-10"))
            #expect(try await rig.get("/", ["Cache-Control": "max-age=100, max-stale=20"]).body == "1")
            let client = try await rig.client()
            try await client.send("GET", "/", ["Cache-Control": "max-age=100"])
            await gate.waitForArrivals()
            // Others go on getting it meanwhile.
            #expect(try await rig.get("/").body == "1")
            gate.open()
            let asked = try await client.response()
            #expect(asked.body == "2")
            #expect(asked.cacheStatus == "perennial; fwd=request; fwd-status=200; stored")
            #expect(rig.origin.requests[1].field("Cache-Control") == "max-age=100")
            #expect(rig.origin.requests.count == 2)
        }
    }

    @Test func `only-if-cached asks nobody`() async throws {
        try await withRig(origin: { .ok("\($0.number)", ["Cache-Control": "max-age=60"]) }) { rig in
            let client = try await rig.client()
            let refused = try await client.get("/", ["Cache-Control": "only-if-cached"])
            #expect(refused.status == 504)
            #expect(refused.cacheStatus == "perennial; detail=only-if-cached")
            #expect(refused.body.hasPrefix("Nothing is stored here that this request may get"))
            #expect(rig.origin.requests.isEmpty)
            _ = try await client.get("/")
            #expect(try await client.get("/", ["Cache-Control": "only-if-cached"]).body == "1")
            #expect(try await client.get("/", ["Cache-Control": "only-if-cached, no-cache"]).status == 504)
            #expect(try await client.get("/", ["Cache-Control": "only-if-cached, no-store"]).body == "1")
            #expect(try await client.get("/x", ["Cache-Control": "only-if-cached, no-store"]).status == 504)
            #expect(try await client.get("/", ["Cache-Control": "only-if-cached", "Cookie": "a"]).status == 504)
            rig.clock.advance(by: .seconds(61))
            #expect(try await client.get("/", ["Cache-Control": "only-if-cached"]).status == 504)
            #expect(try await client.get("/", ["Cache-Control": "only-if-cached, max-stale"]).body == "1")
            #expect(rig.origin.requests.count == 1)
        }
    }

    @Test func `only-if-cached finds what only the store has, the right variant of it`() async throws {
        let backend = InMemoryBackend()
        let handler: TestOrigin.Handler = { request in
            .ok(request.field("Accept-Language") ?? "-", ["Cache-Control": "max-age=60", "Vary": "Accept-Language"])
        }
        let origin = try await TestOrigin(handler)
        var configuration = GatewayConfiguration(origin: try OriginURL("http://127.0.0.1:\(origin.port)"))
        configuration.port = 0
        let clock = ManualClock(now: SystemTime().now)
        for isCold in [false, true] {
            let gateway = try Gateway(configuration: configuration, backend: backend, time: clock)
            let client = try await TestClient(port: try await gateway.start().port)
            for language in ["de", "fr"] {
                let directives = isCold ? "only-if-cached" : ""
                let response = try await client.get(
                    "/", ["Accept-Language": language, "Cache-Control": directives])
                #expect(response.body == language)
                #expect(response.cacheStatus.contains("hit") == isCold)
            }
            let status = try await client.get("/", ["Accept-Language": "it", "Cache-Control": "only-if-cached"]).status
            #expect(status == 504)
            await client.close()
            await gateway.shutdown(deadline: .seconds(1))
        }
        #expect(origin.requests.count == 2)
        try await origin.kill()
    }

    @Test func `no-cache goes past what is stored for others and leaves it there`() async throws {
        try await withRig(origin: { request in
            .ok(
                "\(request.field("Accept-Language") ?? "-") \(request.number)",
                ["Cache-Control": "max-age=60", "Vary": "Accept-Language"])
        }) { rig in
            let client = try await rig.client()
            #expect(try await client.get("/", ["Accept-Language": "de"]).body == "de 1")
            let other = try await client.get("/", ["Accept-Language": "fr", "Cache-Control": "no-cache"])
            #expect(other.body == "fr 2")
            #expect(other.cacheStatus == "perennial; fwd=vary-miss; stored")
            #expect(try await client.get("/", ["Accept-Language": "fr", "Cache-Control": "no-cache"]).body == "fr 3")
            #expect(try await client.get("/", ["Accept-Language": "de"]).body == "de 1")
            #expect(try await client.get("/", ["Accept-Language": "fr"]).body == "fr 3")
        }
    }

    @Test func `no-store is answered with what may be served, and passes where it also asks for something new`()
        async throws
    {
        try await withRig(origin: { .ok("\($0.number)", ["Cache-Control": "max-age=60"]) }) { rig in
            let client = try await rig.client()
            _ = try await client.get("/")
            #expect(try await client.get("/", ["Cache-Control": "no-store"]).body == "1")
            let passed = try await client.get("/", ["Cache-Control": "no-store, no-cache"])
            #expect(passed.body == "2")
            #expect(passed.cacheStatus == "perennial; fwd=request; fwd-status=200")
            #expect(try await client.get("/").body == "1")
        }
    }

    @Test func `when the origin fails, who wanted something new gets what stale-if-error allows`() async throws {
        try await withRig(origin: { request in
            let errorRule = request.target == "/lenient" ? ", stale-if-error=600" : ""
            return .ok("old", ["Cache-Control": "max-age=60\(errorRule)"])
        }) { rig in
            let client = try await rig.client()
            _ = try await client.get("/lenient")
            _ = try await client.get("/strict")
            try await rig.origin.kill()

            let served = try await client.get("/lenient", ["Cache-Control": "no-cache"])
            #expect(served.status == 200)
            #expect(served.cacheStatus.hasSuffix("; detail=origin-failed"))
            let failed = try await client.get("/strict", ["Cache-Control": "no-cache"])
            #expect(failed.status == 502)
            #expect(failed.cacheStatus == "perennial; fwd=request; detail=connection_refused")
            let allowed = try await client.get("/strict", ["Cache-Control": "no-cache, stale-if-error=5"])
            #expect(allowed.body == "old")
            #expect(allowed.cacheStatus.hasSuffix("; detail=origin-failed"))
            // Without a demand it is a hit as ever.
            #expect(try await client.get("/strict").cacheStatus.hasPrefix("perennial; hit; ttl="))

            rig.clock.advance(by: .seconds(100))
            #expect(try await client.get("/strict").status == 502)
            #expect(try await client.get("/strict", ["Cache-Control": "stale-if-error=40"]).body == "old")
            #expect(try await client.get("/strict", ["Cache-Control": "stale-if-error=39"]).status == 502)
            #expect(try await client.get("/lenient", ["Cache-Control": "stale-if-error=39"]).status == 502)
            #expect(try await client.get("/lenient").body == "old")
        }
    }

    @Test func `100 readers who want something new make few requests, and all get it`() async throws {
        let gate = Gate()
        try await withRig(origin: { request in
            if request.number > 1 { await gate.pass() }
            return .ok("\(request.number)", ["Cache-Control": "max-age=60"])
        }) { rig in
            _ = try await rig.get("/")
            let clients = try await (0..<100).asyncMap { _ in try await rig.client() }
            for client in clients { try await client.send("GET", "/", ["Cache-Control": "no-cache"]) }
            await gate.waitForArrivals()
            #expect(try await rig.get("/").body == "1")
            gate.open()
            let bodies = try await clients.asyncMap { try await $0.response().body }
            #expect(!bodies.contains("1"))
            #expect(rig.origin.requests.count < 100)
        }
    }

    @Test func `where the operator's limits rule, a client can't make the gateway ask`() async throws {
        try await withRig(
            { $0.routes[0].rules.freshness = .policy(try .init(refreshAfter: .hours(1), expireAfter: .days(7))) },
            origin: { .ok("\($0.number)") }
        ) { rig in
            let client = try await rig.client()
            #expect(try await client.get("/", ["Cache-Control": "only-if-cached"]).status == 504)
            _ = try await client.get("/")
            for directives in ["no-cache", "max-age=0", "min-fresh=999999", "no-cache, only-if-cached"] {
                #expect(try await client.get("/", ["Cache-Control": directives]).body == "1")
            }
            #expect(try await client.get("/", ["Pragma": "no-cache"]).body == "1")
            rig.clock.advance(by: .days(8))
            #expect(try await client.get("/", ["Cache-Control": "max-stale"]).body == "2")
            #expect(rig.origin.requests.count == 2)
        }
    }

    @Test func `the operator may choose otherwise, both ways`() async throws {
        try await withRig(
            {
                $0.routes[0].rules.freshness = .policy(try .init(refreshAfter: .hours(1), expireAfter: .days(7)))
                $0.routes[0].rules.clientDirectives = .obey
            }, origin: { .ok("\($0.number)") }
        ) { rig in
            _ = try await rig.get("/")
            #expect(try await rig.get("/", ["Cache-Control": "no-cache"]).body == "2")
            // What is too old to be shown stays so.
            rig.clock.advance(by: .days(8))
            #expect(try await rig.get("/", ["Cache-Control": "max-stale"]).body == "3")
        }
        try await withRig(
            { $0.routes[0].rules.clientDirectives = .ignore },
            origin: { .ok("\($0.number)", ["Cache-Control": "max-age=60"]) }
        ) { rig in
            _ = try await rig.get("/")
            #expect(try await rig.get("/", ["Cache-Control": "no-cache"]).body == "1")
        }
    }
}
