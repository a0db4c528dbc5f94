import Perennial
import PerennialTesting
import Testing

/// The in-memory reference passes what every other engine must pass.
@Suite struct InMemoryTests {
    @Test(arguments: StoreConformance.checks)
    func `the in-memory store is a store`(_ check: StoreConformance.Check) async throws {
        try await check.run { InMemoryStore(sizeLimit: check.sizeLimit) }
    }

    @Test(arguments: RefreshQueueConformance.checks)
    func `the in-memory queue is a queue`(_ check: RefreshQueueConformance.Check) async throws {
        try await check.run { InMemoryQueue() }
    }

    @Test(arguments: BackendConformance.checks)
    func `the in-memory backend is a backend`(_ check: BackendConformance.Check) async throws {
        try await check.run { InMemoryBackend() }
    }

    @Test(arguments: BackendConformance.checks)
    func `a store mixed with a queue is a backend`(_ check: BackendConformance.Check) async throws {
        try await check.run { MixedBackend(store: InMemoryStore(), queue: InMemoryQueue()) }
    }

    @Test func `waiting for jobs ends when the next one is due`() async throws {
        let clock = ManualClock()
        let queue = InMemoryQueue(time: clock)
        let job = Samples.job(at: clock.now)
        _ = try await queue.enqueue(job, notBefore: clock.now + .seconds(5), now: clock.now)
        _ = try await queue.dequeue(caches: ["people"], limit: 1, worker: "w", until: clock.now, now: clock.now)
        let waiting = Task { await queue.waitForJobs(timeout: .seconds(60)) }
        await clock.waitForSleepers()
        clock.advance(by: .seconds(5))
        await waiting.value
        #expect(clock.sleeperCount == 0)
    }

    @Test func `a claim whose queue fails is left to its caller, under the lease`() async throws {
        let queue = FaultyQueue()
        let backend = MixedBackend(store: InMemoryStore(), queue: queue)
        let saved = try await backend.store.save(Samples.entry(), fence: nil, releasing: nil)
        guard case .saved(let generation) = saved else { return #expect(Bool(false)) }
        queue.faults.fail(.enqueue)
        let job = Samples.job(generation: generation, token: "mine")
        let until = Samples.now + .seconds(30)
        let outcome = try await backend.claimRefresh(job, leaseUntil: until, now: Samples.now)
        guard case .notQueued(let error) = outcome else { return #expect(Bool(false), "\(outcome)") }
        #expect(error is InjectedFault)
        #expect(try await backend.store.extendLease(Samples.key(), token: "mine", until: until, now: Samples.now))
    }
}
