import PerennialTesting
import Synchronization
import Testing

@testable import Perennial

/// What readers get when the store, the queue or the stored bytes fail.
@Suite struct TroubleTests {
    @Test func `with the store unreachable the origin is asked, once for all, memory serves, and it heals by itself`()
        async throws
    {
        let store = FaultyStore()
        store.faults.failEverything()
        let rig = Rig(backend: MixedBackend(store: store, queue: InMemoryQueue()))
        let cache = rig.cache()
        #expect(try await cache["a"] == "value of a")
        #expect(try await cache.lookup("a").source == .memory)
        #expect(rig.origin.count == 1)
        #expect(cache.health.storeReads != nil)
        #expect(cache.health.isComplete == false)
        #expect(cache.statistics.backendFailures > 0)
        await #expect(throws: InjectedFault.self) { try await cache.set("a", to: "x") }

        store.faults.heal()
        rig.clock.advance(by: .seconds(2))
        #expect(try await cache["b"] == "value of b")
        #expect(cache.health.isComplete)
        #expect(try await rig.cache().lookup("b").source == .store)
    }

    @Test func `a value that is too large for the store lives in memory, is counted, and is no failure of the store`()
        async throws
    {
        let rig = Rig(backend: InMemoryBackend(sizeLimit: 10_000))
        rig.origin.answers { key, _ in
            .value(String(repeating: "x", count: key.hasPrefix("large") ? 20_000 : 10), tags: ["t"])
        }
        let cache = rig.cache()
        for key in ["small", "large 1", "large 2"] { _ = try await cache[key] }
        #expect(try await cache.lookup("large 1").source == .memory)
        #expect(cache.statistics.notKept == 2)
        #expect(cache.health.isComplete)
        #expect(try await rig.cache().lookup("small").source == .store)
        // A purge finds it there, too.
        _ = try await rig.cache().remove("large 1")
        try await eventually { cache.peek("large 1") == nil }
        _ = try await rig.cache().remove(tag: "t")
        try await eventually { cache.peek("large 2") == nil }
        try await cache.set("large 3", to: String(repeating: "x", count: 20_000))
        #expect(cache.statistics.notKept == 3)
    }

    @Test func `a key that the store can't have is asked for without it, and is no failure of the store`() async throws
    {
        let store = FaultyStore()
        let rig = Rig(backend: MixedBackend(store: store, queue: InMemoryQueue()))
        let cache = rig.cache()
        store.faults.fail(.lease, .save, with: NotStorable("too long"))
        #expect(try await cache["a"] == "value of a")
        #expect(try await cache.lookup("a").source == .memory)
        #expect(cache.statistics.notKept == 1)
        #expect(cache.statistics.backendFailures == 0)
        #expect(cache.health.isComplete)
        store.faults.heal()
        #expect(try await cache["b"] == "value of b")
        #expect(try await rig.cache().lookup("b").source == .store)
    }

    @Test func `a value that could not be saved is saved when the store is back, as old as it is`() async throws {
        let store = FaultyStore()
        store.faults.failEverything()
        let rig = Rig(backend: MixedBackend(store: store, queue: InMemoryQueue()))
        let cache = rig.cache()
        _ = try await cache["a"]
        store.faults.heal()
        rig.clock.advance(by: .hours(2))
        try await eventually { try await cache["b"] != nil && cache.health.isComplete }
        try await eventually { cache.peek("a")?.generation != .zero }
        let elsewhere = try await rig.cache().lookup("a")
        #expect(elsewhere.source == .store)
        #expect(elsewhere.state == .stale)
        #expect(elsewhere.age == .hours(2))
        #expect(rig.origin.count == 2)
    }

