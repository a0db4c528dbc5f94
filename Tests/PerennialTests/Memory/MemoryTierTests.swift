import PerennialTesting
import Testing

@testable import Perennial

@Suite struct MemoryTierTests {
    /// A key that can be made to collide: all with one hash meet in one slot.
    struct Clumsy: Hashable {
        let number: Int
        func hash(into hasher: inout Hasher) {}
    }

    @Test func `What was put in is found until it is taken out`() {
        let tier = MemoryTier<String, Int>(maximumBytes: 1 << 20, seed: 1)
        #expect(tier.value(for: "one") == nil)
        tier.insert(1, for: "one", cost: 10)
        #expect(tier.value(for: "one") == 1)
        #expect(tier.peek("one") == 1)
        #expect(tier.remove("one") == 1)
        #expect(tier.remove("one") == nil)
        #expect(tier.peek("one") == nil)
    }

    @Test func `What is read in place is what was put in, and counts like a value handed out`() {
        let tier = MemoryTier<String, [Int]>(maximumBytes: 1 << 20, seed: 1)
        #expect(tier.withElement(for: "one") { $0.pointee.count } == nil)
        tier.insert([1, 2, 3], for: "one", cost: 10)
        #expect(tier.withElement(for: "one") { $0.pointee.reduce(0, +) } == 6)
        tier.insert([4], for: "one", cost: 10)
        #expect(tier.withElement(for: "one") { $0.pointee } == [4])
        #expect(tier.statistics.hits == 2)
        #expect(tier.statistics.misses == 1)
    }

    @Test func `Only value counts hits and misses`() {
        let tier = MemoryTier<String, Int>(maximumBytes: 1 << 20, seed: 1)
        tier.insert(1, for: "one", cost: 10)
        _ = tier.value(for: "one")
        _ = tier.value(for: "one")
        _ = tier.value(for: "two")
        _ = tier.peek("one")
        _ = tier.peek("two")
        tier.update("two") { _ in .keep }
        let bytes = 10 + MemoryTier<String, Int>.overhead
        #expect(tier.statistics == .init(hits: 2, misses: 1, count: 1, bytes: bytes, evictions: 0))
    }

    @Test(arguments: [1, 7, 40, 300])
    func `It agrees with a dictionary on whatever it still holds`(capacity: Int) {
        var generator = SeededGenerator(seed: UInt64(capacity))
        let entry = 100 + MemoryTier<String, Int>.overhead
        let tier = MemoryTier<String, Int>(
            maximumBytes: capacity * entry, maximumCount: capacity, shards: 4, seed: 7)
        var model: [String: Int] = [:]
        for step in 0..<60_000 {
            let number = Int.random(in: 0..<capacity * 3, using: &generator)
            let key = number % 2 == 0 ? "\(number)" : "https://api.example.com/users/\(number)?é=\(number)"
            switch Int.random(in: 0..<100, using: &generator) {
            case 0..<50:
                let found = tier.value(for: key)
                #expect(found == nil || found == model[key])
            case 50..<85:
                tier.insert(step, for: key, cost: Int.random(in: 0...200, using: &generator))
                model[key] = step
            case 85..<99:
                let found = tier.remove(key)
                #expect(found == nil || found == model[key])
                model[key] = nil
            default:
                let threshold = step - Int.random(in: 0..<2_000, using: &generator)
                tier.removeAll { _, element in element < threshold }
                model = model.filter { $0.value >= threshold }
            }
            let statistics = tier.statistics
            #expect(statistics.count <= capacity)
            #expect(statistics.bytes <= capacity * entry)
        }
        var held = 0
        tier.forEach { key, element in
            held += 1
            #expect(model[key] == element)
        }
        #expect(held == tier.statistics.count)
        #expect(capacity < 7 || held > 0)
    }

