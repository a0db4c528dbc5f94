internal import Synchronization

/// A value with everything known about it. What a fetch gets as the previous one, and what the memory tier holds.
///
/// Immutable but for the two marks that keep readers of one process from queueing the same refresh again and again.
public final class Entry<Value: Sendable>: Sendable {
    /// The value; `nil` when the origin said "no such thing".
    public let value: Value?
    /// When the entry changes state.
    public let freshness: Freshness
    /// When this value was first saved.
    public let savedAt: Timestamp
    /// The write that made it; zero: it could not be saved and is in memory only.
    public let generation: Generation
    /// The size of the encoded value in bytes.
    let size: Int
    /// `nil`: nothing of what ``EntryDetails`` are for.
    private let details: EntryDetails<Value>?

    /// Until then a refresh is queued or running, as far as this process knows (milliseconds of the steady clock).
    private let claimedUntil = Atomic<Int64>(.min)
    /// Until then the origin is taken to be failing, and an expired entry that is usable on error is served at once
    /// (likewise).
    private let failingUntil = Atomic<Int64>(.min)

    /// - Parameter ofValue: see there.
    init(value: Value?, metadata: EntryMetadata, ofValue: EntryDetails<Value>? = nil) {
        self.value = value
        freshness = metadata.freshness
        savedAt = metadata.savedAt
        generation = metadata.generation
        size = metadata.size
        details = EntryDetails.needed(for: metadata, freshness, value, ofValue)
    }

    public var limits: Limits { details?.limits ?? freshness.limits }
    public var validator: Validator? { details?.validator(of: value) }
    /// Sorted, without repeats.
    public var tags: [String] { details?.tags ?? [] }
    /// When it was marked stale by hand, if it was.
    public var markedStaleAt: Timestamp? { details?.markedStaleAt }
    /// Bytes that it takes to remember what few entries have.
    var detailsSize: Int { details?.size ?? 0 }

    /// The age at `now`, in whole milliseconds; never negative.
    public func age(at now: Timestamp) -> Duration { freshness.age(at: now) }

    /// As a store keeps it.
    func metadata(of key: EntryKey, format: String) -> EntryMetadata {
        EntryMetadata(
            key: key, isAbsent: value == nil, format: format, savedAt: savedAt, confirmedAt: freshness.confirmedAt,
            limits: limits, markedStaleAt: markedStaleAt, validator: validator, tags: tags, generation: generation,
            size: size)
    }

    /// Which of two entries of one key to keep: the later write; where one could not be saved, the one confirmed later,
    /// as far as that can be told at `now`.
    func isNewer(than other: Entry, at now: Timestamp) -> Bool {
        if generation == .zero || other.generation == .zero {
            let isAhead = freshness.isAhead(of: now)
            if isAhead != other.freshness.isAhead(of: now) { return !isAhead }
            return freshness.confirmedAt > other.freshness.confirmedAt
        }
        return generation > other.generation
    }

    /// Whether a refresh is queued or running at `now` (of the steady clock), as far as this process knows.
    @usableFromInline
    func isClaimed(at now: Timestamp) -> Bool {
        now.milliseconds < claimedUntil.load(ordering: .relaxed)
    }

    /// Claims the entry for this process until `until` (of the steady clock); `false` when it is claimed already.
    func claim(at now: Timestamp, until: Timestamp) -> Bool {
        let current = claimedUntil.load(ordering: .relaxed)
        guard now.milliseconds >= current else { return false }
        return claimedUntil.compareExchange(
            expected: current, desired: until.milliseconds, ordering: .relaxed
        ).exchanged
    }

    /// Sets the end of the claim (of the steady clock), whoever made it.
    func setClaimed(until: Timestamp) {
        claimedUntil.store(until.milliseconds, ordering: .relaxed)
    }

    /// Whether the origin is taken to be failing at `now` (of the steady clock).
    func isFailing(at now: Timestamp) -> Bool {
        now.milliseconds < failingUntil.load(ordering: .relaxed)
    }

    /// Lets readers get this entry at once until `until` (of the steady clock), expired or not.
    func setFailing(until: Timestamp) {
        failingUntil.store(until.milliseconds, ordering: .relaxed)
    }
}

/// What few entries have, kept apart from the others' memory.
final class EntryDetails<Value: Sendable>: Sendable {
    /// `nil`: those that the entry's ``Freshness`` shows.
    let limits: Limits?
    let tags: [String]
    let markedStaleAt: Timestamp?
    private let validator: Validator?
    private let readValidator: (@Sendable (Value) -> Validator?)?

    /// For all entries that have nothing but a validator, which their values carry.
    /// - Parameter readValidator: reads it.
    init(validatorOfValue readValidator: @escaping @Sendable (Value) -> Validator?) {
        limits = nil
        tags = []
        markedStaleAt = nil
        validator = nil
        self.readValidator = readValidator
    }

    private init(_ metadata: EntryMetadata, limits: Limits?) {
        self.limits = limits
        tags = metadata.tags
        markedStaleAt = metadata.markedStaleAt
        validator = metadata.validator
        readValidator = nil
    }

    /// In bytes, about; none for those that many entries share.
    var size: Int {
        if readValidator != nil { return 0 }
        let texts = tags + [validator?.etag, validator?.lastModified].compactMap { $0 }
        return texts.reduce(176) { $0 + $1.utf8.count + 64 }
    }

    func validator(of value: Value?) -> Validator? {
        validator ?? value.flatMap { value in readValidator.flatMap { $0(value) } }
    }

    /// - Parameter ofValue: made by ``init(validatorOfValue:)``, where values carry validators.
    static func needed(
        for metadata: EntryMetadata, _ freshness: Freshness, _ value: Value?, _ ofValue: EntryDetails?
    ) -> EntryDetails? {
        let limits = freshness.limits == metadata.limits ? nil : metadata.limits
        if limits == nil, metadata.tags.isEmpty, metadata.markedStaleAt == nil {
            if metadata.validator == nil { return nil }
            if let ofValue, ofValue.validator(of: value) == metadata.validator { return ofValue }
        }
        return EntryDetails(metadata, limits: limits)
    }
}
