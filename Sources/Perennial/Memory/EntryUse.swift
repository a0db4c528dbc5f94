/// What a hit leaves behind, in one byte: how often the entry was asked for (0 to 15, halved now and then), whether it
/// was since the eviction hand last passed, whether it was since ``MemoryTier/takeUsed(part:of:)`` last took it, and in which
/// list it is. For a popular entry nothing changes, and nothing is written.
@usableFromInline
struct EntryUse: Equatable {
    @usableFromInline var bits: UInt8

    /// A place in the array that holds no entry.
    @usableFromInline static var free: EntryUse { EntryUse(bits: 0) }

    @inlinable
    init(bits: UInt8) {
        self.bits = bits
    }

    /// A new entry, in the window.
    init(frequency: UInt8) {
        bits = 0x40 | frequency
    }

    var frequency: UInt8 { bits & 0x0f }

    var isPresent: Bool { bits & 0xc0 != 0 }

    /// As it is after one more hit.
    @inlinable @inline(__always)
    func noted() -> EntryUse {
        EntryUse(bits: (bits | 0x30) &+ (bits & 0x0f == 0x0f ? 0 : 1))
    }

    /// Used since the eviction hand last passed.
    var isVisited: Bool {
        get { bits & 0x10 != 0 }
        set { bits = newValue ? bits | 0x10 : bits & ~0x10 }
    }

    /// Used since ``MemoryTier/takeUsed(part:of:)`` last took it.
    var isUsed: Bool {
        get { bits & 0x20 != 0 }
        set { bits = newValue ? bits | 0x20 : bits & ~0x20 }
    }

    /// In the main list, not in the window.
    var isMain: Bool {
        get { bits & 0x80 != 0 }
        set { bits = bits & 0x3f | (newValue ? 0x80 : 0x40) }
    }

    /// Halves the frequency.
    mutating func halve() {
        bits = bits & 0xf0 | (bits & 0x0f) >> 1
    }
}