    @Test func `Without a need to evict it is exactly a dictionary, through growth and removal`() {
        var generator = SeededGenerator(seed: 3)
        let tier = MemoryTier<Int, Int>(maximumBytes: 1 << 30, shards: 2, seed: 3)
        var model: [Int: Int] = [:]
        for step in 0..<200_000 {
            // Grows to thousands of entries and shrinks again, over and over, so that slots are freed in every pattern.
            let isGrowing = step / 20_000 % 2 == 0
            let key = Int.random(in: 0..<10_000, using: &generator)
            if Int.random(in: 0..<10, using: &generator) < (isGrowing ? 7 : 3) {
                tier.insert(step, for: key, cost: 1)
                model[key] = step
            } else {
                #expect(tier.remove(key) == model.removeValue(forKey: key))
            }
        }
        for key in 0..<10_000 { #expect(tier.peek(key) == model[key]) }
        #expect(tier.statistics.count == model.count)
        #expect(tier.statistics.evictions == 0)
    }

    @Test func `Keys whose hashes are all equal are kept apart`() {
        let tier = MemoryTier<Clumsy, Int>(maximumBytes: 1 << 20, seed: 1)
        for number in 0..<200 { tier.insert(number, for: Clumsy(number: number), cost: 1) }
        for number in stride(from: 0, to: 200, by: 3) { tier.remove(Clumsy(number: number)) }
        for number in 0..<200 {
            #expect(tier.value(for: Clumsy(number: number)) == (number % 3 == 0 ? nil : number))
        }
    }

    @Test func `Equal strings are one key however they are spelt`() {
        let tier = MemoryTier<String, Int>(maximumBytes: 1 << 20, seed: 1)
        tier.insert(1, for: "caf\u{e9}", cost: 1)
        #expect(tier.value(for: "cafe\u{301}") == 1)
        tier.insert(2, for: "", cost: 1)
        #expect(tier.value(for: "") == 2)
    }

    @Test func `A replacement changes the cost`() {
        let tier = MemoryTier<String, Int>(maximumBytes: 1 << 20, seed: 1)
        let overhead = MemoryTier<String, Int>.overhead
        tier.insert(1, for: "one", cost: 100)
        #expect(tier.statistics.bytes == 100 + overhead)
        tier.insert(2, for: "one", cost: 30)
        #expect(tier.statistics.bytes == 30 + overhead)
        #expect(tier.statistics.count == 1)
        tier.remove("one")
        #expect(tier.statistics.bytes == 0)
    }

    @Test func `A replacement that grows makes others go`() {
        let overhead = MemoryTier<Int, Int>.overhead
        let tier = MemoryTier<Int, Int>(maximumBytes: 10 * (100 + overhead), shards: 1, seed: 1)
        for key in 0..<10 { tier.insert(key, for: key, cost: 100) }
        #expect(tier.statistics.count == 10)
        tier.insert(5, for: 5, cost: 4 * (100 + overhead))
        #expect(tier.statistics.bytes <= 10 * (100 + overhead))
        #expect(tier.statistics.evictions >= 3)
    }

    @Test func `An element too large is not kept, and the older one goes`() {
        let tier = MemoryTier<String, Int>(maximumBytes: 10_000, shards: 1, seed: 1)
        tier.insert(1, for: "one", cost: 100)
        tier.insert(2, for: "one", cost: 10_000)
        #expect(tier.peek("one") == nil)
        tier.insert(3, for: "two", cost: .max)
        #expect(tier.statistics.count == 0)
        tier.insert(4, for: "two", cost: -1)
        #expect(tier.statistics.bytes == MemoryTier<String, Int>.overhead)
    }

    @Test func `A tier of no size holds nothing`() {
        for tier in [
            MemoryTier<Int, Int>(maximumBytes: 0, seed: 1),
            MemoryTier<Int, Int>(maximumBytes: 1 << 20, maximumCount: 0, seed: 1),
        ] {
            for key in 0..<100 { tier.insert(key, for: key, cost: 0) }
            #expect(tier.statistics.count == 0)
        }
    }

    @Test func `A popular large entry displaces several small ones nobody asks for`() {
        let overhead = MemoryTier<Int, Int>.overhead
        let tier = MemoryTier<Int, Int>(maximumBytes: 100 * (100 + overhead), shards: 1, seed: 1)
        for key in 0..<100 { tier.insert(key, for: key, cost: 100) }
        for _ in 0..<4 where tier.value(for: -1) == nil { tier.insert(-1, for: -1, cost: 10 * (100 + overhead)) }
        #expect(tier.peek(-1) == -1)
        #expect(tier.statistics.evictions >= 10)
        #expect(tier.statistics.bytes <= 100 * (100 + overhead))
    }

    @Test func `Update decides on what is there`() {
        let tier = MemoryTier<String, Int>(maximumBytes: 1 << 20, seed: 1)
        func newer(_ element: Int) -> Int? {
            tier.update("key") { old in
                if let old, old >= element { .keep } else { .replace(element, cost: 1) }
            }
        }
        #expect(newer(5) == nil)
        #expect(newer(3) == 5)
        #expect(tier.peek("key") == 5)
        #expect(newer(9) == 5)
        #expect(tier.peek("key") == 9)
        #expect(tier.update("key") { _ in .remove } == 9)
        #expect(tier.peek("key") == nil)
    }

    @Test func `Update that throws changes nothing and gives the lock back`() {
        struct Refusal: Error {}
        let tier = MemoryTier<String, Int>(maximumBytes: 1 << 20, seed: 1)
        tier.insert(1, for: "key", cost: 1)
        #expect(throws: Refusal.self) {
            try tier.update("key") { _ in throw Refusal() }
        }
        #expect(tier.peek("key") == 1)
    }

    @Test func `What was used is told once, whatever else is looked at`() {
        let tier = MemoryTier<Int, Int>(maximumBytes: 1 << 20, shards: 4, seed: 1)
        for key in 0..<1_000 { tier.insert(key, for: key, cost: 1) }
        #expect(tier.takeUsed() == [])
        for key in [3, 500, 999] { _ = tier.value(for: key) }
        _ = tier.peek(4)
        tier.forEach { key, element in #expect(key == element) }
        #expect(Set(tier.takeUsed()) == [3, 500, 999])
        #expect(tier.takeUsed() == [])
        for _ in 0..<40 { _ = tier.value(for: 7) }
        #expect(tier.takeUsed() == [7])
    }

    @Test func `What was used is told part by part`() {
        let tier = MemoryTier<Int, Int>(maximumBytes: 1 << 20, shards: 2, seed: 1)
        for key in 0..<1_000 { tier.insert(key, for: key, cost: 1) }
        for key in 0..<1_000 { _ = tier.value(for: key) }
        let parts = (0..<10).map { tier.takeUsed(part: $0, of: 10) }
        #expect(parts.allSatisfy { (50...150).contains($0.count) })
        #expect(parts.flatMap { $0 }.sorted() == Array(0..<1_000))
        #expect(tier.takeUsed() == [])
    }

    @Test func `Iteration may change the tier`() {
        let tier = MemoryTier<Int, Int>(maximumBytes: 1 << 20, shards: 1, seed: 1)
        for key in 0..<1_000 { tier.insert(key, for: key, cost: 1) }
        tier.forEach { key, _ in tier.remove(key) }
        #expect(tier.statistics.count == 0)
    }
}
