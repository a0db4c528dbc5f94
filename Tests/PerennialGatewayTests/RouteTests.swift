import Perennial
import PerennialGateway
import PerennialHTTP
import PerennialTesting
import Testing

/// Several origins behind one gateway, and changing them while it serves.
struct RouteTests {
    /// Answers with its name, what it was asked for and what it was shown.
    private func named(_ name: String) -> TestOrigin.Handler {
        { request in
            .ok(
                "\(name) \(request.target) \(request.field("Authorization") ?? "-")",
                ["Cache-Control": "max-age=60, stale-while-revalidate=600"])
        }
    }

    private func withTwo(
        _ routes: (Origin, Origin) throws -> [Route], test: (Rig, TestOrigin) async throws -> Void
    ) async throws {
        let second = try await TestOrigin(named("second"))
        try await withRig(
            { configuration in
                var (one, two) = (configuration.routes[0].origin, try origin(second))
                one.fields = ["Authorization": "of-the-first"]
                two.fields = ["Authorization": "of-the-second"]
                configuration.routes = try routes(one, two)
            }, origin: named("first")
        ) { rig in try await test(rig, second) }
        try await second.kill()
    }

    private func origin(_ server: TestOrigin) throws -> Origin {
        Origin(try OriginURL("http://127.0.0.1:\(server.port)"))
    }

    @Test func `each request goes to the first route that is for it, and each origin gets its own credentials`()
        async throws
    {
        try await withTwo({ one, two in
            [
                try Route(
                    name: "users", hosts: [HostPattern("api.example.com")], path: PathPattern("/users"), origin: two),
                try Route(name: "stripped", path: PathPattern("/two"), stripsPath: true, origin: two),
                Route(origin: one),
            ]
        }) { rig, _ in
            let client = try await rig.client()
            // Twice: asked for, and from memory.
            for _ in 1...2 {
                let users = try await client.get("/users/1", ["Host": "API.example.com:8080"])
                #expect(users.body == "second /users/1 of-the-second")
                #expect(try await client.get("/users/1").body == "first /users/1 of-the-first")
                #expect(try await client.get("/two/x?y").body == "second /x?y of-the-second")
                #expect(try await client.get("/two").body == "second / of-the-second")
                #expect(try await client.get("/twofold").body == "first /twofold of-the-first")
                // Whatever it is written like, it is the same path.
                let disguised = try await client.get("/%75sers/../users/1", ["Host": "api.example.com"])
                #expect(disguised.body == "second /users/1 of-the-second")
            }
            #expect(rig.origin.requests.count == 2)
            await client.close()
        }
    }

    @Test func `a request that no route is for is told so`() async throws {
        try await withTwo({ one, _ in
            [try Route(name: "a", hosts: [HostPattern("a.example")], path: PathPattern("/a"), origin: one)]
        }) { rig, _ in
            for (target, host) in [("/a", "b.example"), ("/b", "a.example"), ("http://b.example/a", "a.example")] {
                let answer = try await rig.get(target, ["Host": host])
                #expect(answer.status == 404)
                #expect(answer.cacheStatus.contains("detail=no-route"))
            }
            #expect(try await rig.get("http://a.example/a", ["Host": "x"]).body == "first /a of-the-first")
            #expect(rig.origin.requests.count == 1)
        }
    }

    @Test func `a refresh asks as the route of its key says`() async throws {
        try await withTwo({ one, two in
            var rules = ResponseRules()
            rules.freshness = .policy(try Limits(refreshAfter: .seconds(10), expireAfter: .days(7)))
            return [
                try Route(name: "b", hosts: [HostPattern("b.example")], origin: two, rules: rules), Route(origin: one),
            ]
        }) { rig, second in
            _ = try await rig.get("/x", ["Host": "b.example"])
            _ = try await rig.get("/x")
            rig.clock.advance(by: .seconds(30))
            #expect(try await rig.get("/x").cacheStatus.contains("hit; ttl=30"))
            #expect(try await rig.get("/x", ["Host": "b.example"]).cacheStatus.contains("detail=refreshing"))
            await rig.events.waitForRefresh()
            #expect(second.requests.map { $0.field("Authorization") } == ["of-the-second", "of-the-second"])
            #expect(rig.origin.requests.count == 1)
        }
    }

