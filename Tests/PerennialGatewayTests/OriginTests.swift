import Fuzzing
import NIOConcurrencyHelpers
import NIOCore
import Perennial
import PerennialHTTP
import PerennialTesting
import Testing

@testable import PerennialGateway

/// What goes to the origin, and what becomes of what it answers.
@Suite struct OriginTests {
    // MARK: Addresses

    @Test(arguments: [
        ("DELETE", "/users/%E9"), ("POST", "/items/%FF?x=1"), ("GET", "/public/%FF"), ("GET", "/a?filter[name]=a%20b"),
        ("GET", "/a?q={x}%20|y"), ("GET", "/a?b=%25"), ("PUT", "/a%2Fb/c%2Fd"), ("GET", "/a?x=^`<>\"\\"),
        ("GET", "/?%"),
    ])
    func `the origin gets the very target`(method: String, target: String) async throws {
        try await withRig(origin: { _ in .ok("", ["Cache-Control": "no-store"]) }) { rig in
            let client = try await rig.client()
            try await client.send(method, target)
            let response = try await client.response()
            #expect(response.status == 200)
            #expect(rig.origin.requests.map(\.target) == [target])
        }
    }

    @Test func `random targets arrive byte for byte or not at all, and never outside their route`() async throws {
        try await withRig(
            { configuration in
                let url = configuration.routes[0].origin.url
                let base = try OriginURL("\(url)/base")
                configuration.routes = [try Route(name: "public", path: PathPattern("/public"), origin: Origin(base))]
            },
            origin: { _ in .ok("", ["Cache-Control": "no-store"]) }
        ) { rig in
            var dice = Dice(seed: 5)
            var client = try await rig.client()
            let parts = [
                "/", "a", "%", "%4", "%e9", "%FF", "..", ".", "%2e", "%2F", "?", "&", "=", "[", "]", "{", "|", "\\",
                "^", "\"",
                "//", ";", "@", ":", "é", "#", "%00", "*",
            ]
            for _ in 0..<600 {
                let path = (0...dice.next() % 6).map { _ in parts[Int(dice.next() % UInt64(parts.count))] }.joined()
                let target = "/public/" + path
                let before = rig.origin.requests.count
                try await client.send(["GET", "DELETE", "POST"][Int(dice.next() % 3)], target)
                let response = try await client.response()
                let seen = rig.origin.requests.dropFirst(before).map(\.target)
                let wanted = try? OriginURL("http://x").key(forTarget: target).dropFirst("http://x".count)
                if response.status == 200 {
                    #expect(seen == wanted.map { ["/base" + $0] }, "\(target)")
                    #expect(seen.first?.hasPrefix("/base/public") == true)
                } else {
                    #expect(seen.isEmpty)
                    #expect([400, 404].contains(response.status), "\(target) → \(response.status)")
                    await client.close()
                    client = try await rig.client()
                }
            }
        }
    }

    // MARK: What one request brought on itself

