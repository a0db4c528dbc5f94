/// The hash table of one shard of the memory tier: open addressing over an array of entries. Not thread-safe: its
/// shard's lock guards it.
///
/// A slot is 32 bits: eight bits of the hash and the entry's index + 1, or 0. Sixteen slots share a cache line, so a
/// lookup reads one line of slots and then the one entry it wants. Removal moves later slots back: no tombstones.
/// Whoever made the table calls ``deallocate()``; copies would share its arrays, so none are made.
@usableFromInline
struct MemoryTable<Key: Hashable & Sendable, Element: Sendable> {
    @usableFromInline
    struct Entry {
        @usableFromInline var key: Key
        @usableFromInline var element: Element

        @usableFromInline
        init(key: Key, element: Element) {
            self.key = key
            self.element = element
        }
    }

    // What a hit reads comes first: with the shard's lock it is one cache line.
    @usableFromInline var slotMask: Int
    @usableFromInline var slots: UnsafeMutablePointer<UInt32>
    @usableFromInline var entries: UnsafeMutablePointer<Entry>
    @usableFromInline var uses: UnsafeMutablePointer<EntryUse>
    @usableFromInline var hits = 0
    @usableFromInline var misses = 0
    /// How often a use changed a frequency, since about the time when they were last halved.
    @usableFromInline var notes = 0

    @usableFromInline var links: UnsafeMutablePointer<EntryLink>
    /// Places in the arrays; the first `touched` of them are or were in use, and `vacant` heads the list of those free again.
    @usableFromInline var capacity: Int
    @usableFromInline var touched = 0
    @usableFromInline var vacant = EntryLink.none
    @usableFromInline var policy: EvictionPolicy
    @usableFromInline var sketch: FrequencySketch

    /// Indices have 24 bits in a slot, less the one that means "none".
    static var maximumCapacity: Int { 1 << 24 - 2 }

    init(maximumBytes: Int, maximumCount: Int) {
        let capacity = 8
        policy = EvictionPolicy(
            maximumBytes: maximumBytes, maximumCount: min(maximumCount, Self.maximumCapacity))
        sketch = FrequencySketch(entries: capacity)
        self.capacity = capacity
        entries = .allocate(capacity: capacity)
        links = .allocate(capacity: capacity)
        uses = .allocate(capacity: capacity)
        slotMask = capacity * 2 - 1
        slots = .allocate(capacity: capacity * 2)
        slots.initialize(repeating: 0, count: capacity * 2)
    }

    /// Releases all entries and the arrays. The table must not be used again.
    func deallocate() {
        for index in 0..<touched where uses[index].isPresent { (entries + index).deinitialize(count: 1) }
        entries.deallocate()
        links.deallocate()
        uses.deallocate()
        slots.deallocate()
        sketch.deallocate()
    }

    var count: Int { policy.window.count + policy.main.count }
    var bytes: Int { policy.window.bytes + policy.main.bytes }

    // MARK: Looking up

    /// The index of the key's entry, or -1.
    @inlinable @inline(__always)
    func find(_ key: Key, _ hash: UInt64) -> Int {
        let fingerprint = Self.fingerprint(hash)
        var position = Int(truncatingIfNeeded: hash) & slotMask
        while true {
            let slot = slots[position]
            if slot == 0 { return -1 }
            if (slot ^ fingerprint) >> 24 == 0 {
                let index = Int(slot & 0xff_ffff) &- 1
                if entries[index].key == key { return index }
            }
            position = (position &+ 1) & slotMask
        }
    }

    @inlinable @inline(__always)
    static func fingerprint(_ hash: UInt64) -> UInt32 {
        UInt32(truncatingIfNeeded: hash >> 32) & 0xff00_0000
    }

    /// Notes a hit on the entry.
    @inlinable @inline(__always)
    mutating func noteUse(_ index: Int) {
        let use = uses[index]
        let noted = use.noted()
        guard noted != use else { return }
        uses[index] = noted
        notes &+= 1
    }

    @usableFromInline
    mutating func noteMiss(_ hash: UInt64) {
        misses &+= 1
        notes &+= 1
        sketch.increment(hash)
    }

    // MARK: Adding and removing

    /// Adds an entry for a key that has none. The caller makes room afterwards.
    mutating func add(_ entry: consuming Entry, _ hash: UInt64, cost: Int) {
        let index: Int
        if vacant != EntryLink.none {
            index = Int(vacant)
            vacant = links[index].older
        } else {
            if touched == capacity { grow() }
            index = touched
            touched += 1
        }
        (entries + index).initialize(to: entry)
        links[index] = EntryLink(hash: hash, cost: cost)
        uses[index] = EntryUse(frequency: sketch.estimate(hash))
        setSlot(index, hash)
        policy.window.append(UInt32(index), links)
    }

    /// Takes the entry out.
    mutating func take(_ index: Int) -> Entry {
        clearSlot(index)
        if uses[index].isMain {
            policy.main.remove(UInt32(index), links)
        } else {
            policy.window.remove(UInt32(index), links)
        }
        uses[index] = .free
        links[index].older = vacant
        vacant = UInt32(index)
        return (entries + index).move()
    }

    /// Puts another element into an entry. The caller holds the old one, and makes room afterwards.
    mutating func replace(_ index: Int, _ element: Element, cost: Int) {
        let growth = cost - links[index].cost
        links[index].cost = cost
        if uses[index].isMain { policy.main.bytes += growth } else { policy.window.bytes += growth }
        entries[index].element = element
    }

    // MARK: The table

    private func setSlot(_ index: Int, _ hash: UInt64) {
        var position = Int(truncatingIfNeeded: hash) & slotMask
        while slots[position] != 0 { position = (position + 1) & slotMask }
        slots[position] = Self.fingerprint(hash) | UInt32(index + 1)
    }

    private func clearSlot(_ index: Int) {
        let hash = links[index].hash
        let wanted = Self.fingerprint(hash) | UInt32(index + 1)
        var hole = Int(truncatingIfNeeded: hash) & slotMask
        while slots[hole] != wanted { hole = (hole + 1) & slotMask }
        // Each later slot of the run moves into the hole, unless the hole lies before the place it hashes to.
        var position = (hole + 1) & slotMask
        while slots[position] != 0 {
            let home = Int(truncatingIfNeeded: links[Int(slots[position] & 0xff_ffff) - 1].hash) & slotMask
            if (position - home) & slotMask >= (position - hole) & slotMask {
                slots[hole] = slots[position]
                hole = position
            }
            position = (position + 1) & slotMask
        }
        slots[hole] = 0
    }

    private mutating func grow() {
        let larger = capacity * 2
        entries = Self.moved(entries, count: touched, capacity: larger)
        links = Self.moved(links, count: touched, capacity: larger)
        uses = Self.moved(uses, count: touched, capacity: larger)
        slots.deallocate()
        slots = .allocate(capacity: larger * 2)
        slots.initialize(repeating: 0, count: larger * 2)
        slotMask = larger * 2 - 1
        capacity = larger
        for index in 0..<touched { setSlot(index, links[index].hash) }
        sketch.grow(entries: larger)
    }

    /// Only called when all places are in use.
    private static func moved<Item>(
        _ old: UnsafeMutablePointer<Item>, count: Int, capacity: Int
    ) -> UnsafeMutablePointer<Item> {
        let new = UnsafeMutablePointer<Item>.allocate(capacity: capacity)
        new.moveInitialize(from: old, count: count)
        old.deallocate()
        return new
    }
}
