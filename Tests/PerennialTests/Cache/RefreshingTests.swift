import PerennialTesting
import Testing

@testable import Perennial

@Suite struct RefreshingTests {
    /// A cache with one stale key whose refresh is queued.
    func staleRig(
        _ policy: Policy = Rig.policy(), workers: Int = 0
    ) async throws -> (Rig, Cache<String, String>) {
        let rig = Rig()
        let cache = rig.cache(policy, workers: workers)
        _ = try await cache["a"]
        rig.clock.advance(by: .minutes(61))
        #expect(try await cache.lookup("a").state == .stale)
        if workers == 0 { try await eventually { try await rig.jobs().count == 1 } }
        return (rig, cache)
    }

    @Test func `a worker in the process refreshes behind the reader`() async throws {
        let (rig, cache) = try await staleRig(workers: 2)
        try await eventually { cache.peek("a")?.state == .fresh }
        #expect(rig.origin.reasons == [.missing, .refresh(attempt: 1)])
        #expect(cache.statistics.refreshes == 1)
        try await eventually { try await rig.jobs().isEmpty }
        await cache.shutdown()
    }

    @Test func `a failed refresh leaves the value, is retried with growing pauses, and ends as a dead letter`()
        async throws
    {
        let (rig, cache) = try await staleRig()
        let worker = rig.worker(cache)
        rig.origin.fails(Trouble(name: "no luck"))
        var pauses: [Duration] = []
        for attempt in 1...5 {
            #expect(await worker.drain() == 1)
            #expect(cache.lookupInMemory("a")?.value == "value of a")
            let job = try #require(try await rig.jobs().first)
            #expect(job.failures == attempt)
            #expect(job.error?.contains("no luck") == true)
            #expect(job.state == (attempt == 5 ? .dead : .queued))
            if attempt < 5 {
                pauses.append(job.at - rig.clock.now)
                rig.clock.advance(by: job.at - rig.clock.now)
            }
        }
        for (pause, whole) in zip(pauses, [1, 2, 4, 8]) {
            #expect(pause >= .milliseconds(whole * 500) && pause <= .seconds(whole))
        }
        #expect(rig.origin.count == 6)
        #expect(cache.statistics.deadLetters == 1)
    }

    @Test func `who does not know the entry has it refreshed, unless the origin has confirmed it since`() async throws {
        let rig = Rig()
        let cache = rig.cache()
        _ = try await cache["a"]
        rig.clock.advance(by: .minutes(1))
        func refresh(queuedAt: Timestamp) async throws {
            let job = RefreshJob(
                key: EntryKey(cache: cache.name, key: "a"), generation: .unknown, leaseToken: "t", queuedAt: queuedAt)
            #expect(try await rig.backend.queue.enqueue(job, notBefore: rig.clock.now, now: rig.clock.now))
            #expect(await rig.worker(cache).drain() == 1)
        }
        // The entry is fresh, but from before.
        try await refresh(queuedAt: rig.clock.now)
        #expect(rig.origin.reasons == [.missing, .refresh(attempt: 1)])
        try await refresh(queuedAt: rig.clock.now)
        try await refresh(queuedAt: rig.clock.now - .seconds(30))
        #expect(rig.origin.count == 2)
        rig.clock.advance(by: .minutes(1))
        try await refresh(queuedAt: rig.clock.now)
        #expect(rig.origin.count == 3)
        #expect(try await rig.jobs().isEmpty)
    }

    @Test func `after the cool-down a stale read queues a new refresh in place of the dead letter`() async throws {
        let (rig, cache) = try await staleRig()
        rig.origin.fails(OriginFailure("gone for good", isPermanent: true))
        #expect(await rig.worker(cache).drain() == 1)
        #expect(try await rig.jobs(.dead).count == 1)
        _ = cache.lookupInMemory("a")
        #expect(await rig.worker(cache).drain() == 0)
        rig.clock.advance(by: .minutes(1))
        rig.origin.answers { _, _ in .value("healed") }
        _ = cache.lookupInMemory("a")
        try await eventually { try await rig.jobs(.queued).count == 1 }
        #expect(await rig.worker(cache).drain() == 1)
        #expect(cache.lookupInMemory("a")?.value == "healed")
        #expect(try await rig.jobs().isEmpty)
    }

