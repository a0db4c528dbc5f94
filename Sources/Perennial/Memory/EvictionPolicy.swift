/// Limits and order of one shard's entries.
///
/// New entries pass through a small *window*. What leaves it is admitted to the *main* list only if it was asked for
/// more often than what must go for it (W-TinyLFU: Einziger, Friedman, Manes 2017). Both lists are clocks: an
/// entry used since the hand last passed gets another round, so a hit moves nothing.
struct EvictionPolicy {
    let maximumBytes: Int
    let maximumCount: Int
    var climber = WindowClimber()
    var window = EntryList()
    var main = EntryList()
    var evictions = 0

    init(maximumBytes: Int, maximumCount: Int) {
        self.maximumBytes = maximumBytes
        self.maximumCount = maximumCount
    }

    var isWindowOver: Bool {
        window.bytes > Int(Double(maximumBytes) * climber.share)
            || window.count > max(1, Int(Double(maximumCount) * climber.share))
    }

    var excessBytes: Int { window.bytes + main.bytes - maximumBytes }
    var excessCount: Int { window.count + main.count - maximumCount }
    var isOver: Bool { excessBytes > 0 || excessCount > 0 }
}

extension MemoryTable {
    /// Removes entries until the limits hold.
    /// - Parameter discarded: gets them, to be released after unlocking.
    mutating func makeRoom(_ discarded: inout [Entry]) {
        ageIfDue()
        policy.climber.climb(hits: hits, requests: hits &+ misses, entries: count)
        while policy.isWindowOver {
            let candidate = policy.window.oldest
            if slots.use(Int(candidate)).isVisited {
                slots.changeUse(Int(candidate)) { $0.isVisited = false }
                policy.window.renew(candidate, links)
            } else if !policy.isOver || admits(candidate, &discarded) {
                policy.window.remove(candidate, links)
                slots.changeUse(Int(candidate)) { $0.isMain = true }
                policy.main.append(candidate, links)
            } else {
                evict(candidate, &discarded)
            }
        }
        while policy.isOver {
            evict(mainVictim() ?? policy.window.oldest, &discarded)
        }
    }

    /// Evicts from the main list what must go for the candidate, if all that together was asked for less often.
    private mutating func admits(_ candidate: UInt32, _ discarded: inout [Entry]) -> Bool {
        guard var victim = mainVictim() else { return false }
        // Less the request that brought it in: in a loop larger than the limit, all keys are then equal, and none moves.
        let frequency = Int(slots.use(Int(candidate)).frequency) - 1
        var victims = 0
        var rival = 0
        var bytes = 0
        while true {
            rival += Int(slots.use(Int(victim)).frequency)
            victims += 1
            bytes += links[Int(victim)].cost
            guard frequency > rival else { return false }
            if bytes >= policy.excessBytes, victims >= policy.excessCount { break }
            var next = links[Int(victim)].newer
            while next != EntryLink.none, slots.use(Int(next)).isVisited {
                slots.changeUse(Int(next)) { $0.isVisited = false }
                let after = links[Int(next)].newer
                policy.main.renew(next, links)
                next = after == EntryLink.none ? next : after
            }
            guard next != EntryLink.none else { return false }
            victim = next
        }
        for _ in 0..<victims { evict(policy.main.oldest, &discarded) }
        return true
    }

    /// The main list's oldest entry, after those used since the last round have been given another.
    private mutating func mainVictim() -> UInt32? {
        while policy.main.oldest != EntryLink.none {
            let oldest = policy.main.oldest
            guard slots.use(Int(oldest)).isVisited else { return oldest }
            slots.changeUse(Int(oldest)) { $0.isVisited = false }
            policy.main.renew(oldest, links)
        }
        return nil
    }

    private mutating func evict(_ index: UInt32, _ discarded: inout [Entry]) {
        sketch.raise(hash(of: Int(index)), to: slots.use(Int(index)).frequency)
        discarded.append(take(Int(index)))
        policy.evictions += 1
    }

    /// Halves all frequencies when uses have changed them seven times per entry, so that what was popular long ago
    /// makes room.
    private mutating func ageIfDue() {
        guard notes > 7 * max(count, 16) else { return }
        notes /= 2
        for index in 0..<slots.capacity { slots.changeUse(index) { $0.halve() } }
        sketch.halve()
    }
}
