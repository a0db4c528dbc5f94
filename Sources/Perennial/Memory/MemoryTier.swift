/// The bounded in-process cache in front of the store: a sharded hash table whose hits are synchronous, allocate
/// nothing, and write nothing for a popular entry but its shard's hit count.
///
/// What stays is chosen by frequency and recency: a scan does not displace what is used (see ``EvictionPolicy``).
/// All functions may be called from any thread. Elements are released outside the locks; keys' `==` and
/// `hash(into:)`, and the closures that say so, run under one: they must be short and must not call the tier.
public final class MemoryTier<Key: Hashable & Sendable, Element: Sendable>: Sendable {
    /// What ``update(_:_:)`` does with a key.
    public enum Change: Sendable {
        /// Leave the tier as it is.
        case keep
        /// Put this element in, at this cost in bytes.
        case replace(Element, cost: Int)
        /// Take the element out.
        case remove
    }

    /// What the table itself needs for one entry, in bytes: added to the cost that ``insert(_:for:cost:)`` is told.
    public static var overhead: Int {
        let slot = MemoryLayout<Table.Entry>.stride + MemoryLayout<EntryLink>.stride + 2 + 16
        return slot + slot / 2  // Two thirds of the slots are in use on average.
    }

    @usableFromInline typealias Table = MemoryTable<Key, Element>

    @usableFromInline typealias Shard = MemoryShard<Key, Element>

    @usableFromInline let keyHash: KeyHash
    /// Initialised in `init` and never changed; each shard guards itself with its lock.
    @usableFromInline nonisolated(unsafe) let shards: UnsafeMutableRawPointer
    @usableFromInline let shardMask: Int

    /// Makes an empty tier.
    /// - Parameters:
    ///   - maximumBytes: the limit of all entries' costs and the tier's ``overhead`` for each. The shards have
    ///     equal parts of it, and an entry larger than its part is not kept.
    ///   - maximumCount: the limit of the number of entries; default: none.
    ///   - shards: how many independently locked parts, rounded up to a power of two; default: four for each core,
    ///     fewer if each would hold less than 1 MB or 1,024 entries.
    ///   - seed: for the hash; a random number, outside tests, so that nobody can choose keys that collide.
    public init(maximumBytes: Int, maximumCount: Int? = nil, shards: Int? = nil, seed: UInt64) {
        let maximumBytes = max(0, maximumBytes)
        let maximumCount = maximumCount.map { max(0, $0) }
        let wanted = shards ?? min(processorCount * 4, maximumBytes >> 20, (maximumCount ?? .max) >> 10)
        var count = 1
        while count < min(wanted, 1024) { count *= 2 }
        if shards == nil, count > max(1, wanted) { count /= 2 }
        var stripes = 1
        while stripes < min(processorCount * 2, 16) { stripes *= 2 }
        keyHash = KeyHash(seed: seed)
        shardMask = count - 1
        self.shards = .allocate(byteCount: count * Self.stride, alignment: 128)
        for index in 0..<count {
            // The first shards get what does not divide evenly.
            let bytes = maximumBytes / count + (index < maximumBytes % count ? 1 : 0)
            let entries = maximumCount.map { $0 / count + (index < $0 % count ? 1 : 0) }
            (self.shards + index * Self.stride).bindMemory(to: Shard.self, capacity: 1)
                .initialize(
                    to: Shard(
                        Table(maximumBytes: bytes, maximumCount: entries ?? .max, keyHash: keyHash),
                        stripeCount: stripes))
        }
    }

    deinit {
        for index in 0...shardMask {
            shard(at: index).pointee.table.deallocate()
            shard(at: index).deinitialize(count: 1)
        }
        shards.deallocate()
    }

    /// Neighbouring shards share neither a cache line nor a pair of lines that is fetched together.
    @inlinable
    static var stride: Int { (MemoryLayout<Shard>.size + 127) & ~127 }

    @inlinable @inline(__always)
    func shard(at index: Int) -> UnsafeMutablePointer<Shard> {
        (shards + index &* Self.stride).assumingMemoryBound(to: Shard.self)
    }

