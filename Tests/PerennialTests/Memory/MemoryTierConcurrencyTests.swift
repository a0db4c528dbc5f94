import Dispatch
import PerennialTesting
import Synchronization
import Testing

@testable import Perennial

@Suite struct MemoryTierConcurrencyTests {
    @Test func `Updates of one key from many threads are all counted`() {
        let tier = MemoryTier<String, Int>(maximumBytes: 1 << 20, seed: 1)
        DispatchQueue.concurrentPerform(iterations: 8) { _ in
            for _ in 0..<5_000 {
                tier.update("count") { .replace(($0 ?? 0) + 1, cost: 8) }
            }
        }
        #expect(tier.peek("count") == 40_000)
    }

    @Test func `Readers, writers and removers at once keep bounds and elements right`() {
        let census = Tracked.Census()
        do {
            let tier = MemoryTier<String, Tracked>(maximumBytes: 1 << 30, maximumCount: 200, shards: 2, seed: 1)
            let wrong = Atomic<Int>(0)
            DispatchQueue.concurrentPerform(iterations: 6) { thread in
                var generator = SeededGenerator(seed: UInt64(thread))
                for step in 0..<8_000 {
                    let number = Int.random(in: 0..<600, using: &generator)
                    let key = "https://api.example.com/users/\(number)"
                    if let found = tier.value(for: key) {
                        if found.number != number { wrong.add(1, ordering: .relaxed) }
                        if tier.withElement(for: key, { $0.pointee.number }) ?? number != number {
                            wrong.add(1, ordering: .relaxed)
                        }
                        if step % 5 == 0 { tier.remove(key) }
                    } else {
                        tier.insert(Tracked(number, census), for: key, cost: 10)
                    }
                    if step % 1_000 == 0 {
                        tier.forEach { key, element in
                            if !key.hasSuffix("/\(element.number)") { wrong.add(1, ordering: .relaxed) }
                        }
                        tier.removeAll { _, element in element.number % 7 == thread }
                    }
                    if tier.statistics.count > 200 { wrong.add(1, ordering: .relaxed) }
                }
            }
            #expect(wrong.load(ordering: .relaxed) == 0)
            #expect(census.count == tier.statistics.count)
        }
        #expect(census.count == 0)
    }

    @Test func `A locked value is changed by one thread at a time, with more threads than cores`() {
        final class Counter: Sendable {
            let value = Locked((first: 0, second: 0))
        }
        let counter = Counter()
        DispatchQueue.concurrentPerform(iterations: 16) { _ in
            for _ in 0..<2_000 {
                counter.value.withLock {
                    $0.first += 1
                    $0.second -= 1
                }
            }
        }
        #expect(counter.value.withLock { $0 == (32_000, -32_000) })
    }
}
