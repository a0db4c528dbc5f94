import Perennial
import PerennialHTTP
import PerennialTesting
import Testing

@testable import PerennialGateway

/// What `Host` the origin is sent.
struct SentHostTests {
    /// Answers with the host it was asked by; a request that is not a GET with a `Location` of the test's.
    @Sendable static func echo(_ request: TestOrigin.Request) async -> TestOrigin.Answer {
        if request.method != "GET" { return .status(201, "", ["Location": request.field("X-Location") ?? "/"]) }
        return .ok(
            "\(request.field("Host") ?? "-") \(request.number)",
            ["Cache-Control": "max-age=10, stale-while-revalidate=600", "Cache-Groups": "\"all\""])
    }

    @Test func `by default the origin's own host is sent, and the client's plays no part`() async throws {
        try await withRig(origin: Self.echo) { rig in
            for host in ["a.example", "b.example"] {
                let answer = try await rig.get("/", ["Host": host])
                #expect(answer.body == "127.0.0.1:\(rig.origin.port) 1")
            }
        }
    }

    @Test func `a client's host is sent in normal form, and is part of the address`() async throws {
        try await withRig({ $0.routes[0].address.sentHost = .client }, origin: Self.echo) { rig in
            // Twice: asked for, and from memory.
            for _ in 1...2 {
                for host in ["a.example", "A.Example:80", "a.example.:443"] {
                    let answer = try await rig.get("/x?y", ["Host": host])
                    #expect(answer.body == "a.example 1", "\(host)")
                }
                #expect(try await rig.get("/x?y", ["Host": "b.example:8080"]).body == "b.example:8080 2")
                #expect(try await rig.get("http://a.example/x?y", ["Host": "b.example"]).body == "a.example 1")
            }
            #expect(try await rig.storedKeys().sorted() == ["http://a.example/x?y", "http://b.example:8080/x?y"])
            rig.clock.advance(by: .seconds(20))
            #expect(try await rig.get("/x?y", ["Host": "a.example"]).cacheStatus.contains("detail=refreshing"))
            await rig.events.waitForRefresh()
            #expect(rig.origin.requests.last?.field("Host") == "a.example")
            #expect(rig.origin.requests.last?.target == "/x?y")
        }
    }

    @Test func `what passes has the same host, and who names none has the origin's`() async throws {
        try await withRig({ $0.routes[0].address.sentHost = .client }, origin: Self.echo) { rig in
            let passed = try await rig.get("/", ["Host": "A.example", "Cookie": "a=b"])
            #expect(passed.body == "a.example 1")
            let old = try await rig.client()
            try await old.send("GET / HTTP/1.0\r\n\r\n")
            #expect(try await old.response().body == "127.0.0.1:\(rig.origin.port) 2")
        }
    }

    @Test(arguments: ["a'b", "a,b", "a..b", String(repeating: "a", count: 254)])
    func `a host that could be read as something else is refused`(host: String) async throws {
        try await withRig({ $0.routes[0].address.sentHost = .client }, origin: Self.echo) { rig in
            let answer = try await rig.get("/", ["Host": host])
            #expect(answer.status == 400)
            #expect(answer.cacheStatus.contains("detail=bad-address"))
            #expect(rig.origin.requests.isEmpty)
        }
    }

    @Test func `a purge by the client's address takes that host's response, its groups too`() async throws {
        try await withRig({ $0.routes[0].address.sentHost = .client }, origin: Self.echo) { rig in
            let responses = rig.gateway.responses
            for host in ["a.example", "b.example"] { _ = try await rig.get("/", ["Host": host]) }
            #expect(try await responses.remove(responses.key(for: "https://a.example/")) == 1)
            #expect(try await rig.storedKeys() == ["http://b.example/"])
            #expect(throws: AddressError.self) { try responses.key(for: "/") }
            #expect(try await responses.cache.remove(tag: "http://a.example#all") == 0)
            #expect(try await responses.cache.remove(tag: "http://b.example#all") == 1)
        }
    }

    @Test func `a name that was set is sent to the origin, and is its name in addresses`() async throws {
        try await withRig(
            { $0.routes[0].address.sentHost = .name(try HostName("www.example")) }, origin: Self.echo
        ) { rig in
            for host in ["a.example", "b.example"] {
                let answer = try await rig.get("/", ["Host": host])
                #expect(answer.body == "www.example 1")
            }
            #expect(try await rig.storedKeys() == ["http://www.example/"])
            #expect(try await rig.gateway.responses.remove(rig.gateway.responses.key(for: "/")) == 1)
        }
    }

