public import Perennial

/// A store that fails, hangs or answers late when it is told to, and counts its calls. Otherwise it is the store it
/// wraps.
///
/// ```swift
/// let store = FaultyStore(InMemoryStore())
/// store.faults.fail(.read, .save)
/// store.faults.heal()
/// ```
public struct FaultyStore: Store {
    public enum Operation: Hashable, Sendable, CaseIterable {
        case read, save, confirm, lease, extendLease, releaseLease, markStale, remove, list, touch
        case saveHotKeys, hotKeys, maintain, statistics
    }

    public let faults = Faults<Operation>()
    private let store: any Store
    private let losesChanges: Bool
    private let heard: HeardChanges?

    /// - Parameter losesChanges: its change feed says only that something has changed, as after a lost connection.
    public init(_ store: any Store = InMemoryStore(), losesChanges: Bool = false) {
        self.store = store
        self.losesChanges = losesChanges
        heard = nil
    }

    /// - Parameter heard: notes the changes that a listener has heard of.
    init(_ store: any Store, heard: HeardChanges) {
        self.store = store
        losesChanges = false
        self.heard = heard
    }

    private func pass<Result>(_ operation: Operation, _ call: () async throws -> Result) async throws -> Result {
        try await faults.pass(operation)
        let result = try await call()
        try await faults.passBack(operation)
        return result
    }

    public func read(_ keys: [EntryKey]) async throws -> [StoreRecord] {
        try await pass(.read) { try await store.read(keys) }
    }

    public func save(_ entry: StoredEntry, fence: Generation?, releasing: LeaseToken?) async throws -> SaveOutcome {
        try await pass(.save) { try await store.save(entry, fence: fence, releasing: releasing) }
    }

    public func confirm(_ metadata: EntryMetadata, fence: Generation?, releasing: LeaseToken?) async throws
        -> SaveOutcome
    {
        try await pass(.confirm) { try await store.confirm(metadata, fence: fence, releasing: releasing) }
    }

    public func lease(
        _ keys: [EntryKey], token: LeaseToken, until: Timestamp, now: Timestamp
    ) async throws -> [LeaseOutcome] {
        try await pass(.lease) { try await store.lease(keys, token: token, until: until, now: now) }
    }

    public func extendLease(
        _ key: EntryKey, token: LeaseToken, until: Timestamp, now: Timestamp
    ) async throws -> Bool {
        try await pass(.extendLease) { try await store.extendLease(key, token: token, until: until, now: now) }
    }

    public func releaseLease(_ key: EntryKey, token: LeaseToken) async throws {
        try await pass(.releaseLease) { try await store.releaseLease(key, token: token) }
    }

    public func markStale(_ selection: Selection, now: Timestamp) async throws -> Int {
        try await pass(.markStale) { try await store.markStale(selection, now: now) }
    }

    public func remove(_ selection: Selection, now: Timestamp) async throws -> Int {
        try await pass(.remove) { try await store.remove(selection, now: now) }
    }

    public func list(cache: String?, tag: String?, after: EntryKey?, limit: Int) async throws -> [EntryMetadata] {
        try await pass(.list) { try await store.list(cache: cache, tag: tag, after: after, limit: limit) }
    }

    public func touch(_ keys: [EntryKey], now: Timestamp) async throws {
        try await pass(.touch) { try await store.touch(keys, now: now) }
    }

    public func saveHotKeys(_ keys: [String], cache: String) async throws {
        try await pass(.saveHotKeys) { try await store.saveHotKeys(keys, cache: cache) }
    }

    public func hotKeys(cache: String, page: Int) async throws -> [String] {
        try await pass(.hotKeys) { try await store.hotKeys(cache: cache, page: page) }
    }

    public func identity() async throws -> String? { try await store.identity() }

    public func changes() -> AsyncStream<[StoreChange]> {
        let changes = store.changes()
        if losesChanges {
            return AsyncStream {
                var iterator = changes.makeAsyncIterator()
                return await iterator.next().map { _ in [.missed] }
            }
        }
        return heard?.noting(changes) ?? changes
    }

    public func maintain(now: Timestamp) async throws -> MaintenanceReport {
        try await pass(.maintain) { try await store.maintain(now: now) }
    }

    public func statistics() async throws -> StoreStatistics {
        try await pass(.statistics) { try await store.statistics() }
    }
}