    @Test(arguments: [500, 502, 503, 408, 429])
    func `a failure's cookie and text go to the reader who brought it, and to nobody else`(status: Int) async throws {
        let gate = Gate()
        try await withRig(origin: { request in
            await gate.pass()
            return .status(
                status, "for \(request.field("X-Who") ?? "nobody")",
                ["Set-Cookie": "id=1", "Cache-Control": "private, no-store"])
        }) { rig in
            async let first = rig.get("/", ["X-Who": "first"])
            await gate.waitForArrivals()
            async let others = withThrowingTaskGroup(of: TestClient.Response.self) { group in
                for number in 0..<3 { group.addTask { try await rig.get("/", ["X-Who": "\(number)"]) } }
                var all: [TestClient.Response] = []
                for try await response in group { all.append(response) }
                return all
            }
            while rig.gateway.metrics.openConnections < 4 { await Task.yield() }
            gate.open()
            let answers = try await [first] + others
            #expect(answers.map(\.status) == Array(repeating: status, count: 4))
            // Whoever asked by itself has its own; the others have neither cookie nor text of it.
            for answer in answers where answer.field("Set-Cookie") != nil { #expect(answer.body.hasPrefix("for ")) }
            let texts = answers.map(\.body).filter { $0.hasPrefix("for ") }
            #expect(Set(texts).count == texts.count)
            #expect(answers.count { $0.field("Set-Cookie") != nil } == rig.origin.requests.count)
        }
    }

    @Test func `a request that the origin calls bad does not make others pass uncached`() async throws {
        try await withRig(origin: { request in
            request.field("X-Bad") != nil ? .status(400, "bad") : .ok("good", ["Cache-Control": "max-age=60"])
        }) { rig in
            let bad = try await rig.get("/", ["X-Bad": "1"])
            #expect(bad.status == 400 && bad.body == "bad")
            let good = try await rig.get("/")
            #expect(good.cacheStatus == "perennial; fwd=uri-miss; stored")
            #expect(try await rig.get("/").cacheStatus.hasPrefix("perennial; hit"))
        }
    }

    @Test(arguments: ["X-Cookie", "X-Bad", "X-Forbidden"])
    func `what one request brings on itself leaves a fresh response to the others`(field: String) async throws {
        try await withRig(origin: { request in
            if request.field("X-Cookie") != nil {
                return .ok("own", ["Set-Cookie": "id=1", "Cache-Control": "max-age=60"])
            }
            if request.field("X-Bad") != nil { return .status(400, "bad") }
            if request.field("X-Forbidden") != nil { return .status(403, "no") }
            return .ok("good", ["Cache-Control": "max-age=60"])
        }) { rig in
            _ = try await rig.get("/")
            let own = try await rig.get("/", ["Cache-Control": "no-cache", field: "1"])
            #expect(own.body != "good")
            let others = try await rig.get("/")
            #expect(others.body == "good")
            #expect(others.cacheStatus.hasPrefix("perennial; hit"))
        }
    }

    // MARK: News and failures

    @Test(arguments: [(404, ""), (410, ""), (404, "no-store"), (403, ""), (401, "")])
    func `news that it is gone, or not for us any more, takes the old response away`(
        status: Int, directives: String
    ) async throws {
        try await withRig(origin: { request in
            request.number == 1
                ? .ok("old", ["Cache-Control": "max-age=60, stale-if-error=600"])
                : .status(status, "gone", directives.isEmpty ? [:] : ["Cache-Control": directives])
        }) { rig in
            _ = try await rig.get("/")
            rig.clock.advance(by: .seconds(100))
            for _ in 0..<2 {
                let gone = try await rig.get("/")
                #expect(gone.status == status)
                #expect(gone.body == "gone")
            }
        }
    }

    @Test func `an operator may keep what is stored when the origin refuses`() async throws {
        try await withRig(
            { $0.routes[0].rules.allowances = .refused },
            origin: { request in
                request.number == 1
                    ? .ok("old", ["Cache-Control": "max-age=60, stale-while-revalidate=600"]) : .status(403, "no")
            }
        ) { rig in
            _ = try await rig.get("/")
            rig.clock.advance(by: .seconds(70))
            _ = try await rig.get("/")
            await rig.events.waitForFailedRefresh()
            #expect(try await rig.get("/").body == "old")
        }
    }

    // MARK: Bodies

    @Test func `a status without a body has none, whatever follows its head`() async throws {
        try await withRig(origin: { _ in
            .raw(
                "HTTP/1.1 204 No Content\r\nCache-Control: max-age=60\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
            )
        }) { rig in
            let client = try await rig.client()
            for _ in 0..<3 {
                let response = try await client.get("/")
                #expect(response.status == 204)
                #expect(response.body.isEmpty)
            }
        }
    }

    @Test func `a stored response whose status has no body is served without one`() throws {
        let cached = CachedResponse(
            StoredResponse(
                status: 204, fields: ["Cache-Control": "max-age=60"], body: Array("HTTP/1.1 200 OK\r\n\r\n".utf8)))
        #expect(cached.bodySize == 0)
        #expect(try CachedResponse(decoding: cached.encoded()).bodySize == 0)
    }

    @Test func `fields that private and no-cache name go to the first reader, and are not stored`() async throws {
        try await withRig(origin: { _ in
            .ok(
                "page",
                [
                    "Cache-Control": "max-age=60, private=\"X-User\", no-cache=\"X-Once\"", "X-User": "ann",
                    "X-Once": "1", "X-All": "yes",
                ])
        }) { rig in
            let first = try await rig.get("/")
            #expect(first.field("X-User") == "ann" && first.field("X-Once") == "1" && first.field("X-All") == "yes")
            let second = try await rig.get("/")
            #expect(second.field("X-User") == nil && second.field("X-Once") == nil && second.field("X-All") == "yes")
            #expect(rig.origin.requests.count == 1)
        }
    }

    @Test(arguments: [
        ["Content-Type: text/event-stream"], ["Content-Type: application/x-ndjson; charset=utf-8"],
        ["Content-Type: text/html", "X-Accel-Buffering: no"],
    ])
    func `a stream reaches its reader piece by piece, with the operator's limits, too`(fields: [String]) async throws {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + fields.joined(separator: "\r\n") + "\r\n\r\n"
        try await withRig(
            { $0.routes[0].rules.freshness = .policy(.standard) },
            origin: { _ in .raw(head + "6\r\none...\r\n") }
        ) { rig in
            let client = try await rig.client()
            try await client.send("GET", "/events")
            // The body never ends: its first piece must come all the same.
            let bytes = try await client.take { $0.firstRange(of: Array("one...".utf8))?.upperBound }
            #expect(String(decoding: bytes, as: UTF8.self).contains("detail=stream"))
            #expect(try await rig.storedKeys().isEmpty)
            await client.close()
        }
    }

    @Test func `without memory for its body a response goes to its reader and is not stored`() async throws {
        let body = String(repeating: "x", count: 100_000)
        try await withRig({ $0.bodyMemory = 150_000 }, origin: { _ in .ok(body, ["Cache-Control": "max-age=60"]) }) {
            rig in
            let response = try await rig.get("/")
            #expect(response.body == body)
            #expect(response.cacheStatus == "perennial; fwd=uri-miss; fwd-status=200; detail=memory")
            #expect(try await rig.storedKeys().isEmpty)
            #expect(rig.gateway.responses.memory.used == 0)
        }
    }

    @Test func `memory for bodies is free again when they are stored, or let go`() {
        let memory = BodyMemory(limit: 1_000_000)
        var first: BodyMemory.Hold? = memory.hold()
        #expect(first?.grow(to: 100_000) == true && first?.grow(to: 300_000) == true)
        #expect(memory.used == 600_000)
        let second = memory.hold()
        #expect(!second.grow(to: 200_001))
        #expect(second.grow(to: 200_000))
        // For a small body there always is some.
        #expect(memory.hold().grow(to: 1_000))
        first = nil
        #expect(memory.used == 400_000)
    }

    @Test func `a HEAD of a large response does not make its body be fetched`() async throws {
        let taken = NIOLockedValueBox(0)
        try await withRig(origin: { _ in
            .pieces(
                head: "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: \(160 * 65_536)\r\n\r\n",
                count: 160,
                taken: { number in taken.withLockedValue { $0 = number } })
        }) { rig in
            let client = try await rig.client()
            try await client.send("HEAD", "/big")
            let head = try await client.response(isBodyless: true)
            #expect(head.status == 200)
            #expect(head.field("Content-Length") == "\(160 * 65_536)")
            #expect(head.cacheStatus.hasSuffix("detail=head"))
            #expect(taken.withLockedValue { $0 } < 160)
        }
    }

    @Test func `nobody hands over a body with a status that has none`() async throws {
        try await withRig(origin: { _ in .ok("") }) { rig in
            let responses = rig.gateway.responses
            let key = try responses.key(for: "/x")
            await #expect(throws: NotAccepted.self) {
                try await responses.accept(
                    key, status: 204, fields: ["Cache-Control": "max-age=60"], body: Array("HTTP/1.1 200 OK".utf8),
                    fence: nil, lease: nil)
            }
            let generation = try await responses.accept(
                key, status: 204, fields: ["Cache-Control": "max-age=60"], body: [], fence: nil, lease: nil)
            #expect(generation != nil)
        }
    }

