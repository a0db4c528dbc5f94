public import Synchronization

/// The hash table of one shard of the memory tier: open addressing in groups of eight slots, with entries in place.
///
/// A lookup reads a group's tags, of which a cache line has 32, and then only the entry it wants. Not thread-safe, except
/// that threads may look up and note uses at once: its shard's lock guards it. Whoever made the table calls
/// ``deallocate()``; copies would share its arrays, so none are made.
@usableFromInline
struct MemoryTable<Key: Hashable & Sendable, Element: Sendable> {
    @usableFromInline
    struct Entry {
        @usableFromInline var key: Key
        @usableFromInline var element: Element

        init(key: Key, element: Element) {
            self.key = key
            self.element = element
        }
    }

    // What a hit reads comes first.
    @usableFromInline var groups: UnsafeMutablePointer<SlotGroup>
    @usableFromInline var groupMask: Int
    @usableFromInline var entries: UnsafeMutablePointer<Entry>
    var hits = 0
    var misses = 0
    /// How often a use changed a frequency, since about the time when they were last halved.
    var notes = 0

    var links: UnsafeMutablePointer<EntryLink>
    /// How many slots that were never used may still be: one in eight never is, so that searches end.
    var spare: Int
    /// How often entries have changed places.
    var rebuilds = 0
    var policy: EvictionPolicy
    var sketch: FrequencySketch

    init(maximumBytes: Int, maximumCount: Int) {
        policy = EvictionPolicy(maximumBytes: maximumBytes, maximumCount: min(maximumCount, Self.maximumCapacity / 2))
        sketch = FrequencySketch(entries: 8)
        (groups, entries, links) = Self.allocate(groups: 1)
        groupMask = 0
        spare = 7
    }

    /// Releases all entries and the arrays. The table must not be used again.
    func deallocate() {
        for index in 0..<capacity where use(index).isPresent { (entries + index).deinitialize(count: 1) }
        deallocateArrays()
        sketch.deallocate()
    }

    /// Indices of slots have 32 bits in a link, one value of which means "none".
    static var maximumCapacity: Int { 1 << 31 }

    var capacity: Int { (groupMask + 1) * 8 }
    var count: Int { policy.window.count + policy.main.count }
    var bytes: Int { policy.window.bytes + policy.main.bytes }

    // MARK: Looking up

    /// The index of the key's entry, or -1.
    @inlinable @inline(__always)
    func find(_ key: Key, _ hash: UInt64) -> Int {
        let tag = SlotGroup.tag(hash)
        var group = Int(truncatingIfNeeded: hash) & groupMask
        while true {
            var matches = groups[group].matches(tag)
            while matches != 0 {
                let index = group &* 8 &+ matches.trailingZeroBitCount &>> 3
                if KeyHash.equal(entries[index].key, key) { return index }
                matches &= matches &- 1
            }
            if groups[group].hasUnused { return -1 }
            group = (group &+ 1) & groupMask
        }
    }

