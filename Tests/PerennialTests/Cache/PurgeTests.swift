import PerennialTesting
import Testing

@testable import Perennial

/// Purges against everything else that may be under way.
@Suite struct PurgeTests {
    @Test(arguments: 1...20)
    func `no reader gets what was purged before it came, whatever was under way`(_ seed: UInt64) async throws {
        let backend = InMemoryBackend()
        let counts = try await PurgeConformance.run(seed: seed, steps: 1_000, machines: [backend, backend])
        #expect(counts.reads > 300 && counts.purges > 50 && counts.answers > 50)
    }

    @Test func `what is marked stale stays in memory, whatever the change feed says of it meanwhile`() async throws {
        let rig = Rig()
        let cache = rig.cache()
        for round in 0..<500 {
            try await cache.set("a", to: "\(round)", tags: ["t"])
            _ = try await round % 2 == 0 ? cache.markStale("a") : cache.markStale(tag: "t") > 0
            let found = cache.peek("a")
            #expect(found?.state == .stale && found?.value == "\(round)")
        }
    }

    @Test(arguments: 1...10)
    func `nor where each step of the store takes its time`(_ seed: UInt64) async throws {
        let store = FaultyStore()
        store.faults.dawdle(seed: seed)
        let backend = MixedBackend(store: store, queue: InMemoryQueue())
        _ = try await PurgeConformance.run(seed: seed, steps: 1_000, machines: [backend, backend])
    }

    @Test(arguments: 1...10)
    func `nor where the change feed says only that something has changed`(_ seed: UInt64) async throws {
        let store = FaultyStore(losesChanges: true)
        store.faults.dawdle(seed: seed)
        let backend = MixedBackend(store: store, queue: InMemoryQueue())
        _ = try await PurgeConformance.run(seed: seed, steps: 1_000, machines: [backend, backend])
    }

    @Test(arguments: [false, true], [false, true])
    func `what was saved, and purged elsewhere before that was known here, is not kept`(
        isSetByHand: Bool, losesChanges: Bool
    ) async throws {
        for isPurged in [true, false] {
            try await save(isSetByHand: isSetByHand, losesChanges: losesChanges, isPurged: isPurged)
        }
    }

    private func save(isSetByHand: Bool, losesChanges: Bool, isPurged: Bool) async throws {
        let shared = InMemoryStore()
        let slow = FaultyStore(shared, losesChanges: losesChanges)
        let rig = Rig(backend: MixedBackend(store: shared, queue: InMemoryQueue()))
        let here = rig.cache(backend: MixedBackend(store: slow, queue: InMemoryQueue()))
        let there = rig.cache()
        slow.faults.delayAnswers(of: .save)
        let write = Task {
            if isSetByHand { try await here.set("a", to: "by hand") } else { _ = try await here["a"] }
        }
        await slow.faults.waitUntilHanging(.save)
        #expect(try await there.remove(isPurged ? "a" : "c") == isPurged)
        // Readers don't join what has heard of it.
        if !isSetByHand, isPurged || losesChanges { try await eventually { here.flights.count == 0 } }
        _ = try await there["b"]
        try await eventually { (try? await here["b"]) != nil && here.peek("b") != nil }
        try await there.set("b", to: "newer")
        try await eventually { here.peek("b")?.value == "newer" }
        slow.faults.heal()
        try await write.value
        #expect((here.peek("a") == nil) == isPurged)
    }

    @Test func `a purge concerns every flight of the key that is in the air, joined or not`() {
        let flights = Flights<String, String>()
        let overtaken = flights.join("a").flight
        flights.noteWrite("a", Generation(1))
        let (joined, isNew) = flights.join("a")
        #expect(isNew && joined !== overtaken)
        let alone = flights.alone("a")
        let landed = flights.alone("a")
        flights.land("a", landed, .turnedBack(.onlyLooked))
        let other = flights.join("b").flight
        flights.noteWrite("a", Generation(2))
        for flight in [overtaken, joined, alone] {
            #expect(flight.admits(Generation(2)) && !flight.admits(Generation(1)) && !flight.isDetached)
        }
        #expect(other.admits(Generation(1)) && landed.admits(Generation(1)))
        flights.noteWrites(nil)
        for flight in [overtaken, joined, alone, other] { #expect(!flight.admits(Generation(9))) }
        let own = flights.alone("a")
        flights.detach("a", except: own)
        for flight in [overtaken, joined, alone] { #expect(flight.isDetached) }
        #expect(!landed.isDetached && !other.isDetached && own.admits(Generation(1)))
        flights.detachAll()
        #expect(other.isDetached && own.isDetached)
    }
}
