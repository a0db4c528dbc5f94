public import Synchronization

/// The arrays of a memory table that a lookup reads, by value in three words: open addressing in groups of eight slots,
/// with the entries in place.
///
/// Threads may look up and note uses at once; changing anything else is for one thread alone. A lookup reads a group's tags, of which a cache line has 32, and then only the entry it wants.
@usableFromInline
struct MemorySlots<Key: Hashable & Sendable, Element: Sendable> {
    @usableFromInline
    struct Entry {
        @usableFromInline var key: Key
        @usableFromInline var element: Element

        init(key: Key, element: Element) {
            self.key = key
            self.element = element
        }
    }

    @usableFromInline let groups: UnsafeMutablePointer<SlotGroup>
    /// Their number is a power of two; this is one less.
    @usableFromInline let groupMask: Int
    /// Entry n belongs to slot n % 8 of group n / 8.
    @usableFromInline let entries: UnsafeMutablePointer<Entry>

    /// - Parameter groups: a power of two.
    init(groups count: Int) {
        groups = UnsafeMutableRawPointer.allocate(byteCount: count * MemoryLayout<SlotGroup>.stride, alignment: 64)
            .bindMemory(to: SlotGroup.self, capacity: count)
        groups.initialize(repeating: .unused, count: count)
        groupMask = count - 1
        entries = .allocate(capacity: count * 8)
    }

    /// Gives the arrays back, but not what is in them.
    func deallocate() {
        groups.deallocate()
        entries.deallocate()
    }

    var capacity: Int { (groupMask + 1) * 8 }

    /// The index of the key's entry, or -1.
    @inlinable
    func find(_ key: Key, _ hash: UInt64) -> Int {
        let tag = SlotGroup.tag(hash)
        var group = Int(truncatingIfNeeded: hash) & groupMask
        while true {
            let tags = groups[group].tags
            var matches = SlotGroup.matches(tags, tag)
            while matches != 0 {
                let index = group &* 8 &+ matches.trailingZeroBitCount &>> 3
                if KeyHash.equal(entries[index].key, key) { return index }
                matches &= matches &- 1
            }
            if SlotGroup.hasUnused(tags) { return -1 }
            group = (group &+ 1) & groupMask
        }
    }

    @inlinable @inline(__always)
    func element(_ index: Int) -> UnsafePointer<Element> {
        UnsafePointer(
            (UnsafeMutableRawPointer(entries + index) + MemoryLayout<Entry>.offset(of: \.element).unsafelyUnwrapped)
                .assumingMemoryBound(to: Element.self))
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
}
