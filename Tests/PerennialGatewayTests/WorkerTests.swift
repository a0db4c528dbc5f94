import Perennial
import PerennialGateway
import PerennialHTTP
import PerennialTesting
import Testing

@Suite struct WorkerTests {
    @Test func `a worker without a gateway refreshes what gateways on the same backend find stale`() async throws {
        let backend = InMemoryBackend()
        try await withRig(
            { $0.workers = 0 }, backend: backend,
            origin: { request in
                .ok(
                    "\(request.number) for \(request.field("Accept") ?? "-")",
                    ["Cache-Control": "max-age=60, stale-while-revalidate=600"])
            }
        ) { rig in
            let events = Events()
            let configuration = GatewayConfiguration(origin: rig.gateway.responses.origins[0])
            let worker = try ResponseCache(
                configuration: configuration, backend: backend, time: rig.clock, observer: events.add)
            _ = try await rig.get("/", ["Accept": "text/x"])
            rig.clock.advance(by: .seconds(70))
            #expect(try await rig.get("/").body == "1 for text/x")
            await events.waitForRefresh()
            #expect(try await worker.cache.lookup("\(worker.origins[0])/").value?.bodySize == "2 for text/x".utf8.count)
            await worker.shutdown()
        }
    }

    @Test func `settings that contradict each other are an error`() throws {
        var configuration = GatewayConfiguration(origin: try OriginURL("http://127.0.0.1:1"))
        configuration.routes[0].rules.softTimeout = .seconds(60)
        #expect(throws: PolicyError.self) { try Gateway(configuration: configuration) }
        configuration.routes[0].rules.softTimeout = nil
        configuration.routes = []
        #expect(throws: RoutingError.self) { try Gateway(configuration: configuration) }
    }

    @Test func `an address that is taken is an error`() async throws {
        try await withRig(origin: { _ in .ok("") }) { rig in
            var configuration = GatewayConfiguration(origin: rig.gateway.responses.origins[0])
            configuration.port = rig.port
            let second = try Gateway(configuration: configuration)
            await #expect(throws: (any Error).self) { try await second.start() }
            await second.shutdown()
        }
    }
}
