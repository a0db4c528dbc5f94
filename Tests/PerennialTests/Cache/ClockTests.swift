import PerennialTesting
import Testing

@testable import Perennial

/// The wall clock is set, forwards or backwards, while all goes on; or another machine's was wrong.
@Suite struct ClockTests {
    static let jumps: [Duration] = [
        .zero - .days(365), .zero - .days(1), .zero - .hours(1), .zero - .seconds(90), .zero - .seconds(20),
        .seconds(20), .seconds(90), .hours(1), .days(1), .days(365),
    ]

    /// With a queue that waits on the rig's clock, too.
    private func rig() -> Rig {
        let clock = ManualClock()
        return Rig(clock: clock, backend: InMemoryBackend(time: clock))
    }

    /// Lets seconds of the steady clock pass until `condition` holds, this many at most.
    private func within(
        _ seconds: Int, _ rig: Rig, _ what: String = "", _ condition: () async throws -> Bool
    ) async throws {
        for _ in 0...seconds {
            for _ in 0..<300 {
                if try await condition() { return }
                await Task.yield()
            }
            rig.clock.advance(by: .seconds(1))
        }
        throw Trouble(name: "not within \(seconds) s: \(what)")
    }

    @Test(arguments: jumps)
    func `reads and refreshes go on after a jump as before`(jump: Duration) async throws {
        let rig = Rig()
        let cache = rig.cache(workers: 2)
        for key in ["fresh", "stale", "purged"] { _ = try await cache[key] }
        rig.clock.jump(by: jump)
        for key in ["fresh", "stale", "new"] { #expect(try await cache[key] == "value of \(key)") }
        // Each key that is read is as the clock says it should be, soon.
        try await within(35, rig, "fresh again") { try await cache.lookup("fresh").state == .fresh }
        rig.origin.answers { key, _ in .value("second value of \(key)") }
        rig.clock.advance(by: .minutes(61))
        #expect(try await cache.lookup("fresh").value == "value of fresh")
        try await within(35, rig, "refreshed") { cache.peek("fresh")?.value == "second value of fresh" }
        _ = try await cache.markStale("purged")
        try await within(35, rig, "purged") { try await cache["purged"] == "second value of purged" }
        #expect(try await rig.cache()["fresh"] == "second value of fresh")
        try await within(35, rig, "no jobs") { try await rig.jobs().isEmpty }
        await cache.shutdown()
    }

    @Test(arguments: jumps)
    func `a job that waits for its next attempt comes to it after a jump`(jump: Duration) async throws {
        let rig = rig()
        let cache = rig.cache(workers: 2)
        _ = try await cache["a"]
        rig.clock.advance(by: .minutes(61))
        rig.origin.fails()
        #expect(try await cache["a"] == "value of a")
        try await within(5, rig, "a failure") { try await rig.jobs(.queued).first?.failures == 1 }
        rig.clock.jump(by: jump)
        rig.origin.answers { _, _ in .value("new") }
        try await within(35, rig, "refreshed") { cache.peek("a")?.value == "new" }
        await cache.shutdown()
    }

    @Test(arguments: jumps)
    func `a closed origin is asked again after a jump as it would be without`(jump: Duration) async throws {
        let rig = Rig()
        let guarded = OriginGuard(breaker: try .init(minimum: 1, endpoints: 1), time: rig.clock)
        let cache = rig.cache(guarded: guarded)
        rig.origin.fails()
        for key in 0..<30 { _ = try? await cache["\(key)"] }
        rig.origin.answers { _, _ in .value("back") }
        await #expect(throws: OriginUnavailable.self) { try await cache["next"] }
        rig.clock.jump(by: jump)
        try await within(120, rig, "open") { (try? await cache["next"]) == "back" }
    }

    @Test(arguments: jumps)
    func `a store that was away is used again after a jump as it would be without`(jump: Duration) async throws {
        let store = FaultyStore()
        let rig = Rig(backend: MixedBackend(store: store, queue: InMemoryQueue()))
        let cache = rig.cache()
        store.faults.failEverything()
        #expect(try await cache["a"] == "value of a")
        store.faults.heal()
        rig.clock.jump(by: jump)
        rig.clock.advance(by: .seconds(2))
        #expect(try await cache["b"] == "value of b")
        #expect(cache.health.isComplete)
        #expect(try await rig.cache().lookup("b").source == .store)
        try await eventually { try await store.read([EntryKey(cache: "texts", key: "a")])[0].entry != nil }
    }

    @Test func `what could not be saved is replaced by what comes after the clock was set back`() async throws {
        let store = FaultyStore()
        store.faults.failEverything()
        let rig = Rig(backend: MixedBackend(store: store, queue: InMemoryQueue()))
        let cache = rig.cache()
        #expect(try await cache["a"] == "value of a")
        rig.clock.jump(by: .zero - .days(365))
        rig.origin.answers { _, _ in .value("new") }
        #expect(try await cache["a"] == "value of a")
        try await eventually { cache.peek("a")?.value == "new" && cache.peek("a")?.state == .fresh }
    }

    @Test(arguments: jumps.filter { $0 < .zero - .seconds(35) })
    func `nobody waits for who asked by a clock that was ahead, and has vanished`(jump: Duration) async throws {
        let rig = Rig()
        let cache = rig.cache(workers: 2)
        _ = try await cache["stale"]
        rig.clock.advance(by: .minutes(61))
        let until = rig.clock.now + .seconds(30)
        for key in ["missing", "stale"] {
            let entryKey = EntryKey(cache: "texts", key: key)
            let lease = try await rig.backend.store.lease(
                [entryKey], token: "vanished", until: until, now: rig.clock.now)
            guard case .granted = lease[0] else { throw Trouble() }
        }
        rig.clock.jump(by: jump)
        rig.clock.advance(by: .seconds(1))
        let asked = Task { try await cache["missing"] }
        try await within(1, rig, "asked") { cache.peek("missing") != nil }
        #expect(try await asked.value == "value of missing")
        await cache.shutdown()
    }

    @Test func `a claim by a clock that was ahead is no claim`() async throws {
        let rig = Rig()
        let cache = rig.cache(workers: 2)
        _ = try await cache["a"]
        rig.clock.advance(by: .minutes(61))
        let (entryKey, ahead) = (EntryKey(cache: "texts", key: "a"), rig.clock.now + .days(365))
        _ = try await rig.backend.store.lease([entryKey], token: "vanished", until: ahead + .seconds(30), now: ahead)
        rig.origin.answers { _, _ in .value("new") }
        #expect(try await cache["a"] == "value of a")
        try await within(1, rig, "refreshed") { cache.peek("a")?.value == "new" }
        await cache.shutdown()
    }

    @Test(arguments: [false, true])
    func `a job of another machine whose clock was ahead is done`(wasTaken: Bool) async throws {
        let rig = rig()
        let cache = rig.cache()
        _ = try await cache["a"]
        rig.clock.advance(by: .minutes(61))
        let ahead = rig.clock.now + .hours(2)
        let generation = cache.peek("a")?.generation ?? .zero
        let job = RefreshJob(
            key: EntryKey(cache: "texts", key: "a"), generation: generation, leaseToken: "t", queuedAt: ahead)
        #expect(try await rig.backend.queue.enqueue(job, notBefore: ahead, now: ahead))
        if wasTaken {
            let taken = try await rig.backend.queue.dequeue(
                caches: ["texts"], limit: 1, worker: "vanished", until: ahead + .seconds(30), now: ahead)
            #expect(taken.count == 1)
        }
        rig.origin.answers { _, _ in .value("new") }
        let working = rig.cache(workers: 2)
        try await within(wasTaken ? 70 : 35, rig, "done") { try await rig.jobs().isEmpty }
        #expect(try await working["a"] == "new")
        await working.shutdown()
    }

    @Test func `what was purged while the clock was ahead is stale when it is right again`() async throws {
        let rig = Rig()
        let (cache, other) = (rig.cache(), rig.cache())
        for some in [cache, other] { _ = try await some["a"] }
        rig.clock.jump(by: .minutes(30))
        _ = try await cache.markStale("a")
        try await eventually { other.peek("a")?.state != .fresh }
        rig.clock.jump(by: .zero - .minutes(30))
        for some in [cache, other, rig.cache()] { #expect(try await some.lookup("a").state == .stale) }
    }

    @Test func `the janitor removes nothing that was not due when the clock is a year ahead for half a minute`()
        async throws
    {
        let rig = Rig()
        let cache = rig.cache(Rig.policy(refreshAfter: .hours(1), expireAfter: .hours(2), staleIfError: .hours(3)))
        for key in 0..<100 { _ = try await cache["\(key)"] }
        func left() async throws -> Int { try await rig.backend.store.statistics().entries }
        func tick() async throws {
            // Tasks that sleep: the janitor, and nobody else.
            await rig.clock.waitForSleepers()
            rig.clock.advance(by: .seconds(30))
            await rig.clock.waitForSleepers()
        }
        rig.clock.jump(by: .days(365))
        try await tick()
        try await tick()
        #expect(try await left() == 100)
        rig.clock.jump(by: .zero - .days(365))
        try await tick()
        #expect(try await left() == 100)
        // A clock that stays so is believed in the end, and the time goes on meanwhile.
        rig.clock.jump(by: .days(365))
        for _ in 0..<110 { try await tick() }
        #expect(try await left() == 100)
        for _ in 0..<15 { try await tick() }
        #expect(try await left() == 0)
    }
}
