/// What a store remembers of writes that left no entry behind, so that work which began before them can't save: 8 bytes
/// that stand for a key, a tag or a cache, and the generation of the write.
///
/// There are at most ``limit`` of them. The oldest are forgotten first, and work that began before those is refused,
/// whatever it is about (``horizon``).
struct Marks {
    private var generations: [Int64: Generation] = [:]
    private let limit: Int
    /// The newest of those that were forgotten: a fence must be at or behind it.
    private(set) var horizon = Generation.zero

    /// - Parameter sizeLimit: the store's, in bytes.
    init(sizeLimit: Int?) {
        limit = MarkRules.most(for: sizeLimit)
    }

    var count: Int { generations.count }

    /// The last write that left nothing of the selection, as far as it is remembered.
    subscript(selection: Selection) -> Generation { generations[selection.mark] ?? .zero }

    mutating func note(_ selection: Selection, _ generation: Generation) {
        generations[selection.mark] = max(self[selection], generation)
        if generations.count > limit { forget() }
    }

    private mutating func forget() {
        // More than it must, so that this is seldom.
        let newest = generations.values.sorted()[generations.count - MarkRules.kept(of: limit) - 1]
        horizon = max(horizon, newest)
        generations = generations.filter { $0.value > newest }
    }
}

/// How many marks a store has, and what they count.
package enum MarkRules {
    /// The bytes that a mark counts against a store's limit.
    package static let size = 48

    /// How many there may be: 65,536, and no more than take a sixteenth of the store's limit.
    package static func most(for sizeLimit: Int?) -> Int {
        min(65_536, max(64, (sizeLimit ?? .max) / 16 / size))
    }

    /// How many are left of so many, when some are forgotten.
    package static func kept(of most: Int) -> Int { most - most / 8 }

    /// What is left of a limit for entries, where what marks take is not counted each time: a sixteenth is theirs.
    package static func entries(of sizeLimit: Int) -> Int { sizeLimit - sizeLimit / 16 }

    /// The largest entry that is kept, in bytes: a larger one would push out all others, and leave no room for marks.
    package static func largestEntry(for sizeLimit: Int?) -> Int {
        sizeLimit.map { $0 - $0 / 8 } ?? .max
    }
}

extension Selection {
    /// Stands for it in 8 bytes, the same in every process and version. Where two have the same, a store refuses more
    /// than it must, never less.
    package var mark: Int64 {
        var hash = MarkHash()
        switch self {
        case .key(let key):
            hash.add("k", key.cache)
            hash.add(key.key)
        case .tag(let tag, let cache):
            hash.add("t", cache)
            hash.add(tag)
        case .cache(let cache): hash.add("c", cache)
        }
        return hash.value
    }
}

/// FNV-1a with 64 bits (draft-eastlake-fnv), over texts that end with a byte which is in no text.
private struct MarkHash {
    private var state: UInt64 = 0xcbf2_9ce4_8422_2325

    var value: Int64 { Int64(bitPattern: state) }

    mutating func add(_ kind: Unicode.Scalar, _ text: String) {
        add(UInt8(ascii: kind))
        add(text)
    }

    mutating func add(_ text: String) {
        var text = text
        text.withUTF8 { for byte in $0 { add(byte) } }
        add(0xFF)
    }

    private mutating func add(_ byte: UInt8) {
        state = (state ^ UInt64(byte)) &* 0x100_0000_01b3
    }
}
