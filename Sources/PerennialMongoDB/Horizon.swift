import Perennial

/// Where a cache stands: its document in `perennial.caches`, and the rules for what may be saved and what is gone.
///
/// **Order.** MongoDB changes one document atomically, so there are two kinds of order, each kept by one document, and
/// no transaction.
///
/// - *Of one key*: its document. Every change of it names the generation (and, while it is live, the `basis`) that was
///   seen and is made only if they are still there (compare and set); else it is looked at anew. A removed key keeps a
///   tombstone, at least for an hour.
/// - *Of a cache*: `sequence` in its document here. Saves, and purges of keys, first take the next number from it and
///   get, in that one step, the purges that came before. A purge of a tag or of the cache takes its number and enters
///   its purge in one step. So saves and purges of a cache are in one order, whoever makes them and however late a
///   save's own document is written.
///
/// **Purges are in force at once.** An entry carries the number that its save took (`basis`). A purge concerns an entry
/// that it fits by tag, or any for the whole cache, whose basis is before the purge's own number. That is looked at by
/// whoever reads, so an entry which is written a moment after the purge by a save from before counts as removed (or
/// marked) from the start. That the purge then deletes or marks the documents themselves is tidying; if its process
/// dies on the way, the janitor does it. The basis is never changed by expiring, so no later change hides an entry from
/// an earlier purge.
///
/// **Fences.** A generation is a number of the sequence with 20 bits behind it (``Stamp``), which tell it from its
/// neighbours. A fence has the number where the cache stood when the reader looked, *before* it looked at the key, and
/// the 20 bits of the key's generation that it then saw (zero: nothing). A save behind it is made only if the key's
/// document still has those bits and no greater number, and none of the purges above the fence's number fits. A save
/// from before that is still under way has a smaller number than the fence, so numbers alone would not show it: the
/// bits do. They fail only if a key is written a multiple of 1,048,575 numbers apart. What is no longer remembered one
/// by one is remembered by its greatest number: `forgotten` keys and `forgotten_purges`; older fences do not pass them.
///
/// **What rests on time.** A tombstone or purge that was forgotten, after an hour, no longer meets a write that was
/// begun before and has been under way ever since; of more than 256 purges those older than a minute are forgotten. A
/// call lasts no longer than `timeout`.
struct Horizon {
    /// A purge of a tag, or of the whole cache.
    struct Purge: Hashable {
        let sequence: Int64
        /// `nil`: the whole cache.
        let tag: String?
        let removes: Bool
        let at: Timestamp
        /// Its documents are tidied up.
        let isDone: Bool

        func fits(_ tags: [String]) -> Bool { tag.map { tags.contains($0) } ?? true }
    }

    private(set) var sequence: Int64 = 0
    private(set) var forgottenKeys: Int64 = 0
    private(set) var forgottenPurges: Int64 = 0
    private(set) var purges: [Purge] = []

    /// Of a cache that was never written.
    init() {}

    init(_ document: BSON.Document) {
        sequence = document["sequence"]?.number ?? 0
        forgottenKeys = document["forgotten_keys"]?.number ?? 0
        forgottenPurges = document["forgotten_purges"]?.number ?? 0
        purges = (document["purges"]?.array ?? []).compactMap { item in
            guard let purge = item.document, let sequence = purge["sequence"]?.number else { return nil }
            return Purge(
                sequence: sequence, tag: purge["tag"]?.text, removes: purge["removes"]?.flag ?? true,
                at: purge["at"]?.time ?? .distantPast, isDone: purge["done"]?.flag ?? false)
        }
    }

    /// The purge that has removed an entry with these tags, if one has.
    func removal(basis: Int64, tags: [String]) -> Purge? {
        purges.first { $0.removes && $0.sequence > basis && $0.fits(tags) }
    }

    /// The purges that have marked such an entry stale.
    func marks(basis: Int64, tags: [String]) -> [Purge] {
        purges.filter { !$0.removes && $0.sequence > basis && $0.fits(tags) }
    }

    /// The fence of one who looked here first, and then saw this generation of a key; `nil`: none.
    func fence(seeing generation: Int64?) -> Generation {
        guard let generation else { return Stamp.fence(sequence, bits: 0) }
        return Stamp.fence(max(sequence, Stamp.sequence(generation)), bits: Stamp.bits(generation))
    }

    /// Whether work behind a fence may still save.
    /// - Parameters:
    ///   - known: what is known of the key now.
    ///   - tags: those of the entry that is to be saved.
    func admits(_ fence: Generation, over known: KnownKey, tags: [String]) -> Bool {
        let (seen, bits) = (Stamp.sequence(fence.number), Stamp.bits(fence.number))
        if let generation = known.generation {
            // What a purge has removed that the reader knew of is nothing to it, whoever wrote it.
            let gone =
                known.basis.map { removal(basis: $0, tags: known.tags) }
                // What it has tidied up meanwhile has its number.
                ?? purges.first { $0.removes && Stamp.generation($0.sequence) == generation }
            let wasGone = gone.map { $0.sequence <= seen } ?? false
            guard wasGone || Stamp.sequence(generation) <= seen && Stamp.bits(generation) == bits else { return false }
        } else if seen < forgottenKeys {
            return false
        }
        return seen >= forgottenPurges && !purges.contains { $0.sequence > seen && $0.fits(tags) }
    }
}

/// How a number of a cache's sequence becomes a generation.
enum Stamp {
    private static let width: Int64 = 20
    private static let mask: Int64 = 1 << width - 1

    static func generation(_ sequence: Int64) -> Int64 { sequence << width | (1 + sequence % mask) }
    static func sequence(_ generation: Int64) -> Int64 { generation >> width }
    static func bits(_ generation: Int64) -> Int64 { generation & mask }
    static func fence(_ sequence: Int64, bits: Int64) -> Generation { Generation(sequence << width | bits) }
    /// Below the generations of this number and all later ones, above those of the earlier ones.
    static func floor(_ sequence: Int64) -> Int64 { sequence << width }
}

/// What must be known of a key to write it.
struct KnownKey {
    /// `nil`: there is nothing of it, or only a lease.
    let generation: Int64?
    /// As they stand in the document, whatever they are; for the comparison.
    private let rawGeneration: BSON?
    /// `nil`: it is not live.
    let basis: Int64?
    private let rawBasis: BSON?
    let tags: [String]
    let size: Int64
    let touchedAt: Timestamp?
    let leaseToken: LeaseToken?

    static let fields: BSON.Document = [
        "generation": 1, "basis": 1, "tags": 1, "size": 1, "touched_at": 1, "lease": 1,
    ]

    init(_ document: BSON.Document?) {
        rawGeneration = document?["generation"]
        generation = rawGeneration?.number
        rawBasis = document?["basis"]
        basis = rawBasis?.number
        tags = document?["tags"]?.array?.compactMap(\.text) ?? []
        size = document?["size"]?.number ?? 0
        touchedAt = document?["touched_at"]?.time
        leaseToken = document?["lease"]?.document?["token"]?.text
    }

    /// Whether a document may have to be made.
    var isNew: Bool { rawGeneration == nil && rawBasis == nil }

    /// Finds the key's document if it still is as it was seen.
    func unchanged(_ key: String) -> BSON.Document {
        [
            "_id": .text(key), "generation": rawGeneration ?? ["$exists": false],
            "basis": rawBasis ?? ["$exists": false],
        ]
    }
}
