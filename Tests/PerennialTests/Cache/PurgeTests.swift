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

    @Test(arguments: 1...20)
    func `nor where each step of the store takes its time`(_ seed: UInt64) async throws {
        let store = FaultyStore()
        store.faults.dawdle(seed: seed)
        let backend = MixedBackend(store: store, queue: InMemoryQueue())
        _ = try await PurgeConformance.run(seed: seed, steps: 1_000, machines: [backend, backend])
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
        for flight in [overtaken, joined, alone] { #expect(flight.newestWrite == Generation(2) && !flight.isDetached) }
        #expect(flights.noteMissedWrites().count == 4)
        flights.detach("a")
        for flight in [overtaken, joined, alone] { #expect(flight.isDetached) }
        #expect(!landed.isDetached && !other.isDetached)
        flights.detachAll()
        #expect(other.isDetached)
        #expect(flights.noteMissedWrites().isEmpty)
    }
}
