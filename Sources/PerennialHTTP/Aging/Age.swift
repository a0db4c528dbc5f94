public import Perennial

/// The value of the `Age` field at `now`: whole seconds, at most 2³¹ (RFC 9111 §5.1).
public func ageField(_ freshness: Freshness, now: Timestamp) -> String {
    String(min(freshness.age(at: now).milliseconds / 1000, 1 << 31))
}

/// How long an entry stays fresh at `now`, in whole seconds rounded down; negative once it is stale (RFC 9211 §2.4).
public func timeToLive(_ freshness: Freshness, now: Timestamp) -> Int64 {
    // Stale, for how long nobody knows.
    if freshness.isAhead(of: now) { return 0 }
    let left = (freshness.staleAt - now).milliseconds
    return left >= 0 ? left / 1000 : -((left.magnitude.clampedToInt64 + 999) / 1000)
}

extension UInt64 {
    /// Leaves room to add a second without overflow.
    fileprivate var clampedToInt64: Int64 { Int64(Swift.min(self, UInt64(Int64.max) - 1000)) }
}
