public import Perennial

/// A store that fails or hangs when it is told to, and counts its calls. Otherwise it is the store it wraps.
///
/// ```swift
/// let store = FaultyStore(InMemoryStore())
/// store.faults.fail(.read, .save)
/// store.faults.heal()
/// ```
public struct FaultyStore: Store {
    public enum Operation: Hashable, Sendable, CaseIterable {
        case read, save, confirm, lease, extendLease, releaseLease, expire, remove, list, touch, maintain, statistics
    }

    public let faults = Faults<Operation>()
    private let store: any Store

    public init(_ store: any Store = InMemoryStore()) {
        self.store = store
    }

    public func read(_ keys: [EntryKey]) async throws -> [StoreRecord] {
        try await faults.pass(.read)
        return try await store.read(keys)
    }

    public func save(_ entry: StoredEntry, fence: Generation?, releasing: LeaseToken?) async throws -> SaveOutcome {
        try await faults.pass(.save)
        return try await store.save(entry, fence: fence, releasing: releasing)
    }

    public func confirm(_ metadata: EntryMetadata, fence: Generation?, releasing: LeaseToken?) async throws
        -> SaveOutcome
    {
        try await faults.pass(.confirm)
        return try await store.confirm(metadata, fence: fence, releasing: releasing)
    }

    public func lease(
        _ keys: [EntryKey], token: LeaseToken, until: Timestamp, now: Timestamp
    ) async throws -> [LeaseOutcome] {
        try await faults.pass(.lease)
        return try await store.lease(keys, token: token, until: until, now: now)
    }

    public func extendLease(
        _ key: EntryKey, token: LeaseToken, until: Timestamp, now: Timestamp
    ) async throws -> Bool {
        try await faults.pass(.extendLease)
        return try await store.extendLease(key, token: token, until: until, now: now)
    }

    public func releaseLease(_ key: EntryKey, token: LeaseToken) async throws {
        try await faults.pass(.releaseLease)
        try await store.releaseLease(key, token: token)
    }

    public func expire(_ selection: Selection, now: Timestamp) async throws -> Int {
        try await faults.pass(.expire)
        return try await store.expire(selection, now: now)
    }

    public func remove(_ selection: Selection, now: Timestamp) async throws -> Int {
        try await faults.pass(.remove)
        return try await store.remove(selection, now: now)
    }

    public func list(cache: String?, tag: String?, after: EntryKey?, limit: Int) async throws -> [EntryMetadata] {
        try await faults.pass(.list)
        return try await store.list(cache: cache, tag: tag, after: after, limit: limit)
    }

    public func touch(_ keys: [EntryKey], now: Timestamp) async throws {
        try await faults.pass(.touch)
        try await store.touch(keys, now: now)
    }

    public func changes() -> AsyncStream<[StoreChange]> {
        store.changes()
    }

    public func maintain(now: Timestamp) async throws -> MaintenanceReport {
        try await faults.pass(.maintain)
        return try await store.maintain(now: now)
    }

    public func statistics() async throws -> StoreStatistics {
        try await faults.pass(.statistics)
        return try await store.statistics()
    }
}
