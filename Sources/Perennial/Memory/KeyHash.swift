/// The memory tier's own hash: seeded, 64 bits, and for strings and integers several times faster than `Hasher`.
///
/// Words are folded into the state by 64 × 64 → 128 bit multiplication, as in Wang Yi's wyhash. Who does not know the
/// seed cannot choose keys that collide.
public struct KeyHash: Sendable {
    @usableFromInline let seed: UInt64
    @usableFromInline let secret: UInt64

    @inlinable
    public init(seed: UInt64) {
        self.seed = Self.fold(seed ^ 0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db)
        self.secret = Self.fold(seed ^ 0x8ebc_6af0_9c88_c6e3, 0x5899_65cc_7537_4cc3) | 1
    }

    /// Equal keys have equal hashes.
    @inlinable @inline(__always)
    public func hash<Key: Hashable>(_ key: Key) -> UInt64 {
        if Key.self == String.self { return hash(text: unsafeBitCast(key, to: String.self)) }
        if Key.self == Int.self { return hash(word: UInt64(bitPattern: Int64(unsafeBitCast(key, to: Int.self)))) }
        return hash(any: key)
    }

    @inlinable @inline(__always)
    func hash(word: UInt64) -> UInt64 {
        Self.fold(Self.fold(word ^ seed, secret) ^ seed, 0x9e37_79b9_7f4a_7c15)
    }

    @inlinable
    func hash<Key: Hashable>(any key: Key) -> UInt64 {
        var hasher = Hasher()
        hasher.combine(seed)
        hasher.combine(key)
        return hash(word: UInt64(bitPattern: Int64(hasher.finalize())))
    }

    @inlinable @inline(__always)
    func hash(text: String) -> UInt64 {
        let common = text.utf8.withContiguousStorageIfAvailable { hash(ascii: UnsafeRawBufferPointer($0)) }
        return (common ?? nil) ?? hash(uncommon: text)
    }

    /// Strings in foreign storage, and those with characters outside ASCII: the latter may be equal although their
    /// bytes are not (`é` has two spellings), which `Hasher` knows.
    @usableFromInline @inline(never)
    func hash(uncommon text: String) -> UInt64 {
        var text = text
        return text.withUTF8 { hash(ascii: UnsafeRawBufferPointer($0)) } ?? hash(any: text)
    }

    /// - Returns: `nil` when a byte is not ASCII.
    @inlinable @inline(__always)
    func hash(ascii bytes: UnsafeRawBufferPointer) -> UInt64? {
        let count = bytes.count
        let start = bytes.baseAddress.unsafelyUnwrapped
        let first: UInt64
        let last: UInt64
        var all: UInt64 = 0
        var state = seed
        if count > 16 {
            var offset = 0
            while offset < count - 16 {
                let (one, two) = (Self.word(start, offset), Self.word(start, offset + 8))
                all |= one | two
                state = Self.fold(one ^ secret, two ^ state)
                offset += 16
            }
            (first, last) = (Self.word(start, count - 16), Self.word(start, count - 8))
        } else if count >= 8 {
            (first, last) = (Self.word(start, 0), Self.word(start, count - 8))
        } else if count >= 4 {
            (first, last) = (UInt64(Self.half(start, 0)), UInt64(Self.half(start, count - 4)))
        } else if count > 0 {
            first =
                UInt64(start.load(as: UInt8.self)) << 16
                | UInt64(start.load(fromByteOffset: count >> 1, as: UInt8.self)) << 8
                | UInt64(start.load(fromByteOffset: count - 1, as: UInt8.self))
            last = first << 32
        } else {
            (first, last) = (0, 0)
        }
        all |= first | last
        guard all & 0x8080_8080_8080_8080 == 0 else { return nil }
        state = Self.fold(first ^ secret, last ^ state)
        return Self.fold(state ^ UInt64(truncatingIfNeeded: count), secret ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// Whether the keys are equal; for strings of the same bytes, sooner than `==` tells.
    @inlinable @inline(__always)
    static func equal<Key: Hashable>(_ one: Key, _ other: Key) -> Bool {
        if Key.self == String.self {
            let storages = (unsafeBitCast(one, to: SIMD2<UInt64>.self), unsafeBitCast(other, to: SIMD2<UInt64>.self))
            if storages.0 == storages.1 { return true }
            if sameBytes(unsafeBitCast(one, to: String.self), unsafeBitCast(other, to: String.self)) { return true }
        }
        return one == other
    }

    @inlinable @inline(__always)
    static func sameBytes(_ one: String, _ other: String) -> Bool {
        one.utf8.withContiguousStorageIfAvailable { one in
            other.utf8.withContiguousStorageIfAvailable { other in
                guard one.count == other.count, one.count >= 8 else { return false }
                let left = UnsafeRawPointer(one.baseAddress.unsafelyUnwrapped)
                let right = UnsafeRawPointer(other.baseAddress.unsafelyUnwrapped)
                let last = one.count &- 8
                var difference = word(left, last) ^ word(right, last)
                var offset = 0
                while offset < last {
                    difference |= word(left, offset) ^ word(right, offset)
                    offset &+= 8
                }
                return difference == 0
            } ?? false
        } ?? false
    }

    @inlinable @inline(__always)
    static func word(_ start: UnsafeRawPointer, _ offset: Int) -> UInt64 {
        start.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
    }

    @inlinable @inline(__always)
    static func half(_ start: UnsafeRawPointer, _ offset: Int) -> UInt32 {
        start.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
    }

    @inlinable @inline(__always)
    static func fold(_ one: UInt64, _ two: UInt64) -> UInt64 {
        let product = one.multipliedFullWidth(by: two)
        return product.high ^ product.low
    }
}
