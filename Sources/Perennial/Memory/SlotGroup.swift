/// Eight neighbouring slots of a table: for each a tag, and the use of the entry in it. Four groups fill a cache line.
///
/// A tag is 0 for a slot that was never used since the table was built, 1 for one whose entry was removed, and
/// otherwise 128 + seven bits of the key's hash. All eight are compared at once in one 64-bit word. (After the "Swiss
/// tables" of Abseil.)
@usableFromInline
struct SlotGroup {
    /// The tag of slot n in the n-th byte, from the lowest.
    @usableFromInline var tags: UInt64
    /// Likewise, the ``EntryUse`` of the entries: reached as single bytes, since readers change them at the same time.
    @usableFromInline var uses: UInt64

    static var unused: SlotGroup { SlotGroup(tags: 0, uses: 0) }

    @inlinable static var ones: UInt64 { 0x0101_0101_0101_0101 }
    @inlinable static var highs: UInt64 { 0x8080_8080_8080_8080 }

    /// The tag of a key's slot.
    @inlinable @inline(__always)
    static func tag(_ hash: UInt64) -> UInt64 {
        hash >> 57 | 0x80
    }

    /// The high bits of the bytes that equal `tag`, and, seldom, of some above one that does: keys decide.
    @inlinable @inline(__always)
    static func matches(_ tags: UInt64, _ tag: UInt64) -> UInt64 {
        let difference = tags ^ (tag &* ones)
        return (difference &- ones) & ~difference & highs
    }

    /// Whether a slot was never used: then no key that begins its search here or before was ever put further on.
    @inlinable @inline(__always)
    static func hasUnused(_ tags: UInt64) -> Bool {
        (tags &- ones) & ~tags & highs != 0
    }

    /// A slot without an entry, or `nil`.
    var free: Int? {
        let frees = ~tags & Self.highs
        return frees == 0 ? nil : frees.trailingZeroBitCount >> 3
    }

    func tag(of slot: Int) -> UInt64 {
        tags >> UInt64(slot * 8) & 0xff
    }

    mutating func setTag(of slot: Int, _ tag: UInt64) {
        tags = tags & ~(0xff << UInt64(slot * 8)) | tag << UInt64(slot * 8)
    }
}