    @inlinable @inline(__always)
    func useByte(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt8>> {
        (UnsafeMutableRawPointer(groups) + (index &>> 3 &* 16 &+ 8 &+ index & 7))
            .assumingMemoryBound(to: Atomic<UInt8>.self)
    }

    @inlinable @inline(__always)
    func use(_ index: Int) -> EntryUse {
        EntryUse(bits: useByte(index).pointee.load(ordering: .relaxed))
    }

    @inlinable @inline(__always)
    func setUse(_ index: Int, _ use: EntryUse) {
        useByte(index).pointee.store(use.bits, ordering: .relaxed)
    }

    func changeUse(_ index: Int, _ change: (inout EntryUse) -> Void) {
        var use = use(index)
        change(&use)
        setUse(index, use)
    }

    /// Notes a hit on the entry. Of two at the same time one may be lost.
    /// - Returns: whether that changed its use.
    @inlinable @inline(__always)
    func noteUse(_ index: Int) -> Bool {
        let use = use(index)
        let noted = use.noted()
        guard noted != use else { return false }
        setUse(index, noted)
        return true
    }

    mutating func noteMiss(_ hash: UInt64) {
        misses &+= 1
        notes &+= 1
        sketch.increment(hash)
    }

    // MARK: Adding and removing

    /// Adds an entry for a key that has none. The caller makes room afterwards.
    mutating func add(_ entry: Entry, _ hash: UInt64, cost: Int) {
        if spare == 0 { rebuild() }
        let index = occupy(hash)
        (entries + index).initialize(to: entry)
        links[index] = EntryLink(hash: hash, cost: cost)
        setUse(index, EntryUse(frequency: sketch.estimate(hash)))
        policy.window.append(UInt32(index), links)
    }

    /// Takes the entry out.
    mutating func take(_ index: Int) -> Entry {
        if use(index).isMain {
            policy.main.remove(UInt32(index), links)
        } else {
            policy.window.remove(UInt32(index), links)
        }
        setUse(index, .free)
        let (group, slot) = (index / 8, index % 8)
        if groups[group].hasUnused {
            groups[group].setTag(of: slot, 0)
            spare += 1
        } else {
            groups[group].setTag(of: slot, 1)
        }
        return (entries + index).move()
    }

    /// Puts another element into an entry. The caller holds the old one, and makes room afterwards.
    mutating func replace(_ index: Int, _ element: Element, cost: Int) {
        let growth = cost - links[index].cost
        links[index].cost = cost
        if use(index).isMain { policy.main.bytes += growth } else { policy.window.bytes += growth }
        entries[index].element = element
    }

    /// Gives the hash the first slot free in its groups.
    private mutating func occupy(_ hash: UInt64) -> Int {
        var group = Int(truncatingIfNeeded: hash) & groupMask
        while true {
            if let slot = groups[group].free {
                if groups[group].tag(of: slot) == 0 { spare -= 1 }
                groups[group].setTag(of: slot, SlotGroup.tag(hash))
                return group * 8 + slot
            }
            group = (group + 1) & groupMask
        }
    }

    // MARK: Arrays

    /// Builds the table anew: twice as large if it is more than two thirds full, else as large as it was, since many slots
    /// are those of removed entries.
    private mutating func rebuild() {
        let old = self
        let groupCount = count * 3 > capacity * 2 ? (groupMask + 1) * 2 : groupMask + 1
        (groups, entries, links) = Self.allocate(groups: groupCount)
        groupMask = groupCount - 1
        spare = capacity / 8 * 7
        rebuilds += 1
        policy.window = EntryList()
        policy.main = EntryList()
        for list in [old.policy.window, old.policy.main] {
            var next = list.oldest
            while next != EntryLink.none {
                let link = old.links[Int(next)]
                let index = occupy(link.hash)
                (entries + index).moveInitialize(from: old.entries + Int(next), count: 1)
                links[index] = link
                let use = old.use(Int(next))
                setUse(index, use)
                if use.isMain {
                    policy.main.append(UInt32(index), links)
                } else {
                    policy.window.append(UInt32(index), links)
                }
                next = link.newer
            }
        }
        old.deallocateArrays()
        sketch.grow(entries: capacity)
    }

    private static func allocate(
        groups count: Int
    ) -> (UnsafeMutablePointer<SlotGroup>, UnsafeMutablePointer<Entry>, UnsafeMutablePointer<EntryLink>) {
        let groups = UnsafeMutableRawPointer.allocate(byteCount: count * MemoryLayout<SlotGroup>.stride, alignment: 64)
            .bindMemory(to: SlotGroup.self, capacity: count)
        groups.initialize(repeating: .unused, count: count)
        return (groups, .allocate(capacity: count * 8), .allocate(capacity: count * 8))
    }

    private func deallocateArrays() {
        groups.deallocate()
        entries.deallocate()
        links.deallocate()
    }
}