    @Test func `what does not count in a query is neither asked for nor kept apart`() async throws {
        try await withRig(
            {
                $0.routes[0].rules.query = QueryRules(dropped: [Wildcard("utm_*")], isSorted: true)
            }, origin: named("first")
        ) { rig in
            let first = try await rig.get("/a?b=1&a=2&utm_source=x")
            #expect(first.body == "first /a?a=2&b=1 -")
            for target in ["/a?a=2&b=1", "/a?utm_medium=y&b=1&a=2", "/%61?b=1&a=2"] {
                let again = try await rig.get(target)
                #expect(again.cacheStatus.contains("; hit"), "\(target)")
            }
            #expect(rig.origin.requests.count == 1)
        }
    }

    @Test func `a route says what chooses among responses`() async throws {
        try await withRig(
            {
                $0.routes[0].rules.vary = VaryRules(added: ["Accept-Language"], ignored: ["User-Agent"])
            },
            origin: { request in
                .ok(
                    "\(request.field("Accept-Language") ?? "-") \(request.field("User-Agent") ?? "-")",
                    ["Cache-Control": "max-age=60", "Vary": "User-Agent"])
            }
        ) { rig in
            let first = try await rig.get("/", ["Accept-Language": "de", "User-Agent": "one"])
            #expect(first.body == "de perennial")
            #expect(first.field("Vary") == "accept-language")
            let second = try await rig.get("/", ["Accept-Language": "de", "User-Agent": "two"])
            #expect(second.cacheStatus.contains("; hit"))
            #expect(try await rig.get("/", ["Accept-Language": "fr", "User-Agent": "two"]).body == "fr perennial")
            #expect(rig.origin.requests.count == 2)
        }
    }

    @Test func `one origin that is left alone does not keep the other from being asked`() async throws {
        try await withTwo({ _, two in
            // Nobody listens there.
            let gone = Origin(try OriginURL("http://127.0.0.1:1"))
            return [try Route(name: "b", hosts: [HostPattern("b.example")], origin: two), Route(origin: gone)]
        }) { rig, _ in
            for number in 1...10 {
                let answer = try await rig.get("/\(number)")
                #expect(answer.status == 502)
            }
            #expect(try await rig.get("/x").cacheStatus.contains("origin-unavailable"))
            #expect(try await rig.get("/x", ["Host": "b.example"]).status == 200)
            let statuses = rig.gateway.responses.originStatuses
            #expect(statuses.count(where: { $0.value.closedUntil != nil }) == 1)
        }
    }

    @Test func `an absolute address goes by the first route, too`() async throws {
        try await withTwo({ one, two in
            [
                try Route(name: "guarded", path: PathPattern("/admin"), origin: one),
                try Route(name: "app", hosts: [HostPattern("x.example")], origin: two),
            ]
        }) { rig, second in
            let guarded = try await rig.get("http://x.example/admin")
            #expect(guarded.body.hasPrefix("first /admin"))
            #expect(try await rig.get("http://x.example/other").body.hasPrefix("second /other"))
            #expect(try await rig.get("http://y.example/admin/1").body.hasPrefix("first /admin/1"))
            #expect(try await rig.get("http://y.example/other").status == 404)
            #expect(second.requests.count == 1)
        }
    }

    @Test func `a client can't send what the gateway sends, however it writes it`() async throws {
        try await withRig(
            { $0.routes[0].origin.fields = ["X-Gateway-Secret": "ours"] }, origin: { _ in .ok("") }
        ) { rig in
            let client = try await rig.client()
            try await client.send(
                "POST / HTTP/1.1\r\nHost: x\r\nX_Gateway_Secret: theirs\r\nx-gateway-secret: theirs\r\n"
                    + "Transfer-Encoding: chunked\r\n\r\n0\r\nX-Gateway_Secret: theirs\r\nX-Sum: 1\r\n\r\n")
            _ = try await client.response()
            let request = try #require(rig.origin.requests.first)
            #expect(request.fields.filter { $0.name.lowercased().contains("secret") }.map(\.value) == ["ours"])
            #expect(request.trailers.map(\.name) == ["X-Sum"])
            await client.close()
        }
    }