    @Test func `what is handed over has a key that readers have, and a body that is kept`() async throws {
        try await withRig({ $0.routes[0].rules.maxBody = 100 }, origin: { _ in .ok("") }) { rig in
            let responses = rig.gateway.responses
            func accept(_ key: String, _ body: [UInt8]) async throws -> Generation? {
                try await responses.accept(
                    key, status: 200, fields: ["Cache-Control": "max-age=60"], body: body, fence: nil, lease: nil)
            }
            let key = try responses.key(for: "/x")
            let tooLarge = await #expect(throws: NotAccepted.self) {
                try await accept(key, Array(repeating: 1, count: 101))
            }
            #expect(tooLarge?.isTooLarge == true)
            #expect(try await accept(key, Array(repeating: 1, count: 100)) != nil)
            for odd in ["/./y", "/%79", "/a/../y"] {
                let origin = key.dropLast("/x".count)
                let refusal = await #expect(throws: NotAccepted.self) { try await accept("\(origin)\(odd)", []) }
                #expect(refusal?.isTooLarge == false)
                #expect(refusal?.reason.hasSuffix("hand over \(origin)/y") == true, "\(refusal?.reason ?? "")")
            }
        }
    }

    @Test func `the bytes of a field are the same at the origin, in the store and at the client`() async throws {
        let field =
            Array("Content-Disposition: attachment; filename=\"caf".utf8) + [0xE9, 0xFF, 0x80] + Array(".txt\"".utf8)
        try await withRig(origin: { request in
            // As Swift reads a byte that is no UTF-8.
            let isWhole = request.field("X-Name") == "caf\u{FFFD}"
            let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 0\r\nX-Seen: \(isWhole)\r\n"
            return .bytes(Array(head.utf8) + field + Array("\r\n\r\n".utf8), closes: false)
        }) { rig in
            for _ in 0..<2 {
                let client = try await rig.client()
                try await client.send(
                    bytes: Array("GET / HTTP/1.1\r\nHost: x\r\nX-Name: caf".utf8) + [0xE9] + Array("\r\n\r\n".utf8))
                let head = try await client.take { $0.firstRange(of: Array("\r\n\r\n".utf8))?.upperBound }
                #expect(head.firstRange(of: field) != nil)
                #expect(String(decoding: head, as: UTF8.self).contains("X-Seen: true"))
                await client.close()
            }
            #expect(rig.origin.requests.count == 1)
        }
    }

    // MARK: Connections

    @Test func `a connection that the origin closed while it was idle costs nobody an answer`() async throws {
        try await withRig(origin: { request in
            .raw(
                "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok",
                closes: request.number % 2 == 1)
        }) { rig in
            let client = try await rig.client()
            for number in 0..<10 { #expect(try await client.get("/\(number)").body == "ok") }
        }
    }

    @Test func `why an origin can't be asked is told to whoever looks, and not to clients`() async throws {
        for (origin, detail) in [("http://127.0.0.1:1", "connection_refused"), ("http://name.invalid", "dns_error")] {
            var configuration = GatewayConfiguration(origin: try OriginURL(origin))
            configuration.port = 0
            configuration.threads = 1
            let gateway = try Gateway(configuration: configuration)
            let client = try await TestClient(port: try await gateway.start().port)
            let response = try await client.get("/")
            #expect(response.status == 502)
            #expect(response.cacheStatus == "perennial; fwd=uri-miss; detail=\(detail)")
            #expect(!response.body.contains("127.0.0.1") && !response.body.contains("invalid"))
            let trouble = gateway.responses.routing.now.origins[0].client.report.trouble
            #expect(trouble != nil)
            await client.close()
            await gateway.shutdown()
        }
    }

    // MARK: Places

    @Test func `what passes leaves the places of fetches alone, and one client leaves some to others`() {
        func client(_ number: Int) -> ClientAddress? {
            ClientAddress(try? SocketAddress(ipAddress: "10.0.0.\(number)", port: number))
        }
        let places = OriginPlaces(.init(fetches: 2, passes: 3, passesOfClient: 2))
        #expect(places.enter(.pass(client: client(1)), retry: {}) == .entered)
        #expect(places.enter(.pass(client: client(1)), retry: {}) == .entered)
        #expect(places.enter(.pass(client: client(1)), retry: {}) == .refused)
        #expect(places.enter(.pass(client: client(2)), retry: {}) == .entered)
        #expect(places.enter(.pass(client: client(3)), retry: {}) == .refused)
        #expect(places.enter(.fetch, retry: {}) == .entered)
        #expect(places.enter(.fetch, retry: {}) == .entered)
        let told = NIOLockedValueBox(0)
        #expect(places.enter(.fetch, retry: { told.withLockedValue { $0 += 1 } }) == .waits)
        places.leave(.pass(client: client(1)))
        #expect(told.withLockedValue { $0 } == 0)
        places.leave(.fetch)
        #expect(told.withLockedValue { $0 } == 1)
        // Its answer turns out to be for one client: the place is free, if there is one among what passes.
        #expect(places.move(to: .pass(client: client(4))))
        #expect(places.counts == (0, 3))
        #expect(places.enter(.fetch, retry: {}) == .entered)
        #expect(!places.move(to: .pass(client: client(5))))
        #expect(places.counts == (1, 3))
    }
}
