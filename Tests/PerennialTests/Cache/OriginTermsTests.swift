import Perennial
import PerennialTesting
import Testing

/// A cache whose keys have several origins.
@Suite struct OriginTermsTests {
    @Test func `each key goes by its own limits and its own origin's guard`() async throws {
        let clock = ManualClock()
        let origin = ScriptedOrigin { key, _ in
            if key.hasPrefix("bad") { throw Trouble() }
            return .value("value of \(key)")
        }
        let short = try Policy(limits: Limits(refreshAfter: .seconds(10), expireAfter: .seconds(20)), jitter: 0)
        let breaker = try OriginGuard.Breaker(minimum: 2, endpoints: 2)
        let (bad, good) = (OriginGuard(breaker: breaker, time: clock), OriginGuard(breaker: breaker, time: clock))
        let cache = Cache<String, String>(
            "c", codec: .json,
            terms: { key in
                key.hasPrefix("bad") ? OriginTerms(origin: bad) : OriginTerms(policy: short, origin: good)
            }, workers: 0, time: clock, answering: origin.ask)

        #expect(try await cache.lookup("good").freshness?.staleAt == clock.now + .seconds(10))
        for key in ["bad1", "bad2"] { await #expect(throws: Trouble.self) { try await cache[key] } }
        // Only the failing origin is left alone.
        await #expect(throws: OriginUnavailable.self) { try await cache["bad3"] }
        #expect(try await cache["good2"] == "value of good2")
        #expect(origin.count == 4)
    }

    @Test func `each key has its own time-out`() async throws {
        let clock = ManualClock()
        let gate = Gate()
        let origin = ScriptedOrigin { key, _ in
            await gate.pass()
            return .value(key)
        }
        let guarding = OriginGuard(time: clock)
        let patient = try Policy(timeout: .seconds(60))
        let cache = Cache<String, String>(
            "c", codec: .json,
            terms: { OriginTerms(policy: $0 == "slow" ? patient : .standard, origin: guarding) }, workers: 0,
            time: clock, answering: origin.ask)
        let slow = Task { try await cache["slow"] }
        let usual = Task { try await cache["usual"] }
        try await eventually { gate.arrived == 2 }
        await clock.waitForSleepers(2)
        clock.advance(by: .seconds(31))
        await #expect(throws: FetchTimeout.self) { try await usual.value }
        gate.open()
        #expect(try await slow.value == "slow")
    }
}
