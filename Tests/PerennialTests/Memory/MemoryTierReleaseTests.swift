import Testing

@testable import Perennial

@Suite struct MemoryTierReleaseTests {
    let census = Tracked.Census()

    @Test func `What leaves the tier is released`() {
        do {
            let tier = MemoryTier<Int, Tracked>(maximumBytes: 1 << 20, maximumCount: 100, shards: 1, seed: 1)
            for key in 0..<100 { tier.insert(Tracked(key, census), for: key, cost: 1) }
            #expect(census.count == 100)
            for key in 0..<50 { tier.insert(Tracked(-key, census), for: key, cost: 1) }
            #expect(census.count == 100)
            for key in 0..<10 { tier.remove(key) }
            #expect(census.count == 90)
            for key in 100..<1_000 { tier.insert(Tracked(key, census), for: key, cost: 1) }
            #expect(census.count == tier.statistics.count)
            tier.removeAll { key, _ in key % 2 == 0 }
            #expect(census.count == tier.statistics.count)
            tier.insert(Tracked(0, census), for: 0, cost: .max)
            #expect(census.count == tier.statistics.count)
            tier.removeAll()
            #expect(census.count == 0)
            for key in 0..<30 { tier.insert(Tracked(key, census), for: key, cost: 1) }
        }
        #expect(census.count == 0)
    }

    /// Would hang if it were released under the lock of the one shard.
    @Test func `An element's deinit may call the tier`() {
        let tier = MemoryTier<Int, Tracked>(maximumBytes: 1 << 20, maximumCount: 10, shards: 1, seed: 1)
        func element() -> Tracked {
            Tracked(0, census) { [weak tier] in _ = tier?.peek(0) }
        }
        for key in 0..<50 { tier.insert(element(), for: key, cost: 1) }
        for key in 0..<50 { tier.insert(element(), for: key, cost: 1) }
        tier.insert(element(), for: 3, cost: .max)
        tier.remove(4)
        tier.removeAll { key, _ in key > 5 }
        tier.update(5) { _ in .remove }
        tier.removeAll()
        #expect(census.count == 0)
    }
}