    @Test func `a confirmation that says nothing of Vary keeps what was stored apart`() async throws {
        try await withRig(
            { $0.routes[0].rules.vary = VaryRules(added: ["X-Device"]) },
            origin: { request in
                if request.field("If-None-Match") != nil {
                    return .status(304, "", ["ETag": "\"a\"", "Cache-Control": "max-age=60"])
                }
                return .ok(
                    request.field("Accept-Language") ?? "-",
                    [
                        "ETag": "\"\(request.field("Accept-Language") ?? "-")\"", "Vary": "Accept-Language",
                        "Cache-Control": "max-age=60, stale-while-revalidate=600",
                    ])
            }
        ) { rig in
            #expect(try await rig.get("/", ["Accept-Language": "de"]).body == "de")
            rig.clock.advance(by: .seconds(70))
            _ = try await rig.get("/", ["Accept-Language": "de"])
            await rig.events.waitForRefresh()
            #expect(try await rig.get("/", ["Accept-Language": "fr"]).body == "fr")
            #expect(try await rig.get("/", ["Accept-Language": "de"]).body == "de")
        }
    }

    @Test func `what is changed is removed by the key that its query has here`() async throws {
        try await withRig(
            { $0.routes[0].rules.query = QueryRules(dropped: [Wildcard("utm_*")], isSorted: true) },
            origin: { request in
                request.method == "POST"
                    ? .status(201, "", ["Location": "/a?b=1&a=2"])
                    : .ok("\(request.number)", ["Cache-Control": "max-age=60"])
            }
        ) { rig in
            _ = try await rig.get("/a?a=2&b=1")
            let client = try await rig.client()
            try await client.send("POST", "/", ["Content-Length": "0"])
            #expect(try await client.response().status == 201)
            #expect(try await client.get("/a?a=2&b=1").body == "3")
            await client.close()
            let responses = rig.gateway.responses
            #expect(try await responses.remove(responses.key(for: "/a?utm_x=1&b=1&a=2")) == 1)
        }
    }

    @Test func `new routes hold from the next request on, on the same connection`() async throws {
        try await withTwo({ one, _ in [Route(origin: one)] }) { rig, second in
            let client = try await rig.client()
            #expect(try await client.get("/x").body.hasPrefix("first"))
            try await rig.gateway.reload([Route(origin: try origin(second))])
            #expect(try await client.get("/x").body == "second /x -")
            #expect(try await client.get("/x").cacheStatus.contains("; hit"))
            #expect(rig.gateway.responses.origins.map(\.port) == [second.port])
            await client.close()
        }
    }

    @Test func `limits that were lowered hold for what is stored, after a reload as after a restart`() async throws {
        let backend = InMemoryBackend()
        let long = FreshnessMode.policy(try Limits(refreshAfter: .hours(1), expireAfter: .days(7)))
        let short = FreshnessMode.policy(try Limits(refreshAfter: .seconds(1), expireAfter: .seconds(5)))
        try await withRig({ $0.routes[0].rules.freshness = long }, backend: backend, origin: named("first")) { rig in
            for target in ["/a", "/b"] { _ = try await rig.get(target) }
            rig.clock.advance(by: .seconds(2))
            #expect(try await rig.get("/a").cacheStatus.contains("; hit"))
            var route = Route(origin: try origin(rig.origin))
            route.rules.freshness = short
            try await rig.gateway.reload([route])
            #expect(try await rig.get("/a").cacheStatus.contains("refreshing"))
            await rig.events.waitForRefresh()
            rig.clock.advance(by: .seconds(4))
            #expect(try await rig.get("/b").cacheStatus.contains("fwd=stale"))

            var configuration = GatewayConfiguration(origin: try OriginURL("http://127.0.0.1:\(rig.origin.port)"))
            configuration.routes[0].rules.freshness = long
            let before = try ResponseCache(configuration: configuration, backend: backend, time: rig.clock)
            configuration.routes[0].rules.freshness = short
            let after = try ResponseCache(configuration: configuration, backend: backend, time: rig.clock)
            let key = try before.key(for: "/c")
            _ = try await before.cache.lookup(key)
            rig.clock.advance(by: .seconds(6))
            #expect(try await before.cache.lookup(key).state == .fresh)
            let found = await after.cache.lookupStored(key, accepting: { $0.state != .expired })
            #expect(found?.state == nil)
            await before.shutdown()
            await after.shutdown()
        }
    }

