internal import Synchronization

/// A value with everything known about it. What a fetch gets as the previous one, and what the memory tier holds.
///
/// Immutable but for the two marks that keep readers of one process from queueing the same refresh again and again.
public final class Entry<Value: Sendable>: Sendable {
    /// The value; `nil` when the origin said "no such thing".
    public let value: Value?
    /// When the entry changes state.
    public let freshness: Freshness
    public let limits: Limits
    /// When this value was first saved.
    public let savedAt: Timestamp
    public let validator: Validator?
    /// Sorted, without repeats.
    public let tags: [String]
    /// The write that made it; zero: it could not be saved and is in memory only.
    public let generation: Generation
    /// When it was expired softly by hand, if it was.
    public let markedStaleAt: Timestamp?
    /// The size of the encoded value in bytes.
    let size: Int

    /// Until then a refresh is queued or running, as far as this process knows (milliseconds).
    private let claimedUntil = Atomic<Int64>(.min)
    /// Until then the origin is taken to be failing, and an expired entry that is usable on error is served at once.
    private let failingUntil = Atomic<Int64>(.min)

    init(
        value: Value?, limits: Limits, confirmedAt: Timestamp, savedAt: Timestamp, validator: Validator?,
        tags: [String], generation: Generation, markedStaleAt: Timestamp?, size: Int
    ) {
        self.value = value
        self.limits = limits
        self.savedAt = savedAt
        self.validator = validator
        self.tags = tags
        self.generation = generation
        self.markedStaleAt = markedStaleAt
        self.size = size
        freshness = Freshness(confirmedAt: confirmedAt, limits: limits, markedStaleAt: markedStaleAt)
    }

    convenience init(value: Value?, metadata: EntryMetadata) {
        self.init(
            value: value, limits: metadata.limits, confirmedAt: metadata.confirmedAt, savedAt: metadata.savedAt,
            validator: metadata.validator, tags: metadata.tags, generation: metadata.generation,
            markedStaleAt: metadata.markedStaleAt, size: metadata.size)
    }

    /// The age at `now`, in whole milliseconds; never negative.
    public func age(at now: Timestamp) -> Duration { freshness.age(at: now) }

    /// Which of two entries of one key to keep: the later write; where one could not be saved, the one confirmed later.
    func isNewer(than other: Entry) -> Bool {
        if generation == .zero || other.generation == .zero {
            return freshness.confirmedAt > other.freshness.confirmedAt
        }
        return generation > other.generation
    }

    /// Whether a refresh is queued or running at `now`, as far as this process knows.
    func isClaimed(at now: Timestamp) -> Bool {
        now.milliseconds < claimedUntil.load(ordering: .relaxed)
    }

    /// Claims the entry for this process until `until`; `false` when it is claimed already.
    func claim(at now: Timestamp, until: Timestamp) -> Bool {
        let current = claimedUntil.load(ordering: .relaxed)
        guard now.milliseconds >= current else { return false }
        return claimedUntil.compareExchange(
            expected: current, desired: until.milliseconds, ordering: .relaxed
        ).exchanged
    }

    /// Sets the end of the claim, whoever made it.
    func setClaimed(until: Timestamp) {
        claimedUntil.store(until.milliseconds, ordering: .relaxed)
    }

    /// Whether the origin is taken to be failing at `now`.
    func isFailing(at now: Timestamp) -> Bool {
        now.milliseconds < failingUntil.load(ordering: .relaxed)
    }

    /// Lets readers get this entry at once until `until`, expired or not.
    func setFailing(until: Timestamp) {
        failingUntil.store(until.milliseconds, ordering: .relaxed)
    }

}
