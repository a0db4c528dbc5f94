import CountedAllocations
import Dispatch
import Foundation
import Perennial
import Synchronization

final class Entry: Sendable {
    let number: Int

    init(_ number: Int) {
        self.number = number
    }
}

/// Asks the memory tier for keys it has, in a given order, and measures that. `HitLoop.java` does the same with Caffeine.
struct HitLoop: Sendable {
    let tier = MemoryTier<String, Entry>(maximumBytes: 1 << 30, seed: .random(in: .min ... .max))
    let asked: [String]
    let sequence: [Int32]
    let sum: Int

    /// Which strings to ask with.
    enum Asking: String {
        /// Those that were put in.
        case same
        /// Copies of them, each used for all requests of its key.
        case copies
        /// A string of its own for each request, as when keys are read from requests.
        case own
    }

    /// - Parameters:
    ///   - keys: what the tier holds.
    ///   - sequence: the order to ask for them in, as indices.
    ///   - asking: which strings to ask with.
    init(keys: [String], sequence: [Int32], asking: Asking) {
        for (number, key) in keys.enumerated() { tier.insert(Entry(number), for: key, cost: key.utf8.count + 64) }
        func copy(_ key: String) -> String { String(decoding: Array(key.utf8), as: UTF8.self) }
        switch asking {
        case .same: asked = keys
        case .copies: asked = keys.map(copy)
        case .own: asked = sequence.map { copy(keys[Int($0)]) }
        }
        self.sequence = asking == .own ? Array(0..<Int32(sequence.count)) : sequence
        sum = sequence.reduce(0) { $0 + Int($1) }
    }

    /// Asks for every key of the sequence once, beginning somewhere in it.
    @inline(never)
    func pass(from start: Int) {
        var sum = 0
        for index in start..<sequence.count { sum &+= tier.value(for: asked[Int(sequence[index])])?.number ?? 0 }
        for index in 0..<start { sum &+= tier.value(for: asked[Int(sequence[index])])?.number ?? 0 }
        precondition(sum == self.sum, "a wrong element")
    }

    /// - Returns: ns per hit and thread, when all threads make a pass at once.
    func time(threads: Int) -> Double {
        let ready = Atomic<Int>(0)
        let nanoseconds = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: threads) { thread in
            ready.add(1, ordering: .sequentiallyConsistent)
            while ready.load(ordering: .relaxed) < threads {}
            let start = ContinuousClock.now
            pass(from: sequence.count / threads * thread)
            let time = (ContinuousClock.now - start) / .nanoseconds(1)
            nanoseconds.add(Int(time), ordering: .relaxed)
        }
        return Double(nanoseconds.load(ordering: .relaxed)) / Double(threads * sequence.count)
    }

    /// - Returns: how many allocations one thread makes in a pass; -1 where that can't be counted.
    func allocations() -> Int {
        let before = allocation_count()
        pass(from: 0)
        return before < 0 ? -1 : allocation_count() - before
    }
}

@main
enum Main {
    static func main() throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 5, let threads = Int(arguments[3]), let asking = HitLoop.Asking(rawValue: arguments[4])
        else {
            print("usage: memory-hits KEYS SEQUENCE THREADS same|copies|own")
            print("KEYS: a file with one key a line; SEQUENCE: one of 32-bit little-endian numbers of lines, from 0")
            exit(64)
        }
        let keys = try String(contentsOfFile: arguments[1], encoding: .utf8).split(separator: "\n").map(String.init)
        let sequence = try Data(contentsOf: URL(fileURLWithPath: arguments[2])).withUnsafeBytes { bytes in
            Array(bytes.bindMemory(to: Int32.self))
        }
        let loop = HitLoop(keys: keys, sequence: sequence, asking: asking)
        // The best pass of some, since other work on the machine only ever makes one slower.
        let time = (0..<10).map { _ in loop.time(threads: threads) }.min() ?? 0
        print(time, loop.allocations())
        precondition(loop.tier.statistics.misses == 0, "not all were hits")
    }
}