    @Test func `what is being answered goes on by the old routes`() async throws {
        let gate = Gate()
        let second = try await TestOrigin(named("second"))
        try await withRig(origin: { request in
            await gate.pass()
            return .ok("first \(request.target)", ["Cache-Control": "max-age=60"])
        }) { rig in
            async let slow = rig.get("/slow")
            await gate.waitForArrivals()
            try await rig.gateway.reload([Route(origin: try origin(second))])
            #expect(try await rig.get("/slow").body == "second /slow -")
            gate.open()
            #expect(try await slow.body == "first /slow")
        }
        try await second.kill()
    }

    @Test func `routes that don't go together change nothing`() async throws {
        try await withTwo({ one, _ in [Route(origin: one)] }) { rig, second in
            let routes = [Route(name: "a", origin: try origin(second)), Route(name: "b", origin: try origin(second))]
            await #expect(throws: RoutingError.self) { try await rig.gateway.reload(routes) }
            #expect(try await rig.get("/x").body.hasPrefix("first"))
        }
    }

    @Test func `a refresh for which there is no route any more ends as a dead letter`() async throws {
        try await withTwo({ one, _ in [Route(origin: one)] }) { rig, second in
            _ = try await rig.get("/x")
            rig.clock.advance(by: .seconds(70))
            let cache = rig.gateway.responses.cache
            let key = "\(rig.gateway.responses.origins[0])/x"
            try await rig.gateway.reload([Route(origin: try origin(second))])
            // As a gateway would find it whose routes are the old ones still.
            _ = try await cache.lookup(key)
            await rig.events.waitForFailedRefresh()
            #expect(cache.statistics.deadLetters == 1)
        }
    }

    @Test(arguments: [
        // Reached, and told apart.
        ("a.example /", "b.example /", "second", true), ("* /users", "* /", "first", true),
        ("* /a", "* /b", "first", true),
        // The earlier takes all of the later's.
        ("* /", "* /users", "second", false), ("a.example /", "a.example /x", "second", false),
        ("*.example /", "a.example /", "second", false),
        // Different rules for the same addresses.
        ("a.example /", "b.example /", "first", false), ("a.example /users", "* /", "first", false),
        ("a.example /a", "b.example /b", "first", true),
    ])
    func `routes are checked against one another`(
        earlier: String, later: String, origin: String, isFine: Bool
    ) throws {
        let first = Origin(try OriginURL("http://first"))
        func route(_ text: String, _ name: String, _ origin: Origin, maxBody: Int) throws -> Route {
            let parts = text.split(separator: " ").map { String($0) }
            var rules = ResponseRules()
            rules.maxBody = maxBody
            return try Route(
                name: name, hosts: parts[0] == "*" ? [] : [HostPattern(parts[0])], path: PathPattern(parts[1]),
                origin: origin, rules: rules)
        }
        let routes = [
            try route(earlier, "one", first, maxBody: 1),
            try route(later, "two", Origin(try OriginURL("http://\(origin)")), maxBody: 2),
        ]
        if isFine { try check(routes) } else { #expect(throws: RoutingError.self) { try check(routes) } }
        // With the same rules and the same origin there is nothing to be told apart.
        var same = routes
        same[1].rules = same[0].rules
        same[1].origin = first
        if origin == "first" && earlier != "* /" && later != "a.example /x" { try check(same) }
    }
}
