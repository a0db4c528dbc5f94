import Perennial
import PerennialTesting
import Synchronization
import Testing

/// Several keys read from the store together.
@Suite struct StoredTests {
    @Test func `what the store has comes back and stays in memory, and nobody asks the origin`() async throws {
        let backend = InMemoryBackend()
        let rig = Rig(backend: backend)
        let writer = rig.cache()
        for key in ["a", "b"] { _ = try await writer[key] }
        let reader = rig.cache()
        let answers = await reader.lookupStored(["a", "missing", "b", "a"])
        #expect(answers.map { $0?.value } == ["value of a", nil, "value of b", nil])
        #expect(answers[0]?.source == .store)
        #expect(reader.peek("a")?.value == "value of a")
        #expect(reader.statistics.storeHits == 2)
        #expect(reader.statistics.memoryMisses == 2)
        #expect(rig.origin.count == 2)
    }

    @Test func `a stale one is refreshed behind, an expired one is not taken`() async throws {
        let backend = InMemoryBackend()
        let rig = Rig(backend: backend)
        _ = try await rig.cache()["a"]
        rig.clock.advance(by: .hours(2))
        let reader = rig.cache()
        let stale = await reader.lookupStored(["a"])[0]
        #expect(stale?.state == .stale)
        try await eventually { reader.statistics.refreshesQueued == 1 }
        rig.clock.advance(by: .days(30))
        #expect(await rig.cache().lookupStored(["a"])[0] == nil)
    }

    @Test func `who meets a look that is in vain asks the origin itself`() async throws {
        let rig = Rig(backend: InMemoryBackend())
        let cache = rig.cache()
        await withTaskGroup { group in
            for _ in 0..<50 {
                group.addTask { _ = await cache.lookupStored(["x", "y"]) }
                group.addTask { #expect((try? await cache["x"]) == "value of x") }
            }
        }
        #expect(rig.origin.count == 1)
    }

    @Test func `a store that can be read at once is, before the call returns`() async throws {
        let backend = InMemoryBackend()
        let rig = Rig(backend: backend)
        _ = try await rig.cache()["a"]
        let found = Mutex<[String?]>([])
        rig.cache().lookupStored(["a", "b"]) { answers in
            found.withLock { $0 = answers.map { $0?.value } }
        }
        #expect(found.withLock { $0 } == ["value of a", nil])
    }

    @Test func `a store that fails has nothing`() async throws {
        let store = FaultyStore()
        store.faults.failEverything()
        let rig = Rig(backend: MixedBackend(store: store, queue: InMemoryQueue()))
        let cache = rig.cache()
        #expect(await cache.lookupStored(["a"])[0] == nil)
        #expect(try await cache["a"] == "value of a")
    }
}

extension Cache {
    /// The same for those who wait.
    fileprivate func lookupStored(_ keys: [Key]) async -> [Answer<Value>?] {
        await withCheckedContinuation { continuation in
            lookupStored(keys) { continuation.resume(returning: $0) }
        }
    }
}
