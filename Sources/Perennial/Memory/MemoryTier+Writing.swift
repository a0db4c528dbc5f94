extension MemoryTier {
    /// Puts an element in, in place of the key's older one. It may be the first to be evicted again.
    /// - Parameter cost: bytes of key and payload. If they and the ``overhead`` are more than a shard's part of the
    ///   limit, the element is not kept, and neither is the older one.
    public func insert(_ element: Element, for key: Key, cost: Int) {
        update(key) { _ in .replace(element, cost: cost) }
    }

    /// Takes the key's element out.
    /// - Returns: the element, or `nil` if there was none.
    @discardableResult
    public func remove(_ key: Key) -> Element? {
        update(key) { _ in .remove }
    }

    /// Decides atomically what becomes of a key. Counts neither a hit nor a miss.
    /// - Parameter body: gets the key's element; runs once, under the shard's lock: short, and without calls of the
    ///   tier.
    /// - Returns: the element the key had before.
    @discardableResult
    public func update(_ key: Key, _ body: (Element?) throws -> Change) rethrows -> Element? {
        let hash = keyHash.hash(key)
        return try withTable(shard(hash)) { table, discarded in
            let index = table.slots.find(key, hash)
            let old = index < 0 ? nil : table.slots.entries[index].element
            switch try body(old) {
            case .keep:
                break
            case .remove:
                if index >= 0 { discarded.append(table.take(index)) }
            case .replace(let element, let cost):
                let entry = Table.Entry(key: key, element: element)
                let (total, overflow) = max(0, cost).addingReportingOverflow(Self.overhead)
                if overflow || total > table.policy.maximumBytes {
                    if index >= 0 { discarded.append(table.take(index)) }
                    discarded.append(entry)
                } else if index >= 0 {
                    table.replace(index, element, cost: total)
                    table.makeRoom(&discarded)
                } else {
                    table.add(entry, hash, cost: total)
                    table.makeRoom(&discarded)
                }
            }
            return old
        }
    }

    /// Takes everything out. The counts of hits, misses and evictions stay.
    public func removeAll() {
        removeAll { _, _ in true }
    }

    /// Takes out what `predicate` is true of. Entries put in meanwhile may be passed over.
    /// - Parameter predicate: runs under a shard's lock: short, and without calls of the tier.
    public func removeAll(where predicate: (_ key: Key, _ element: Element) throws -> Bool) rethrows {
        try visit(
            each: { table, index, discarded in
                let entry = table.slots.entries[index]
                if try predicate(entry.key, entry.element) { discarded.append(table.take(index)) }
            },
            betweenLocks: {})
    }

    /// Calls `body` with each entry, outside the locks. Entries put in or taken out meanwhile may be passed over; while the table
    /// grows, some may come twice.
    public func forEach(_ body: (_ key: Key, _ element: Element) throws -> Void) rethrows {
        var copies: [Table.Entry] = []
        try visit(
            each: { table, index, _ in copies.append(table.slots.entries[index]) },
            betweenLocks: {
                for entry in copies { try body(entry.key, entry.element) }
                copies.removeAll(keepingCapacity: true)
            })
    }

    /// The keys that ``value(for:)`` has found since they were last among these. While the table grows, some may come twice, or
    /// a turn late.
    /// - Parameters:
    ///   - part: only those of this part of the entries, from 0.
    ///   - parts: how many parts there are.
    public func takeUsed(part: Int = 0, of parts: Int = 1) -> [Key] {
        var keys: [Key] = []
        visit(
            each: { table, index, _ in
                guard index % parts == part, table.slots.use(index).isUsed else { return }
                keys.append(table.slots.entries[index].key)
                table.slots.changeUse(index) { $0.isUsed = false }
            },
            betweenLocks: {})
        return keys
    }

    /// The keys that were asked for most, those first; what nobody asked for is not among them. While the tier grows, some may come twice.
    /// - Parameter limit: at most this many.
    public func hottest(_ limit: Int) -> [Key] {
        let maximum = Int(FrequencySketch.maximum)
        var keys: [[Key]] = Array(repeating: [], count: maximum)
        visit(
            each: { table, index, _ in
                let frequency = Int(table.slots.use(index).frequency)
                if frequency > 0 { keys[maximum - frequency].append(table.slots.entries[index].key) }
            },
            betweenLocks: {})
        return Array(keys.joined().prefix(limit))
    }

    /// Visits all entries, a few hundred at a time under their shard's lock, so that readers seldom wait. Begins a
    /// shard again when its entries change places meanwhile, so one that is there all the time is never passed over.
    private func visit(
        each body: (inout Table, Int, inout [Table.Entry]) throws -> Void,
        betweenLocks: () throws -> Void
    ) rethrows {
        for number in 0...shardMask {
            var next = 0
            var rebuilds: Int?
            var isDone = false
            while !isDone {
                try withTable(shard(at: number)) { table, discarded in
                    if table.rebuilds != rebuilds { (next, rebuilds) = (0, table.rebuilds) }
                    let end = min(next + 512, table.slots.capacity)
                    for index in next..<end where table.slots.use(index).isPresent {
                        try body(&table, index, &discarded)
                    }
                    next = end
                    isDone = end == table.slots.capacity
                }
                try betweenLocks()
            }
        }
    }
}
