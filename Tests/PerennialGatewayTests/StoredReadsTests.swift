import Perennial
import PerennialGateway
import PerennialHTTP
import PerennialTesting
import Testing

/// What the memory tier lacks and the store has.
struct StoredReadsTests {
    @Test func `what another gateway has stored is answered in the order of the requests`() async throws {
        let backend = InMemoryBackend()
        try await withRig(
            backend: backend,
            origin: { request in
                .ok(
                    "\(request.target) \(request.field("Accept") ?? "-")",
                    ["Cache-Control": "max-age=60", "Vary": request.target == "/v" ? "Accept" : "X-None"])
            }
        ) { rig in
            for target in ["/1", "/2"] { _ = try await rig.get(target) }
            _ = try await rig.get("/v", ["Accept": "a"])
            var configuration = GatewayConfiguration(origin: rig.gateway.responses.origins[0])
            configuration.port = 0
            let second = try Gateway(configuration: configuration, backend: backend, time: rig.clock)
            let client = try await TestClient(port: try await second.start().port)
            for (method, target) in [("GET", "/1"), ("HEAD", "/2"), ("GET", "/3"), ("GET", "/v"), ("GET", "/2")] {
                try await client.send(method, target)
            }
            let first = try await client.response()
            #expect(first.body == "/1 -" && first.cacheStatus.contains("; hit"))
            let head = try await client.response(isBodyless: true)
            #expect(head.field("Content-Length") == "4" && head.cacheStatus.contains("; hit"))
            #expect(try await client.response().body == "/3 -")
            #expect(try await client.response().body == "/v -")
            let last = try await client.response()
            #expect(last.body == "/2 -" && last.cacheStatus.contains("; hit"))
            #expect(rig.origin.requests.count == 5)
            await client.close()
            await second.shutdown()
        }
    }

    @Test func `a gateway begins with what was hot in the one before it`() async throws {
        let backend = InMemoryBackend()
        try await withRig(
            backend: backend, origin: { request in .ok(request.target, ["Cache-Control": "max-age=60"]) }
        ) { rig in
            let origin = rig.gateway.responses.origins[0]
            var configuration = GatewayConfiguration(origin: origin)
            configuration.port = 0
            let first = try Gateway(configuration: configuration, backend: backend, time: rig.clock)
            let client = try await TestClient(port: try await first.start().port)
            for target in ["/once", "/often", "/often"] {
                try await client.send("GET", target)
                _ = try await client.response()
            }
            await client.close()
            await first.shutdown()
            let second = try Gateway(configuration: configuration, backend: backend, time: rig.clock)
            #expect(second.responses.cache.peek("\(origin)/often") == nil)
            _ = try await second.start()
            #expect(second.responses.cache.peek("\(origin)/often")?.value?.status == 200)
            #expect(rig.origin.requests.count == 2)
            await second.shutdown()
        }
    }

    @Test func `a large body, and one that is just small, come whole, first and again`() async throws {
        for size in [16 << 10, (16 << 10) + 1, 3 << 20] {
            try await withRig(
                origin: { _ in .ok(String(repeating: "x", count: size), ["Cache-Control": "max-age=60"]) }
            ) { rig in
                for _ in 1...2 {
                    let answer = try await rig.get("/")
                    #expect(answer.body.utf8.count == size)
                }
                #expect(
                    try await rig.gateway.responses.cache.lookup("\(rig.gateway.responses.origins[0])/").value?.bodySize
                        == size)
                #expect(rig.origin.requests.count == 1)
            }
        }
    }
}
