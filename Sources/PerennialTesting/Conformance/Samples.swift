public import Perennial

/// Values that the conformance suites are made of; useful for a store's own tests, too.
public enum Samples {
    /// Some moment, in the year 2096: an engine that also removes what is dead by its own clock must not find any of it so.
    public static let now = Timestamp(milliseconds: 4_000_000_000_000)

    public static func key(_ key: String = "ada", cache: String = "people") -> EntryKey {
        EntryKey(cache: cache, key: key)
    }

    /// An entry that was saved and confirmed at `at`; stale after an hour, expired after a day, useless after a week.
    public static func entry(
        _ key: EntryKey = key(), bytes: [UInt8] = Array("{\"name\":\"Ada\"}".utf8), at: Timestamp = now,
        tags: [String] = [], validator: Validator? = nil
    ) -> StoredEntry {
        let metadata = EntryMetadata(
            key: key, format: "json", savedAt: at, confirmedAt: at,
            limits: Limits(raising: .hours(1), .days(1), .days(7)), validator: validator, tags: tags,
            size: bytes.count)
        return StoredEntry(metadata: metadata, bytes: bytes)
    }

    public static func job(
        _ key: EntryKey = key(), generation: Generation = .zero, token: LeaseToken = "lease", at: Timestamp = now
    ) -> RefreshJob {
        RefreshJob(key: key, generation: generation, leaseToken: token, queuedAt: at)
    }
}
