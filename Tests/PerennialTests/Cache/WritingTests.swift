import PerennialTesting
import Synchronization
import Testing

@testable import Perennial

@Suite struct WritingTests {
    /// A cache whose fetch of "a" is under way and waits at the gate.
    func fetching(_ rig: Rig, _ cache: Cache<String, String>, _ gate: Gate) async throws -> Task<String?, any Error> {
        rig.origin.answers { _, _ in
            await gate.pass()
            return .value("fetched before", tags: ["t"])
        }
        let reader = Task { try await cache["a"] }
        try await eventually { gate.arrived == 1 }
        return reader
    }

    @Test func `a value set by hand is there for everybody`() async throws {
        let rig = Rig()
        let cache = rig.cache()
        try await cache.set("a", to: "by hand", tags: ["t"])
        #expect(try await cache.lookup("a").value == "by hand")
        #expect(try await rig.cache().lookup("a").tags == ["t"])
        #expect(rig.origin.count == 0)
    }

    @Test func `a fetch that began before a set does not overwrite it, here or elsewhere`() async throws {
        for setElsewhere in [false, true] {
            let rig = Rig()
            let cache = rig.cache()
            let gate = Gate()
            let reader = try await fetching(rig, cache, gate)
            try await (setElsewhere ? rig.cache() : cache).set("a", to: "by hand")
            gate.open()
            _ = try await reader.value
            #expect(try await cache["a"] == "by hand")
            #expect(try await rig.cache()["a"] == "by hand")
            #expect(cache.statistics.superseded == 1)
        }
    }

    @Test func `a fetch that began before a remove saves nothing, and who waited for it asks again`() async throws {
        for removeElsewhere in [false, true] {
            let rig = Rig()
            let cache = rig.cache()
            let gate = Gate()
            let reader = try await fetching(rig, cache, gate)
            try await (removeElsewhere ? rig.cache() : cache).remove("a")
            rig.origin.answers { _, _ in .value("fetched after") }
            gate.open()
            #expect(try await reader.value == "fetched after")
            #expect(cache.statistics.superseded == 1)
            #expect(try await rig.cache().lookup("a").value == "fetched after")
        }
    }

    @Test func `an answer that may not be stored removes nothing that was set meanwhile`() async throws {
        let rig = Rig()
        let cache = rig.cache()
        _ = try await cache["a"]
        rig.clock.advance(by: .days(8))
        let gate = Gate()
        rig.origin.answers { _, _ in
            await gate.pass()
            return .notStored("for one")
        }
        let reader = Task { try await cache["a"] }
        try await eventually { gate.arrived == 1 }
        try await rig.cache().set("a", to: "by hand")
        gate.open()
        #expect(try await reader.value == "for one")
        #expect(try await rig.cache()["a"] == "by hand")
        try await eventually { cache.peek("a")?.value == "by hand" }
    }

    @Test func `an answer that may not be stored leaves the entry alone when it says so, and others may ask at once`()
        async throws
    {
        let rig = Rig()
        let cache = rig.cache()
        _ = try await cache["a"]
        rig.origin.answers { _, _ in .notStored("for one", keepsPrevious: true) }
        // A reader who does not accept the entry, though it is fresh.
        #expect(try await cache.lookup("a", accepting: { _ in false }).value == "for one")
        #expect(cache.peek("a")?.state == .fresh)
        let elsewhere = rig.cache()
        #expect(try await elsewhere.lookup("a").value == "value of a")
        // The lease has ended: nobody waits for it.
        #expect(try await elsewhere.lookup("a", accepting: { _ in false }).value == "for one")
        #expect(rig.origin.count == 3)

        rig.origin.answers { _, _ in .notStored("for one") }
        #expect(try await cache.lookup("a", accepting: { _ in false }).value == "for one")
        #expect(cache.peek("a") == nil)
        #expect(try await rig.cache()["a"] == "for one")
    }

    @Test func `a refresh whose answer may not be stored leaves the stale entry to its readers when it says so`()
        async throws
    {
        let rig = Rig()
        let cache = rig.cache()
        _ = try await cache["a"]
        rig.clock.advance(by: .hours(2))
        #expect(try await cache.lookup("a").state == .stale)
        try await eventually { try await rig.jobs().count == 1 }
        rig.origin.answers { _, _ in .notStored("for nobody", keepsPrevious: true) }
        #expect(await rig.worker(cache).drain() == 1)
        #expect(try await rig.jobs().isEmpty)
        #expect(try await cache.lookup("a").value == "value of a")
        #expect(try await rig.cache().lookup("a").value == "value of a")
    }

    @Test func `what a fetch retains lives until the store has answered, and no longer`() async throws {
        final class Reservation: Sendable {}
        final class Held: Sendable {
            private let reservation = Mutex<WeakReservation>(WeakReservation())
            struct WeakReservation { weak var object: Reservation? }
            var isAlive: Bool { reservation.withLock { $0.object != nil } }
            func make() -> Reservation {
                let made = Reservation()
                reservation.withLock { $0.object = made }
                return made
            }
        }
        let store = FaultyStore()
        let rig = Rig(backend: MixedBackend(store: store, queue: InMemoryQueue()))
        let cache = rig.cache()
        let held = Held()
        rig.origin.answers { _, _ in Fetched.value("large").retaining(held.make()) }
        store.faults.hang(.save)
        async let reader = cache["a"]
        await store.faults.waitUntilHanging(.save)
        #expect(held.isAlive)
        store.faults.heal()
        #expect(try await reader == "large")
        try await eventually { !held.isAlive }
    }

