import Perennial
import PerennialTesting
import Synchronization
import Testing

/// Limits that are changed after entries were saved.
@Suite struct ChangedLimitsTests {
    private func cache(
        _ rig: Rig, _ limits: @escaping LimitsHook<String, String> = { _, _, saved in saved }
    ) -> Cache<String, String> {
        Cache(
            "texts", policy: Rig.policy(), backend: rig.backend, codec: .json, limits: limits, workers: 0,
            time: rig.clock, answering: { [origin = rig.origin] in try await origin.ask($0, $1) })
    }

    @Test func `a stored entry has the limits of who reads it`() async throws {
        let rig = Rig()
        _ = try await cache(rig)["a"]
        rig.clock.advance(by: .seconds(30))
        let hasty = cache(rig) { _, _, _ in Limits(raising: .seconds(10), .minutes(1), .minutes(1)) }
        #expect(try await hasty.lookup("a").state == .stale)
        rig.clock.advance(by: .seconds(30))
        #expect(try await hasty.lookup("a").source == .origin)
        #expect(rig.origin.count == 2)
    }

    @Test func `a worker with the new limits refreshes what the old ones call fresh`() async throws {
        let rig = Rig()
        _ = try await cache(rig)["a"]
        rig.clock.advance(by: .seconds(30))
        let hasty = cache(rig) { _, _, _ in Limits(raising: .seconds(10), .hours(1), .hours(1)) }
        #expect(try await hasty.lookup("a").state == .stale)
        try await eventually { hasty.statistics.refreshesQueued == 1 }
        await rig.worker(hasty).drain()
        #expect(rig.origin.count == 2)
        #expect(try await hasty.lookup("a").state == .fresh)
    }

    @Test func `what is in memory gets the new limits when it is told to, and keeps what else is known of it`()
        async throws
    {
        let rig = Rig()
        let limits = Mutex(Limits.standard)
        let cache = cache(rig) { _, _, _ in limits.withLock { $0 } }
        try await cache.set("a", to: "by hand", tags: ["t"], validator: Validator(etag: "1"))
        let before = try #require(cache.peek("a"))
        rig.clock.advance(by: .seconds(30))
        limits.withLock { $0 = Limits(raising: .seconds(10), .minutes(1), .minutes(2)) }
        #expect(cache.peek("a")?.state == .fresh)
        cache.applyLimits()
        let answer = try #require(cache.peek("a"))
        #expect(answer.state == .stale)
        #expect(answer.limits == Limits(raising: .seconds(10), .minutes(1), .minutes(2)))
        #expect(answer.value == "by hand")
        #expect(answer.tags == ["t"])
        #expect(answer.validator == Validator(etag: "1"))
        #expect(answer.generation == before.generation)
        #expect(answer.savedAt == before.savedAt)
        #expect(answer.age == .seconds(30))
    }
}
