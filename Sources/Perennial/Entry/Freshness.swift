/// The state of a key at an instant.
public enum State: String, Sendable, Hashable, Codable, CaseIterable {
    /// Younger than `refreshAfter`: served, nothing else happens.
    case fresh
    /// From `refreshAfter` on, or marked stale by hand: served at once, refreshed behind.
    case stale
    /// From `expireAfter` on: fetched again before answering.
    case expired
    /// Not there.
    case missing
}

/// The times at which one entry changes state: its limits, anchored at the moment the origin last confirmed it.
///
/// A pure function of times and limits; nothing here reads a clock.
public struct Freshness: Hashable, Sendable {
    /// When the origin last confirmed the value; ages count from here.
    public let confirmedAt: Timestamp
    /// From this moment on the entry is stale.
    public let staleAt: Timestamp
    /// From this moment on the entry is expired.
    public let expiresAt: Timestamp
    /// From this moment on the entry may not be served even when the origin fails.
    public let uselessAt: Timestamp
    /// Whether the entry was marked stale by hand: then it is stale whenever that was, since by another clock it may
    /// not have come yet.
    @usableFromInline
    let isMarked: Bool

    /// - Parameter markedStaleAt: when the entry was marked stale by hand, if it was.
    public init(confirmedAt: Timestamp, limits: Limits, markedStaleAt: Timestamp? = nil) {
        self.confirmedAt = confirmedAt
        expiresAt = confirmedAt + limits.expireAfter
        uselessAt = confirmedAt + limits.staleIfError
        let softly = confirmedAt + limits.refreshAfter
        staleAt = markedStaleAt.map { min($0, softly) } ?? softly
        isMarked = markedStaleAt != nil
    }

    /// Whether the entry was confirmed by a clock that is ahead of `now`, or this one has been set back since, by more
    /// than the entry stays fresh, but 5 seconds in any case and a minute at most. Its age can't be known then: it
    /// counts as stale, is served and refreshed.
    @inlinable
    public func isAhead(of now: Timestamp) -> Bool {
        let life = staleAt.milliseconds.subtractingSaturated(confirmedAt.milliseconds)
        return confirmedAt.milliseconds.subtractingSaturated(Swift.min(Swift.max(life, 5_000), 60_000))
            > now.milliseconds
    }

    /// Whether the state at `now` is ``State/fresh``.
    @inlinable
    public func isFresh(at now: Timestamp) -> Bool {
        now < staleAt && !isMarked && !isAhead(of: now)
    }

    /// The limits that give these times, unless the entry was marked stale or one of them lies beyond all time.
    var limits: Limits {
        Limits(raising: staleAt - confirmedAt, expiresAt - confirmedAt, uselessAt - confirmedAt)
    }

    /// The state at `now`.
    @inlinable
    public func state(at now: Timestamp) -> State {
        if isFresh(at: now) { return .fresh }
        // What may not be served stale is not, however old it is in truth.
        if isAhead(of: now) && staleAt == expiresAt && !isMarked { return .expired }
        if now < expiresAt { return .stale }
        return .expired
    }

    /// The age at `now`: never negative, even when clocks disagree.
    @inlinable
    public func age(at now: Timestamp) -> Duration {
        max(.zero, now - confirmedAt)
    }

    /// Whether the entry may be served at `now` although the origin failed.
    @inlinable
    public func isUsableOnError(at now: Timestamp) -> Bool {
        now < uselessAt
    }
}
