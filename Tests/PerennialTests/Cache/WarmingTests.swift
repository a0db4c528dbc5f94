import Perennial
import PerennialTesting
import Testing

/// What was hot is in memory again before anybody asks.
@Suite struct WarmingTests {
    private let rig = Rig()

    /// What a process leaves behind that read these keys, the last ones most often.
    private func run(_ keys: [String]) async throws {
        let cache = rig.cache()
        for (number, key) in keys.enumerated() {
            for _ in 0...number { _ = try await cache[key] }
        }
        await cache.shutdown()
    }

    @Test func `the next process has the hottest first, and nobody asks the origin`() async throws {
        try await run(["cold", "warm", "hot"])
        #expect(try await rig.backend.store.hotKeys(cache: "texts", page: 0) == ["hot", "warm", "cold"])
        let next = rig.cache()
        await next.warmUp()
        for key in ["cold", "warm", "hot"] { #expect(next.lookupInMemory(key)?.value == "value of \(key)") }
        #expect(rig.origin.count == 3)
    }

    @Test func `what is stale comes without a refresh, until somebody reads it`() async throws {
        try await run(["a"])
        rig.clock.advance(by: .hours(2))
        let next = rig.cache()
        await next.warmUp()
        #expect(next.peek("a")?.state == .stale)
        #expect(try await rig.jobs().isEmpty)
        #expect(try await next["a"] == "value of a")
        try await eventually { next.statistics.refreshesQueued == 1 }
    }

    @Test func `what was removed meanwhile stays removed`() async throws {
        try await run(["a", "b"])
        try await rig.cache().remove("a")
        let next = rig.cache()
        await next.warmUp()
        #expect(next.peek("a") == nil)
        #expect(next.peek("b")?.value == "value of b")
    }

    @Test func `a process that knows few hot keys keeps the others behind them`() async throws {
        try await run(["a", "b", "c"])
        try await run(["b", "new"])
        #expect(try await rig.backend.store.hotKeys(cache: "texts", page: 0) == ["new", "b", "c", "a"])
        await rig.cache().shutdown()
        #expect(try await rig.backend.store.hotKeys(cache: "texts", page: 0) == ["new", "b", "c", "a"])
    }

    @Test func `what the caller does not wait for comes behind`() async throws {
        let keys = (0..<500).map { "key \($0)" }
        let writer = rig.cache()
        for key in keys { _ = try await writer[key] }
        await writer.shutdown()
        let next = rig.cache()
        await next.warmUp(for: .zero)
        // Now and then it looks whether there are readers, and waits a little if there were.
        try await eventually {
            rig.clock.advance(by: .milliseconds(100))
            return next.statistics.memoryCount == 500
        }
        #expect(rig.origin.count == 500)
    }

    @Test func `warming stops when the memory tier is full, and has the hottest then`() async throws {
        let writer = rig.cache()
        for number in 0..<2_000 { _ = try await writer["key \(number)"] }
        for number in 500..<600 {
            for _ in 0..<5 { _ = try await writer["key \(number)"] }
        }
        await writer.shutdown()
        let small = Cache<String, String>(
            "texts", backend: rig.backend, codec: .json, memory: MemoryLimits(bytes: 64 << 20, count: 300),
            workers: 0, time: rig.clock, answering: { _, _ in throw Trouble() })
        await small.warmUp()
        #expect((250...300).contains(small.statistics.memoryCount))
        #expect(small.statistics.memoryEvictions <= 64)
        #expect((500..<600).allSatisfy { small.peek("key \($0)") != nil })
    }

    @Test func `a store that fails leaves the tier cold, and what is removed while it is read does not come back`()
        async throws
    {
        try await run(["a", "b"])
        let store = FaultyStore(rig.backend.store)
        let backend = MixedBackend(store: store, queue: rig.backend.queue)
        store.faults.failEverything()
        let cold = rig.cache(backend: backend)
        await cold.warmUp()
        #expect(cold.statistics.memoryCount == 0)
        await cold.shutdown()
        store.faults.heal()
        #expect(try await rig.backend.store.hotKeys(cache: "texts", page: 0) == ["b", "a"])

        // Read, but not yet here, when it is removed.
        let next = rig.cache(backend: backend)
        store.faults.delayAnswers(of: .read)
        let warming = Task { await next.warmUp() }
        await store.faults.waitUntilHanging(.read)
        try await next.remove("a")
        store.faults.heal()
        await warming.value
        #expect(next.peek("a") == nil)
        #expect(next.peek("b")?.value == "value of b")
    }

    @Test func `what is used is noted once in five minutes, and what is hot as often`() async throws {
        let store = FaultyStore()
        let cache = rig.cache(backend: MixedBackend(store: store, queue: InMemoryQueue()))
        for _ in 0..<2 { _ = try await cache["a"] }
        for (turn, touches) in [1, 1, 2].enumerated() {
            if turn == 2 { _ = try await cache["a"] }
            for _ in 0..<10 {
                let before = store.faults.calls(of: .maintain)
                await rig.clock.waitForSleepers()
                // No use of an entry.
                _ = cache.peek("a")
                rig.clock.advance(by: .seconds(30))
                try await eventually { store.faults.calls(of: .maintain) > before }
            }
            try await eventually { store.faults.calls(of: .saveHotKeys) == turn + 1 }
            #expect(store.faults.calls(of: .touch) == touches)
            #expect(try await store.hotKeys(cache: "texts", page: 0) == ["a"])
        }
    }
}