    @Test func `a fetch that began before its tag was removed saves nothing`() async throws {
        let rig = Rig()
        let cache = rig.cache()
        let gate = Gate()
        let reader = try await fetching(rig, cache, gate)
        try await rig.cache().remove(tag: "t")
        rig.origin.answers { _, _ in .value("fetched after") }
        gate.open()
        #expect(try await reader.value == "fetched after")
        #expect(cache.statistics.superseded == 1)
        #expect(try await rig.cache().lookup("a").value == "fetched after")
    }

    @Test func `a reader asks again once, however often what it waits for is removed`() async throws {
        let rig = Rig()
        let cache = rig.cache()
        rig.origin.answers { [origin = rig.origin] _, _ in
            try await cache.remove("a")
            return .value("answer \(origin.count)")
        }
        #expect(try await cache["a"] == "answer 2")
        #expect(cache.peek("a") == nil)
        #expect(try await rig.backend.store.statistics().entries == 0)
    }

    @Test func `a reader after a remove does not join the fetch from before it`() async throws {
        let rig = Rig()
        let cache = rig.cache()
        let gate = Gate()
        let before = try await fetching(rig, cache, gate)
        try await cache.remove("a")
        rig.origin.answers { _, _ in .value("after") }
        let after = Task { try await cache["a"] }
        gate.open()
        let ticking = Task {
            while !Task.isCancelled {
                rig.clock.advance(by: .milliseconds(5))
                await Task.yield()
            }
        }
        #expect(try await before.value == "after")
        #expect(try await after.value == "after")
        ticking.cancel()
        #expect(try await rig.cache()["a"] == "after")
    }

    @Test func `an expired entry goes on being served, and its refresh follows`() async throws {
        let rig = Rig()
        let cache = rig.cache()
        _ = try await cache["a"]
        #expect(try await cache.markStale("a"))
        let answer = try await cache.lookup("a")
        #expect(answer.state == .stale)
        #expect(answer.value == "value of a")
        try await eventually { try await rig.jobs().count == 1 }
        rig.origin.answers { _, _ in .value("new") }
        await rig.worker(cache).drain()
        #expect(try await cache.lookup("a").state == .fresh)
        #expect(try await cache["a"] == "new")
        #expect(try await cache.markStale("nothing") == false)
    }

    @Test func `a refresh that began before an expire does not undo it`() async throws {
        let rig = Rig()
        let cache = rig.cache()
        _ = try await cache["a"]
        try await cache.markStale("a")
        _ = cache.lookupInMemory("a")
        try await eventually { try await rig.jobs().count == 1 }
        let gate = Gate()
        rig.origin.answers { _, _ in
            await gate.pass()
            return .value("read before the change")
        }
        let working = Task { await rig.worker(cache).drain() }
        try await eventually { gate.arrived == 1 }
        try await cache.markStale("a")
        gate.open()
        _ = await working.value
        #expect(try await cache.lookup("a").state == .stale)
        // The refresh is not done: it comes again.
        rig.origin.answers { _, _ in .value("read after the change") }
        rig.clock.advance(by: .seconds(1))
        #expect(await rig.worker(cache).drain() == 1)
        #expect(try await cache["a"] == "read after the change")
    }

    @Test func `expire and remove by tag reach memory and store, and only what carries the tag`() async throws {
        let rig = Rig(
            origin: ScriptedOrigin { key, _ in .value(key, tags: key.hasPrefix("v") ? ["verified"] : ["plain"]) })
        let cache = rig.cache()
        let elsewhere = rig.cache()
        for key in ["v1", "v2", "p1"] {
            _ = try await cache[key]
            _ = try await elsewhere[key]
        }
        #expect(try await cache.markStale(tag: "verified") == 2)
        #expect(cache.peek("v1")?.state == .stale)
        #expect(cache.peek("p1")?.state == .fresh)
        try await eventually { elsewhere.peek("v2")?.state == .stale }
        #expect(try await cache.remove(tag: "verified") == 2)
        #expect(cache.peek("v1") == nil)
        #expect(cache.peek("p1") != nil)
        try await eventually { elsewhere.peek("v2") == nil }
        #expect(try await cache.removeAll() == 1)
        #expect(cache.peek("p1") == nil)
    }

    @Test func `all entries can be walked through, page by page`() async throws {
        let rig = Rig()
        let cache = rig.cache()
        for number in 0..<450 { try await cache.set("key \(number)", to: "\(number)", tags: number < 3 ? ["few"] : []) }
        var keys: Set<String> = []
        for try await (key, answer) in cache.all() {
            #expect(answer.value == String(key.dropFirst(4)))
            keys.insert(key)
        }
        #expect(keys.count == 450)
        var few: [String] = []
        for try await (key, _) in cache.all(tag: "few") { few.append(key) }
        #expect(few == ["key 0", "key 1", "key 2"])
    }
}