    @Test(arguments: ["by key", "by tag", "with its cache", "softly", "by key, while nobody listened"])
    func `a value that could not be saved is forgotten when it was purged elsewhere meanwhile`(
        purged: String
    ) async throws {
        let shared = InMemoryStore()
        let store = FaultyStore(shared)
        let rig = Rig(backend: MixedBackend(store: store, queue: InMemoryQueue()))
        rig.origin.answers { _, _ in .value("before the purge", tags: ["t"]) }
        let cache = rig.cache()
        store.faults.failEverything()
        #expect(try await cache["a"] == "before the purge")
        switch purged {
        case "by tag": _ = try await shared.remove(.tag("t", cache: "texts"), now: rig.clock.now)
        case "with its cache": _ = try await shared.remove(.cache("texts"), now: rig.clock.now)
        case "softly": _ = try await shared.markStale(.tag("t", cache: "texts"), now: rig.clock.now)
        default: _ = try await shared.remove(.key(EntryKey(cache: "texts", key: "a")), now: rig.clock.now)
        }
        rig.origin.answers { _, _ in .value("after the purge", tags: ["t"]) }
        store.faults.heal()
        rig.clock.advance(by: .seconds(2))
        _ = try await cache["b"]
        try await eventually { cache.peek("a")?.value != "before the purge" }
        #expect(try await cache["a"] == "after the purge")
        #expect(try await rig.cache()["a"] == "after the purge")
    }