    @Test func `a removed key is fetched by its next reader although a retry of its refresh is waiting`() async throws {
        let (rig, cache) = try await staleRig()
        rig.origin.fails(OriginFailure("busy", retryAfter: .minutes(5)))
        await rig.worker(cache).drain()
        try await cache.remove("a")
        rig.clock.advance(by: .minutes(6))
        rig.origin.answers { _, _ in .value("fetched anew") }
        #expect(try await cache["a"] == "fetched anew")
    }

    @Test func `a refresh that meets a reader's look in the store is not taken for done`() async throws {
        let store = FaultyStore()
        let rig = Rig(backend: MixedBackend(store: store, queue: InMemoryQueue()))
        let elsewhere = rig.cache()
        _ = try await elsewhere["a"]
        rig.clock.advance(by: .minutes(61))
        _ = try await elsewhere.lookup("a")
        try await eventually { try await rig.jobs().count == 1 }
        // A process that has not read the key before: its first read is at the store when its worker gets the job.
        let cache = rig.cache()
        store.faults.hang(.read)
        async let reader = cache.lookup("a")
        await store.faults.waitUntilHanging(.read)
        async let drained = rig.worker(cache).drain()
        try await eventually { try await rig.jobs(.running).count == 1 }
        store.faults.heal()
        #expect(try await reader.state == .stale)
        _ = await drained
        rig.clock.advance(by: .seconds(1))
        await rig.worker(cache).drain()
        #expect(rig.origin.count == 2)
        #expect(cache.peek("a")?.state == .fresh)
    }

    @Test func `a dead letter can be replayed`() async throws {
        let (rig, cache) = try await staleRig()
        rig.origin.fails(OriginFailure("gone for good", isPermanent: true))
        await rig.worker(cache).drain()
        rig.origin.answers { _, _ in .value("replayed") }
        #expect(try await rig.backend.queue.replay(nil, now: rig.clock.now) == 1)
        #expect(await rig.worker(cache).drain() == 1)
        #expect(cache.peek("a")?.value == "replayed")
    }

    @Test func `Retry-After is obeyed`() async throws {
        let (rig, cache) = try await staleRig()
        rig.origin.fails(OriginFailure("slow down", retryAfter: .seconds(90)))
        await rig.worker(cache).drain()
        let job = try #require(try await rig.jobs().first)
        #expect(job.at - rig.clock.now == .seconds(90))
    }

    @Test func `a refresh that finds a newer value adopts it and asks nobody`() async throws {
        let (rig, cache) = try await staleRig()
        let elsewhere = rig.cache()
        try await elsewhere.set("a", to: "set elsewhere")
        #expect(await rig.worker(cache).drain() == 1)
        #expect(rig.origin.count == 1)
        #expect(cache.peek("a")?.value == "set elsewhere")
        #expect(cache.statistics.refreshesAdopted == 1)
    }

    @Test func `a refresh of a removed key asks nobody and brings nothing back`() async throws {
        let (rig, cache) = try await staleRig()
        try await cache.remove("a")
        #expect(await rig.worker(cache).drain() == 1)
        #expect(rig.origin.count == 1)
        #expect(cache.peek("a") == nil)
        #expect(try await rig.backend.store.statistics().entries == 0)
    }

    @Test func `a reader during a refresh of an expired key waits for that refresh and nobody else is asked`()
        async throws
    {
        let (rig, cache) = try await staleRig(Rig.policy(expireAfter: .seconds(3670)))
        let gate = Gate()
        rig.origin.answers { _, _ in
            await gate.pass()
            return .value("refreshed")
        }
        let working = Task { await rig.worker(cache).drain() }
        try await eventually { gate.arrived == 1 }
        rig.clock.advance(by: .seconds(15))
        async let reader = cache["a"]
        gate.open()
        #expect(try await reader == "refreshed")
        #expect(await working.value == 1)
        #expect(rig.origin.count == 2)
    }

