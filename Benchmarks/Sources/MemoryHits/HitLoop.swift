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

/// A key as its asker holds it. That it can't be copied spares the loop retaining each one before it asks, which no
/// asker does who has a key at hand.
struct HeldKey: ~Copyable {
    let text: String
}

/// Asks the memory tier for keys it has, in a given order, and measures that. `HitLoop.java` does the same with Caffeine.
struct HitLoop: Sendable {
    let tier = MemoryTier<String, Entry>(maximumBytes: 1 << 30, seed: .random(in: .min ... .max))
    nonisolated(unsafe) let asked: UnsafePointer<HeldKey>
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
        let texts =
            switch asking {
            case .same: keys
            case .copies: keys.map(copy)
            case .own: sequence.map { copy(keys[Int($0)]) }
            }
        let asked = UnsafeMutablePointer<HeldKey>.allocate(capacity: texts.count)
        for (index, text) in texts.enumerated() { (asked + index).initialize(to: HeldKey(text: text)) }
        self.asked = UnsafePointer(asked)
        self.sequence = asking == .own ? Array(0..<Int32(sequence.count)) : sequence
        sum = sequence.reduce(0) { $0 + Int($1) }
    }

    /// How the element comes to the asker.
    enum Reading {
        /// Read where it lies, as `cache[key]` reads a fresh value.
        case inPlace
        /// Handed out with a reference of the asker's own, which is counted up and down.
        case handedOut
    }

    /// Asks for every key of the sequence once, beginning somewhere in it.
    func pass(_ reading: Reading, from start: Int) {
        switch reading {
        case .inPlace: pass(from: start) { readInPlace($0) }
        case .handedOut: pass(from: start) { handOut($0) }
        }
    }

    @inline(__always)
    private func pass(from start: Int, _ ask: (borrowing HeldKey) -> Int) {
        var sum = 0
        sequence.withUnsafeBufferPointer { order in
            for index in start..<order.count { sum &+= ask(asked[Int(order[index])]) }
            for index in 0..<start { sum &+= ask(asked[Int(order[index])]) }
        }
        precondition(sum == self.sum, "a wrong element")
    }

    @inline(never)
    private func readInPlace(_ key: borrowing HeldKey) -> Int {
        tier.withElement(for: key.text) { $0.pointee.number } ?? 0
    }

    @inline(never)
    private func handOut(_ key: borrowing HeldKey) -> Int {
        tier.value(for: key.text)?.number ?? 0
    }

    /// - Returns: ns per hit and thread, when all threads make a pass at once.
    func time(_ reading: Reading, threads: Int) -> Double {
        let ready = Atomic<Int>(0)
        let nanoseconds = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: threads) { thread in
            ready.add(1, ordering: .sequentiallyConsistent)
            while ready.load(ordering: .relaxed) < threads {}
            let start = ContinuousClock.now
            pass(reading, from: sequence.count / threads * thread)
            let time = (ContinuousClock.now - start) / .nanoseconds(1)
            nanoseconds.add(Int(time), ordering: .relaxed)
        }
        return Double(nanoseconds.load(ordering: .relaxed)) / Double(threads * sequence.count)
    }

    /// - Returns: how many allocations one thread makes in a pass of each kind; -1 where that can't be counted.
    func allocations() -> Int {
        let before = allocation_count()
        for reading in [Reading.inPlace, .handedOut] { pass(reading, from: 0) }
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
        var best: [HitLoop.Reading: Double] = [.inPlace: .infinity, .handedOut: .infinity]
        for _ in 0..<10 {
            for (reading, time) in best { best[reading] = min(time, loop.time(reading, threads: threads)) }
        }
        print(best[.inPlace]!, best[.handedOut]!, loop.allocations())
        precondition(loop.tier.statistics.misses == 0, "not all were hits")
    }
}