    @Test(arguments: ["by key", "by tag", "with its cache"])
    func `a purge that the store could not be told of holds here at once, and for all when the store is back`(
        purged: String
    ) async throws {
        let store = FaultyStore()
        let rig = Rig(backend: MixedBackend(store: store, queue: InMemoryQueue()))
        rig.origin.answers { _, _ in .value("before the purge", tags: ["t"]) }
        let cache = rig.cache()
        for key in ["a", "b"] { _ = try await cache[key] }
        store.faults.fail(.remove)
        await #expect(throws: InjectedFault.self) {
            switch purged {
            case "by tag": _ = try await cache.remove(tag: "t")
            case "with its cache": _ = try await cache.removeAll()
            default: for key in ["a", "b"] { _ = try await cache.remove(key) }
            }
        }
        if purged == "by key" { await #expect(throws: InjectedFault.self) { try await cache.remove("b") } }
        rig.origin.answers { _, _ in .value("after the purge", tags: ["t"]) }
        // The store can be read, and has what was purged.
        for key in ["a", "b"] { #expect(try await cache[key] == "after the purge") }
        store.faults.heal()
        rig.clock.advance(by: .seconds(2))
        for key in ["a", "b"] { #expect(try await cache[key] == "after the purge") }
        _ = try await cache["c"]
        for key in ["a", "b"] {
            let elsewhere = rig.cache()
            #expect(try await elsewhere[key] == "after the purge")
        }
    }

    @Test func `a soft purge that the store could not be told of makes stale here at once, and for all later`()
        async throws
    {
        let store = FaultyStore()
        let rig = Rig(backend: MixedBackend(store: store, queue: InMemoryQueue()))
        let cache = rig.cache()
        _ = try await cache["a"]
        store.faults.fail(.markStale)
        await #expect(throws: InjectedFault.self) { try await cache.markStale("a") }
        #expect(cache.peek("a")?.state == .stale)
        store.faults.heal()
        rig.clock.advance(by: .seconds(2))
        _ = try await cache["b"]
        #expect(try await rig.cache().lookup("a").state == .stale)
    }

    @Test func `a purge that comes again while the store is told of it is still owed`() async throws {
        let owed = OwedPurges(cache: "texts")
        let purge = OwedPurges.Purge(kind: .remove, selection: .key(EntryKey(cache: "texts", key: "a")))
        owed.add(purge)
        try await owed.settle { owed.add($0) }
        #expect(!owed.isEmpty)
        try await owed.settle { _ in }
        #expect(owed.isEmpty)
    }

    @Test func `what is owed to the store is one purge of the whole cache when it would be too many`() async throws {
        let owed = OwedPurges(cache: "texts")
        for number in 0...OwedPurges.limit {
            let key = EntryKey(cache: "texts", key: "\(number)")
            owed.add(OwedPurges.Purge(kind: number == 7 ? .remove : .markStale, selection: .key(key)))
        }
        let paid = Mutex<[OwedPurges.Purge]>([])
        try await owed.settle { purge in paid.withLock { $0.append(purge) } }
        #expect(paid.withLock { $0 } == [OwedPurges.Purge(kind: .remove, selection: .cache("texts"))])
        #expect(owed.isEmpty)
    }

    @Test func `an outage never replaces a newer value in memory by an older one from the store`() async throws {
        let store = FaultyStore()
        let rig = Rig(backend: MixedBackend(store: store, queue: InMemoryQueue()))
        let cache = rig.cache()
        _ = try await cache["a"]
        rig.clock.advance(by: .days(8))
        store.faults.failEverything()
        rig.origin.answers { _, _ in .value("fetched in the outage") }
        #expect(try await cache["a"] == "fetched in the outage")
        store.faults.heal()
        rig.clock.advance(by: .seconds(2))
        try await cache.reload(["a"])
        #expect(try await cache["a"] == "fetched in the outage")
    }

    @Test func `not modified for a value that could not be saved saves that value, not the age of an older one`()
        async throws
    {
        let store = FaultyStore()
        let rig = Rig(backend: MixedBackend(store: store, queue: InMemoryQueue()))
        rig.origin.answers { _, _ in .value("old", validator: Validator(etag: "1")) }
        let cache = rig.cache()
        _ = try await cache["a"]
        rig.clock.advance(by: .days(8))
        store.faults.fail(.save, .confirm, .lease, .extendLease, .releaseLease)
        rig.origin.answers { _, _ in .value("new", validator: Validator(etag: "2")) }
        #expect(try await cache["a"] == "new")
        rig.clock.advance(by: .hours(2))
        rig.origin.answers { _, context in
            context.previous?.validator?.etag == "2" ? .notModified() : .value("wrong question")
        }
        store.faults.heal()
        // Whether it is saved first or refreshed first: the first write of this process may be either.
        #expect(try await cache.lookup("a").state == .stale)
        try await eventually { cache.peek("a")?.generation != .zero }
        await rig.worker(cache).drain()
        #expect(cache.peek("a")?.value == "new")
        #expect(try await rig.cache().lookup("a").value == "new")
    }

    @Test func `with the queue unreachable the refresh runs in this process`() async throws {
        let queue = FaultyQueue()
        let rig = Rig(backend: MixedBackend(store: InMemoryStore(), queue: queue))
        let cache = rig.cache()
        _ = try await cache["a"]
        queue.faults.failEverything()
        rig.clock.advance(by: .hours(2))
        rig.origin.answers { _, _ in .value("without a queue") }
        #expect(try await cache.lookup("a").state == .stale)
        try await eventually { cache.peek("a")?.value == "without a queue" }
        #expect(cache.health.queue != nil)
        // The next refresh that can be queued shows that the queue is back.
        queue.faults.heal()
        rig.clock.advance(by: .hours(2))
        #expect(try await cache.lookup("a").state == .stale)
        try await eventually { cache.health.queue == nil }
    }

    @Test
    func
        `with the queue unreachable and everything stale, this process asks for a few at a time, and for all in the end`()
        async throws
    {
        let queue = FaultyQueue()
        let rig = Rig(backend: MixedBackend(store: InMemoryStore(), queue: queue))
        let cache = rig.cache()
        let keys = (0..<40).map { "\($0)" }
        for key in keys { _ = try await cache[key] }
        rig.clock.advance(by: .hours(2))
        queue.faults.failEverything()
        let gate = Gate()
        rig.origin.answers { key, _ in
            await gate.pass()
            return .value("new \(key)")
        }
        for key in keys { #expect(try await cache[key] == "value of \(key)") }
        try await eventually { gate.arrived == 4 }
        for _ in 0..<1000 { await Task.yield() }
        #expect(gate.arrived == 4)
        gate.open()
        try await eventually {
            rig.clock.advance(by: .seconds(1))
            for key in keys { _ = try await cache[key] }
            return keys.allSatisfy { cache.peek($0)?.value == "new \($0)" }
        }
    }

    @Test func `a read-only store degrades to memory and origin, and reads go on`() async throws {
        let store = FaultyStore()
        let rig = Rig(backend: MixedBackend(store: store, queue: InMemoryQueue()))
        _ = try await rig.cache()["a"]
        store.faults.fail(.save, .confirm, .lease, .extendLease, .releaseLease)
        let cache = rig.cache()
        #expect(try await cache.lookup("a").source == .store)
        #expect(try await cache["b"] == "value of b")
        #expect(cache.health.storeReads == nil)
        #expect(cache.health.storeWrites != nil)
    }

    @Test func `stored bytes that can't be decoded count as missing and are replaced`() async throws {
        let rig = Rig()
        let broken = Codec<String>(format: "json", encode: { _ in Array("{not json".utf8) }, decode: { _ in "" })
        try await rig.cache(codec: broken).set("a", to: "lost")
        let cache = rig.cache()
        #expect(try await cache["a"] == "value of a")
        #expect(cache.statistics.undecodable > 0)
        #expect(try await rig.cache()["a"] == "value of a")
    }

    @Test func `a migrate hook rescues an older format`() async throws {
        let rig = Rig()
        let old = Codec<String>(
            format: "v1", encode: { Array($0.utf8) }, decode: { String(decoding: $0, as: UTF8.self) })
        try await rig.cache(codec: old).set("a", to: "from version 1")
        let cache = rig.cache(migrate: { format, bytes in
            format == "v1" ? String(decoding: bytes, as: UTF8.self) : nil
        })
        #expect(try await cache["a"] == "from version 1")
        #expect(rig.origin.count == 0)
    }

    @Test func `an answer that can't be encoded replaces nothing`() async throws {
        let rig = Rig()
        _ = try await rig.cache()["a"]
        rig.clock.advance(by: .days(8))
        let failing = Codec<String>(
            format: "json", encode: { _ in throw Trouble(name: "can't encode") }, decode: Codec<String>.json.decode)
        let answer = try await rig.cache(codec: failing).lookup("a")
        #expect(answer.value == "value of a")
        #expect(try await rig.backend.store.statistics().entries == 1)
    }

    @Test func `not modified with nothing before is an error, not a crash`() async throws {
        let rig = Rig(origin: ScriptedOrigin { _, _ in .notModified() })
        await #expect(throws: OriginFailure.self) { try await rig.cache()["a"] }
    }

    @Test func `with a dead origin everything stale or usable on error is served without waiting`() async throws {
        let rig = Rig()
        let cache = rig.cache(guarded: OriginGuard(breaker: try .init(minimum: 1, endpoints: 1), time: rig.clock))
        for number in 0..<100 { _ = try await cache["\(number)"] }
        rig.clock.advance(by: .days(8))
        rig.origin.fails()
        // The first finds out; nobody else is kept waiting for the origin.
        for number in 0..<100 { #expect(try await cache.lookup("\(number)").note != nil) }
        #expect(rig.origin.count == 101)
        for number in 0..<100 { #expect(cache.lookupInMemory("\(number)")?.value == "value of \(number)") }
    }

    @Test func `what was removed elsewhere while an answer was under way does not come back with it`() async throws {
        let shared = InMemoryStore()
        let slow = FaultyStore(shared)
        let rig = Rig(backend: MixedBackend(store: shared, queue: InMemoryQueue()))
        let here = rig.cache(backend: MixedBackend(store: slow, queue: InMemoryQueue()))
        let there = rig.cache()
        for key in ["a", "b"] { _ = try await there[key] }
        slow.faults.delayAnswers(of: .read)
        async let old = here["a"]
        await slow.faults.waitUntilHanging(.read)
        let flight = here.flights.join("a").flight
        _ = try await there.remove("a")
        try await eventually { !flight.admits(.zero) }
        slow.faults.heal()
        // The one who asked before may still get it; nobody later.
        #expect(try await old == "value of a")
        #expect(here.peek("a") == nil)
        rig.origin.answers { _, _ in .value("new") }
        #expect(try await here["a"] == "new")
        // What nobody touched meanwhile is kept.
        #expect(try await here["b"] == "value of b")
        #expect(here.peek("b") != nil)
    }

    @Test func `those who wait for another machine look again when the store says that it has written`() async throws {
        let rig = Rig()
        let gate = Gate()
        rig.origin.answers { _, _ in
            await gate.pass()
            return .value("once")
        }
        let (first, second) = (rig.cache(), rig.cache())
        async let fetched = first["a"]
        try await eventually { gate.arrived == 1 }
        // Two janitors, the heartbeat of the lease and the time-out of the fetch; then the pause of the one who waits.
        await rig.clock.waitForSleepers(4)
        async let waited = second["a"]
        await rig.clock.waitForSleepers(5)
        // The clock stands still: nothing but the store's word can wake it.
        gate.open()
        #expect(try await [fetched, waited] == ["once", "once"])
        #expect(rig.origin.count == 1)
    }
}
