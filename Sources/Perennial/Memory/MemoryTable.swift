/// The hash table of one shard of the memory tier: the slots, and what decides on their entries.
///
/// Not thread-safe, except that threads may look up and note uses at once: its shard's lock guards it. Whoever made the
/// table calls ``deallocate()``; copies would share its arrays, so none are made.
@usableFromInline
struct MemoryTable<Key: Hashable & Sendable, Element: Sendable> {
    typealias Entry = MemorySlots<Key, Element>.Entry

    /// All that a lookup needs.
    @usableFromInline var slots: MemorySlots<Key, Element>
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

    private let keyHash: KeyHash

    init(maximumBytes: Int, maximumCount: Int, keyHash: KeyHash) {
        self.keyHash = keyHash
        policy = EvictionPolicy(maximumBytes: maximumBytes, maximumCount: min(maximumCount, Self.maximumCapacity / 2))
        sketch = FrequencySketch(entries: 8)
        slots = MemorySlots(groups: 1)
        links = .allocate(capacity: slots.capacity)
        spare = 7
    }

    /// Releases all entries and the arrays. The table must not be used again.
    func deallocate() {
        for index in 0..<slots.capacity where slots.use(index).isPresent {
            (slots.entries + index).deinitialize(count: 1)
        }
        slots.deallocate()
        links.deallocate()
        sketch.deallocate()
    }

    /// Indices of slots have 32 bits in a link, one value of which means "none".
    static var maximumCapacity: Int { 1 << 31 }

    var count: Int { policy.window.count + policy.main.count }
    var bytes: Int { policy.window.bytes + policy.main.bytes }

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
        (slots.entries + index).initialize(to: entry)
        links[index] = EntryLink(cost: cost)
        slots.setUse(index, EntryUse(frequency: sketch.estimate(hash)))
        policy.window.append(UInt32(index), links)
    }

    func hash(of index: Int) -> UInt64 { keyHash.hash(slots.entries[index].key) }

    /// Takes the entry out.
    mutating func take(_ index: Int) -> Entry {
        if slots.use(index).isMain {
            policy.main.remove(UInt32(index), links)
        } else {
            policy.window.remove(UInt32(index), links)
        }
        slots.setUse(index, .free)
        let (group, slot) = (index / 8, index % 8)
        if SlotGroup.hasUnused(slots.groups[group].tags) {
            slots.groups[group].setTag(of: slot, 0)
            spare += 1
        } else {
            slots.groups[group].setTag(of: slot, 1)
        }
        return (slots.entries + index).move()
    }

    /// Puts another element into an entry. The caller holds the old one, and makes room afterwards.
    mutating func replace(_ index: Int, _ element: Element, cost: Int) {
        let growth = cost - links[index].cost
        links[index].cost = cost
        if slots.use(index).isMain { policy.main.bytes += growth } else { policy.window.bytes += growth }
        slots.entries[index].element = element
    }

    /// Gives the hash the first slot free in its groups.
    private mutating func occupy(_ hash: UInt64) -> Int {
        var group = Int(truncatingIfNeeded: hash) & slots.groupMask
        while true {
            if let slot = slots.groups[group].free {
                if slots.groups[group].tag(of: slot) == 0 { spare -= 1 }
                slots.groups[group].setTag(of: slot, SlotGroup.tag(hash))
                return group * 8 + slot
            }
            group = (group + 1) & slots.groupMask
        }
    }

    // MARK: Arrays

    /// Builds the table anew: twice as large if it is more than two thirds full, else as large as it was, since many slots
    /// are those of removed entries.
    private mutating func rebuild() {
        let old = self
        let groupCount = count * 3 > slots.capacity * 2 ? (slots.groupMask + 1) * 2 : slots.groupMask + 1
        slots = MemorySlots(groups: groupCount)
        links = .allocate(capacity: slots.capacity)
        spare = slots.capacity / 8 * 7
        rebuilds += 1
        policy.window = EntryList()
        policy.main = EntryList()
        for list in [old.policy.window, old.policy.main] {
            var next = list.oldest
            while next != EntryLink.none {
                let link = old.links[Int(next)]
                let index = occupy(old.hash(of: Int(next)))
                (slots.entries + index).moveInitialize(from: old.slots.entries + Int(next), count: 1)
                links[index] = link
                let use = old.slots.use(Int(next))
                slots.setUse(index, use)
                if use.isMain {
                    policy.main.append(UInt32(index), links)
                } else {
                    policy.window.append(UInt32(index), links)
                }
                next = link.newer
            }
        }
        old.slots.deallocate()
        old.links.deallocate()
        sketch.grow(entries: slots.capacity)
    }
}
