import Perennial
import PerennialHTTP
import PerennialTesting
import Testing

@testable import PerennialGateway

/// Requests that wait at the origin for news, with answers that may not be stored.
@Suite struct LongPollTests {
    @Test(arguments: [FreshnessMode.origin(), .policy(.standard)])
    func `clients that poll for long each have their question at the origin at once`(mode: FreshnessMode) async throws {
        let (clients, rounds) = (3, 5)
        let gates = (0...rounds).map { _ in Gate() }
        try await withRig(
            { $0.routes[0].rules.freshness = mode },
            origin: { request in
                // The first one shows what the address is like.
                if request.number > 1 { await gates[(request.number - 2) / clients].pass() }
                return .ok("\(request.number)", ["Cache-Control": "no-store"])
            }
        ) { rig in
            _ = try await rig.get("/poll")
            let polling = try await (0..<clients).asyncMap { _ in try await rig.client() }
            for round in 0..<rounds {
                for client in polling { try await client.send("GET", "/poll") }
                await gates[round].waitForArrivals(clients)
                rig.clock.advance(by: .seconds(12))
                gates[round].open()
                for client in polling {
                    let response = try await client.response()
                    #expect(response.cacheStatus == "perennial; fwd=uri-miss; fwd-status=200; detail=not-stored")
                }
            }
            // Some come while the others have been waiting for longer than anything is remembered.
            for client in polling.prefix(1) { try await client.send("GET", "/poll") }
            await gates[rounds].waitForArrivals(1)
            rig.clock.advance(by: .seconds(60))
            for client in polling.suffix(2) { try await client.send("GET", "/poll") }
            await gates[rounds].waitForArrivals(3)
            gates[rounds].open()
            for client in polling { _ = try await client.response() }
        }
    }

    @Test func `what can be stored again is, some seconds later`() async throws {
        try await withRig(origin: { request in
            .ok("\(request.number)", ["Cache-Control": request.number < 3 ? "no-store" : "max-age=60"])
        }) { rig in
            for _ in 0..<3 { _ = try await rig.get("/") }
            #expect(try await rig.get("/").cacheStatus.hasSuffix("detail=not-stored"))
            rig.clock.advance(by: .seconds(11))
            #expect(try await rig.get("/").cacheStatus == "perennial; fwd=uri-miss; stored")
            #expect(try await rig.get("/").cacheStatus.hasPrefix("perennial; hit"))
        }
    }

    @Test(
        arguments: [
            (200, ["Cache-Control": "no-store"], nil, true), (200, ["Cache-Control": "max-age=60"], nil, false),
            (200, ["Cache-Control": "max-age=60", "Set-Cookie": "a=b"], nil, true), (200, [:], nil, true),
            (200, ["Cache-Control": "max-age=60"], 1 << 30, true),
            (200, ["Content-Type": "text/event-stream"], nil, true),
            (304, ["Cache-Control": "no-store"], nil, true), (304, [:], nil, false),
            (206, ["Cache-Control": "private"], 5, true),
            (500, ["Cache-Control": "no-store"], nil, false), (400, [:], nil, false), (401, [:], nil, false),
        ] as [(Int, HeaderFields, Int64?, Bool)])
    func `what an answer that passed says of the next one's being stored`(
        status: Int, fields: HeaderFields, length: Int64?, isUnstorable: Bool
    ) async throws {
        try await withRig(origin: { _ in .ok("") }) { rig in
            let fetch = rig.gateway.responses.routing.now.routes[0].fetch
            let response = OriginResponse(
                status: status, fields: fields, requestedAt: rig.clock.now, receivedAt: rig.clock.now)
            #expect(fetch.saysUnstorable(response, length: length, request: [:]) == isUnstorable)
        }
    }

    @Test func `no more keys are remembered than there may be, and those in use stay`() {
        let keys = UnstorableKeys(capacity: 2, duration: .seconds(10))
        let start = Timestamp(milliseconds: 0)
        keys.insert("a", asked: start, now: start)
        keys.enter("a", now: start)
        keys.insert("b", asked: start, now: start)
        keys.insert("c", asked: start, now: start)
        #expect(keys.contains("a", now: start) && keys.contains("b", now: start) && !keys.contains("c", now: start))
        // Who is not remembered can leave all the same.
        keys.leave("c", now: start)
        let later = start + .seconds(11)
        keys.insert("d", asked: later - .seconds(12), now: later)
        #expect(keys.contains("a", now: later) && !keys.contains("b", now: later))
        #expect(keys.count == 2)
        keys.leave("a", now: later)
        #expect(!keys.contains("a", now: later))
        // What took 12 seconds is remembered for 12 seconds more.
        #expect(keys.contains("d", now: later + .seconds(21)) && !keys.contains("d", now: later + .seconds(22)))
        #expect(keys.count == 0)
    }
}
