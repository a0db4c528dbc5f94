import PerennialTesting
import Testing

@testable import Perennial

/// One queue, shared by workers with different stores.
@Suite struct OtherStoreTests {
    private let queue = InMemoryQueue()

    private func rig(_ clock: ManualClock, _ store: any Store = InMemoryStore()) -> Rig {
        Rig(clock: clock, backend: MixedBackend(store: store, queue: queue))
    }

    @Test func `a worker with another store leaves a job to those who have its store`() async throws {
        let clock = ManualClock()
        let (mine, other) = (rig(clock), rig(clock))
        let (cache, otherCache) = (mine.cache(), other.cache())
        _ = try await cache["a"]
        clock.advance(by: .hours(2))
        #expect(try await cache.lookup("a").state == .stale)
        try await eventually { try await mine.jobs(.queued).count == 1 }

        #expect(await other.worker(otherCache).drain() == 1)
        #expect(other.origin.count == 0)
        #expect(otherCache.statistics.jobsOfOtherStores == 1)
        #expect(try await mine.jobs(.queued).count == 1)

        clock.advance(by: .seconds(2))
        #expect(await mine.worker(cache).drain() == 1)
        #expect(try await mine.jobs() == [])
        #expect(mine.origin.count == 2)
        #expect(cache.statistics.jobsOfOtherStores == 0)
    }

    @Test func `a job that nobody with its store takes becomes a dead letter, and a reader's next job takes its place`()
        async throws
    {
        let clock = ManualClock()
        let (mine, other) = (rig(clock), rig(clock))
        let (cache, otherCache) = (mine.cache(), other.cache())
        _ = try await cache["a"]
        clock.advance(by: .hours(2))
        _ = try await cache["a"]
        try await eventually { try await mine.jobs(.queued).count == 1 }
        clock.advance(by: .hours(2))
        _ = await other.worker(otherCache).drain()
        #expect(try await mine.jobs(.dead).first?.error?.contains("store") == true)
        _ = try await cache["a"]
        try await eventually { try await mine.jobs(.queued).count == 1 }
    }

    @Test func `jobs that name no store are done by whoever takes them`() async throws {
        let clock = ManualClock()
        let rig = rig(clock)
        let cache = rig.cache()
        _ = try await cache["a"]
        clock.advance(by: .hours(2))
        let job = RefreshJob(
            key: EntryKey(cache: "texts", key: "a"), generation: .unknown, leaseToken: "theirs", queuedAt: clock.now)
        _ = try await queue.enqueue(job, notBefore: clock.now, now: clock.now)
        #expect(await rig.worker(cache).drain() == 1)
        #expect(rig.origin.count == 2)
        #expect(cache.statistics.jobsOfOtherStores == 0)
    }
}
