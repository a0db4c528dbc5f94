import PerennialTesting
import Testing

@testable import Perennial

/// What the tier keeps, as hit ratios of fixed sequences of requests.
@Suite struct EvictionTests {
    let tier = MemoryTier<Int, Int>(maximumBytes: 1 << 30, maximumCount: 1_000, shards: 1, seed: 1)

    /// Asks for the keys as a cache's reader does.
    /// - Returns: the part that was found.
    @discardableResult
    func ratio(_ keys: some Sequence<Int>) -> Double {
        var (hits, requests) = (0, 0)
        for key in keys {
            requests += 1
            if tier.value(for: key) == nil { tier.insert(key, for: key, cost: 1) } else { hits += 1 }
        }
        return Double(hits) / Double(requests)
    }

    func zipf(_ count: Int, keys: Int = 20_000, seed: UInt64 = 5) -> [Int] {
        let zipf = Zipf(keys: keys)
        var generator = SeededGenerator(seed: seed)
        return (0..<count).map { _ in zipf.next(using: &generator) }
    }

    @Test func `Popular keys are kept`() {
        ratio(zipf(100_000))
        // The 1,000 most popular of 20,000 get 71 % of the requests; an LRU of that size has 58 %.
        #expect(ratio(zipf(100_000, seed: 6)) > 0.67)
    }

    @Test func `A scan does not displace what is used`() {
        ratio(zipf(100_000))
        let before = ratio(zipf(20_000, seed: 6))
        ratio(1_000_000..<1_003_000)
        let after = ratio(zipf(20_000, seed: 7))
        #expect(after > before - 0.02)
    }

    @Test func `Of a loop larger than the tier a part is always found`() {
        for _ in 0..<20 { ratio(0..<1_500) }
        // An LRU finds nothing.
        #expect(ratio(0..<1_500) > 0.55)
    }

    @Test func `What was popular once makes room`() {
        ratio(zipf(100_000))
        let settled = ratio(zipf(20_000, seed: 6))
        let moved = { (seed: UInt64) in self.zipf(100_000, seed: seed).map { $0 + 1_000_000 } }
        ratio(moved(7))
        #expect(ratio(moved(8)) > settled - 0.03)
    }

    @Test func `Where recency tells best the window grows`() {
        // Each key three times within some 300 requests, then never again.
        let bursts = (0..<300_000).map { request in
            switch request % 3 {
            case 0: request / 3
            case 1: max(0, request / 3 - 50)
            default: max(0, request / 3 - 100)
            }
        }
        ratio(bursts)
        #expect(ratio(bursts.map { $0 + 1_000_000 }.suffix(100_000)) > 0.6)
    }

    @Test func `Large and small entries share the bytes`() {
        let overhead = MemoryTier<Int, Int>.overhead
        let limit = 1_000 * (100 + overhead)
        let tier = MemoryTier<Int, Int>(maximumBytes: limit, shards: 1, seed: 1)
        var generator = SeededGenerator(seed: 9)
        var hits = 0
        for key in zipf(100_000) {
            if tier.value(for: key) == nil {
                let cost = key % 10 == 0 ? 5_000 : Int.random(in: 0...200, using: &generator)
                tier.insert(key, for: key, cost: cost)
            } else {
                hits += 1
            }
            #expect(tier.statistics.bytes <= limit)
        }
        #expect(hits > 50_000)
        #expect(tier.statistics.bytes > limit * 9 / 10)
    }

    @Test func `The sketch tells frequent from rare, and forgets by halves`() {
        let hash = KeyHash(seed: 3)
        var sketch = FrequencySketch(entries: 1_000)
        defer { sketch.deallocate() }
        for key in 0..<5_000 { sketch.increment(hash.hash(key)) }
        for key in 0..<100 { for _ in 0..<9 { sketch.increment(hash.hash(key)) } }
        #expect((0..<100).allSatisfy { sketch.estimate(hash.hash($0)) >= 10 })
        #expect((1_000..<5_000).filter { sketch.estimate(hash.hash($0)) > 3 }.count < 40)
        let before = (0..<5_000).map { sketch.estimate(hash.hash($0)) }
        sketch.grow(entries: 8_000)
        #expect((0..<5_000).map { sketch.estimate(hash.hash($0)) } == before)
        sketch.halve()
        #expect((0..<5_000).map { sketch.estimate(hash.hash($0)) } == before.map { $0 / 2 })
        for _ in 0..<40 { sketch.increment(hash.hash(7)) }
        #expect(sketch.estimate(hash.hash(7)) == 15)
    }
}
