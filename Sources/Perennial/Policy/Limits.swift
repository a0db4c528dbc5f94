/// The three ages at which an entry changes state.
///
/// They are independent, but must not fall: `refreshAfter` ≤ `expireAfter` ≤ `staleIfError`.
/// Kept in whole milliseconds.
public struct Limits: Hashable, Sendable {
    /// The soft limit: from this age on, the entry is *stale*: it is still served, and a refresh is queued.
    public let refreshAfter: Duration
    /// The hard limit: from this age on, the entry is *expired*: a reader waits for the origin.
    public let expireAfter: Duration
    /// From `expireAfter` until this age, the expired entry may still be served when the origin fails.
    public let staleIfError: Duration

    /// - Parameters:
    ///   - refreshAfter: the soft limit; zero or more.
    ///   - expireAfter: the hard limit; at least `refreshAfter`.
    ///   - staleIfError: at least `expireAfter`; default: `expireAfter`, so that an expired entry is never shown.
    /// - Throws: ``PolicyError`` when a limit is negative or smaller than the one before it.
    public init(refreshAfter: Duration, expireAfter: Duration, staleIfError: Duration? = nil) throws(PolicyError) {
        let staleIfError = staleIfError ?? expireAfter
        guard refreshAfter >= .zero else {
            throw PolicyError("refreshAfter is \(refreshAfter); it must be zero or more")
        }
        guard refreshAfter <= expireAfter else {
            throw PolicyError(
                "expireAfter (\(expireAfter)) is shorter than refreshAfter (\(refreshAfter)); make it at least as long")
        }
        guard expireAfter <= staleIfError else {
            throw PolicyError(
                "staleIfError (\(staleIfError)) is shorter than expireAfter (\(expireAfter)); make it at least as long")
        }
        self.init(ordered: refreshAfter, expireAfter, staleIfError)
    }

    /// The limits with each one raised to the one before it where it is smaller: for limits computed from what
    /// an origin says, which must never fail.
    public init(raising refreshAfter: Duration, _ expireAfter: Duration, _ staleIfError: Duration) {
        let soft = max(.zero, refreshAfter)
        let hard = max(soft, expireAfter)
        self.init(ordered: soft, hard, max(hard, staleIfError))
    }

    private init(ordered refreshAfter: Duration, _ expireAfter: Duration, _ staleIfError: Duration) {
        self.refreshAfter = .milliseconds(refreshAfter.milliseconds)
        self.expireAfter = .milliseconds(expireAfter.milliseconds)
        self.staleIfError = .milliseconds(staleIfError.milliseconds)
    }

    /// The pattern's first users: refresh after one hour, expire after seven days.
    public static let standard = Limits(ordered: .hours(1), .days(7), .days(7))

    /// These limits with `refreshAfter` shortened by up to `fraction` of itself, so that entries saved together do
    /// not all grow stale together.
    /// - Parameters:
    ///   - fraction: from 0 (none) to 1.
    ///   - random: a number in 0..<1.
    func jittered(by fraction: Double, random: Double) -> Limits {
        guard fraction > 0, refreshAfter.milliseconds < Int64.max / 2 else { return self }
        let soft = Double(refreshAfter.milliseconds) * (1 - fraction * random)
        return Limits(ordered: .milliseconds(Int64(soft)), expireAfter, staleIfError)
    }
}

/// Limits or settings that contradict each other.
public struct PolicyError: Error, Hashable, CustomStringConvertible {
    /// What is wrong and what to do, in one line.
    public let description: String

    init(_ description: String) {
        self.description = description
    }
}