    @inlinable @inline(__always)
    func shard(_ hash: UInt64) -> UnsafeMutablePointer<Shard> {
        shard(at: Int(truncatingIfNeeded: hash >> 32) & shardMask)
    }

    // MARK: Reading

    /// The key's element. Counts a hit or a miss, and notes the use.
    @inlinable
    public func value(for key: Key) -> Element? {
        withElement(for: key) { $0.pointee }
    }

    /// What `body` makes of the key's element, in place: without a reference of the caller's own to it, whose counting costs
    /// more than the rest of a hit. Counts a hit or a miss, and notes the use.
    /// - Parameter body: runs under the shard's lock: short, and without calls of the tier. The pointer is good only in it.
    @inlinable @inline(__always)
    public func withElement<Result>(for key: Key, _ body: (UnsafePointer<Element>) -> Result) -> Result? {
        let hash = keyHash.hash(key)
        let shard = shard(hash)
        let stripe = shard.pointee.ownStripe()
        stripe.lock.pointee.lock()
        let index = shard.pointee.table.slots.find(key, hash)
        guard index >= 0 else {
            stripe.lock.pointee.unlock()
            noteMiss(hash)
            return nil
        }
        stripe.counts.pointee.hits &+= 1
        if shard.pointee.table.slots.noteUse(index) { stripe.counts.pointee.notes &+= 1 }
        let result = body(shard.pointee.table.slots.element(index))
        stripe.lock.pointee.unlock()
        return result
    }

    /// Counts a miss, and notes that the key was asked for: for who has looked with ``peek(_:)``.
    public func noteMiss(of key: Key) {
        noteMiss(keyHash.hash(key))
    }

    @usableFromInline @inline(never)
    func noteMiss(_ hash: UInt64) {
        withTable(shard(hash)) { table, _ in table.noteMiss(hash) }
    }

    /// The key's element, without counting or noting anything.
    @inlinable
    public func peek(_ key: Key) -> Element? {
        let hash = keyHash.hash(key)
        let shard = shard(hash)
        let stripe = shard.pointee.ownStripe()
        stripe.lock.pointee.lock()
        defer { stripe.lock.pointee.unlock() }
        let index = shard.pointee.table.slots.find(key, hash)
        return index < 0 ? nil : shard.pointee.table.slots.entries[index].element
    }

    /// Counts since the tier was made, and what it holds now.
    public struct Statistics: Hashable, Sendable {
        /// Calls of ``MemoryTier/value(for:)`` that found an element.
        public var hits = 0
        /// Calls of ``MemoryTier/value(for:)`` that found none.
        public var misses = 0
        /// Entries held.
        public var count = 0
        /// Their costs, with the tier's ``MemoryTier/overhead`` for each.
        public var bytes = 0
        /// Entries removed to make room.
        public var evictions = 0

        var requests: Int { hits + misses }
    }

    /// The sums over all shards, each read at a slightly different instant.
    public var statistics: Statistics {
        var sum = Statistics()
        for index in 0...shardMask {
            withTable(shard(at: index)) { table, _ in
                sum.hits += table.hits
                sum.misses += table.misses
                sum.count += table.count
                sum.bytes += table.bytes
                sum.evictions += table.policy.evictions
            }
        }
        return sum
    }

    /// Runs `body` as the shard's only reader and writer.
    /// - Parameter body: its second parameter gets what leaves the table. That is released after unlocking, since an
    ///   element's `deinit` may do anything, and call the tier too.
    func withTable<Result>(
        _ shard: UnsafeMutablePointer<Shard>,
        _ body: (inout Table, inout [Table.Entry]) throws -> Result
    ) rethrows -> Result {
        var discarded: [Table.Entry] = []
        shard.pointee.lock()
        defer {
            shard.pointee.unlock()
            withExtendedLifetime(discarded) {}
        }
        shard.pointee.collectCounts()
        return try body(&shard.pointee.table, &discarded)
    }
}