    @Test func `one origin may be asked by several names, each with its own rules`() async throws {
        try await withRig(
            { configuration in
                let origin = configuration.routes[0].origin
                var rules = ResponseRules()
                rules.freshness = .policy(try Limits(refreshAfter: .seconds(10), expireAfter: .days(7)))
                configuration.routes = [
                    try Route(name: "a", hosts: [HostPattern("a.example")], origin: origin, sentHost: .client),
                    try Route(
                        name: "b", hosts: [HostPattern("*.example")], origin: origin, sentHost: .client, rules: rules),
                    Route(origin: origin),
                ]
            }, origin: Self.echo
        ) { rig in
            let first = try await rig.get("/", ["Host": "a.example"])
            #expect(first.body == "a.example 1")
            #expect(try await rig.get("/", ["Host": "b.example"]).body == "b.example 2")
            #expect(try await rig.get("/", ["Host": "c"]).body == "127.0.0.1:\(rig.origin.port) 3")
            let routes = rig.gateway.responses.routing.now
            #expect(routes.route(ofKey: "http://a.example/")?.route.name == "a")
            #expect(routes.route(ofKey: "http://b.example/")?.route.name == "b")
            #expect(routes.route(ofKey: "http://127.0.0.1:\(rig.origin.port)/")?.route.name == "default")
        }
    }

    @Test func `a client can't name another origin to have its answer taken for that one's`() async throws {
        let second = try await TestOrigin { _ in .ok("second", ["Cache-Control": "max-age=60"]) }
        let url = "http://127.0.0.1:\(second.port)"
        try await withRig(
            { configuration in
                let other = Origin(try OriginURL(url))
                configuration.routes = [
                    try Route(name: "second", hosts: [HostPattern("second.example")], origin: other),
                    Route(origin: configuration.routes[0].origin),
                ]
                configuration.routes[1].address.sentHost = .client
            }, origin: Self.echo
        ) { rig in
            for _ in 1...2 {
                let answer = try await rig.get("/", ["Host": "127.0.0.1:\(second.port)"])
                #expect(answer.status == 421)
            }
            #expect(rig.origin.requests.isEmpty)
            #expect(try await rig.get("/", ["Host": "second.example"]).body == "second")
            #expect(try await rig.get("/", ["Host": "a.example"]).body == "a.example 1")
            #expect(try await rig.get("/", ["Host": "a.example"]).body == "a.example 1")
        }
        try await second.kill()
    }

    @Test(
        arguments: ["origin", "client", "www.example"], ["http://shop.example/items/7", "https://Shop.example/items/7"])
    func `what an answer names by the client's own address is out of date`(sent: String, location: String) async throws
    {
        try await withRig(
            { configuration in
                switch sent {
                case "origin": break
                case "client": configuration.routes[0].address.sentHost = .client
                default: configuration.routes[0].address.sentHost = .name(try HostName(sent))
                }
            }, origin: Self.echo
        ) { rig in
            let client = try await rig.client()
            let own = "http://127.0.0.1:\(rig.origin.port)/items/7"
            for named in [location, own] {
                _ = try await client.get("/items/7", ["Host": "shop.example"])
                #expect(try await rig.storedKeys().count == 1)
                try await client.send(
                    "POST", "/items", ["Host": "shop.example", "Content-Length": "0", "X-Location": named])
                #expect(try await client.response().status == 201)
                #expect(try await rig.storedKeys().isEmpty, "\(named)")
            }
            _ = try await client.get("/items/7", ["Host": "shop.example"])
            try await client.send(
                "POST", "/items",
                ["Host": "shop.example", "Content-Length": "0", "X-Location": "http://other.example/items/7"])
            #expect(try await client.response().status == 201)
            #expect(try await rig.storedKeys().count == 1)
            await client.close()
        }
    }

    @Test func `a path as clients know it is found where a route leaves out its beginning`() async throws {
        try await withRig(
            { configuration in
                configuration.routes = [
                    try Route(
                        name: "shop", path: PathPattern("/shop"), stripsPath: true,
                        origin: configuration.routes[0].origin)
                ]
            }, origin: Self.echo
        ) { rig in
            let client = try await rig.client()
            for named in ["http://shop.example/shop/7", "http://shop.example/7"] {
                _ = try await client.get("/shop/7", ["Host": "shop.example"])
                try await client.send(
                    "POST", "/shop", ["Host": "shop.example", "Content-Length": "0", "X-Location": named])
                #expect(try await client.response().status == 201)
                #expect(try await rig.storedKeys().isEmpty, "\(named)")
            }
            await client.close()
        }
    }
}