    @Test func `a reader whose memory lost a stale entry does not wait for its refresh`() async throws {
        let (rig, cache) = try await staleRig()
        let gate = Gate()
        rig.origin.answers { _, _ in
            await gate.pass()
            return .value("refreshed")
        }
        let working = Task { await rig.worker(cache).drain() }
        try await eventually { gate.arrived == 1 }
        cache.memory.update("a") { _ in .remove }
        let answer = try await cache.lookup("a")
        #expect(answer.value == "value of a")
        #expect(answer.state == .stale)
        gate.open()
        _ = await working.value
        #expect(cache.peek("a")?.value == "refreshed")
    }

    @Test func `a worker that dies costs at most one lease time, and its late result is not saved over a newer one`()
        async throws
    {
        let (rig, cache) = try await staleRig()
        let now = rig.clock.now
        // The first worker takes the job and is never heard of again.
        let taken = try await rig.backend.queue.dequeue(
            caches: ["texts"], limit: 1, worker: "dying", until: now + .seconds(30), now: now)
        #expect(taken.count == 1)
        #expect(await rig.worker(cache).drain() == 0)
        rig.clock.advance(by: .seconds(30))
        rig.origin.answers { _, _ in .value("by the second") }
        #expect(await rig.worker(cache).drain() == 1)
        #expect(cache.peek("a")?.value == "by the second")
        #expect(try await rig.jobs().isEmpty)
    }

    @Test func `while the breaker is open refreshes wait without using up attempts`() async throws {
        let rig = Rig()
        let guarded = OriginGuard(breaker: try .init(minimum: 1, endpoints: 1), time: rig.clock)
        let cache = rig.cache(guarded: guarded)
        _ = try await cache["a"]
        _ = try await cache["b"]
        rig.clock.advance(by: .hours(2))
        _ = cache.lookupInMemory("a")
        _ = cache.lookupInMemory("b")
        try await eventually { try await rig.jobs().count == 2 }
        rig.origin.fails()
        let worker = RefreshWorker(
            queue: rig.backend.queue, caches: [cache], concurrency: 1, name: "one", time: rig.clock)
        #expect(await worker.drain() == 2)
        #expect(rig.origin.count == 3)
        #expect(try await rig.jobs().map(\.failures).sorted() == [0, 1])
        #expect(guarded.status.closedUntil != nil)
    }

    @Test func `a job for text that is no key of the cache becomes a dead letter that says so`() async throws {
        let backend = InMemoryBackend()
        let clock = ManualClock()
        let numbers = Cache<Int, String>("numbers", backend: backend, workers: 0, time: clock) { key, _ in "\(key)" }
        let job = RefreshJob(
            key: EntryKey(cache: "numbers", key: "seven"), generation: .zero, leaseToken: "t", queuedAt: clock.now)
        #expect(try await backend.queue.enqueue(job, notBefore: clock.now, now: clock.now))
        await RefreshWorker(
            queue: backend.queue, caches: [numbers], concurrency: 1, name: "w", time: clock
        ).drain()
        let dead = try #require(try await backend.queue.jobs(state: .dead, after: nil, limit: 1).first)
        #expect(dead.error?.contains("'seven' is not a key") == true)
    }

    @Test func `a stopping worker waits for what is in hand and hands back what is not finished in time`() async throws
    {
        let (rig, cache) = try await staleRig()
        let gate = Gate()
        rig.origin.answers { _, _ in
            await gate.pass()
            return .value("late")
        }
        let worker = rig.worker(cache)
        let running = Task { await worker.run() }
        try await eventually { gate.arrived == 1 }
        let stopping = Task { await worker.stop(deadline: .seconds(10)) }
        try await eventually {
            rig.clock.advance(by: .seconds(1))
            return try await rig.jobs(.queued).count == 1
        }
        await stopping.value
        #expect(try await rig.jobs().first?.failures == 0)
        gate.open()
        await running.value
    }
}
