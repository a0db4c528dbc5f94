import Synchronization

/// A store in this process's memory, gone with it: the reference for every other store, and the one for tests.
public final class InMemoryStore: Store {
    private let table: Mutex<InMemoryTable>
    private let feed = ChangeFeed()
    private let name = SystemRandomness().token()

    /// - Parameter sizeLimit: the bytes above which the least recently used entries make room; default: none.
    public init(sizeLimit: Int? = nil) {
        table = Mutex(InMemoryTable(limit: sizeLimit))
    }

    public func identity() async throws -> String? { name }

    public func read(_ keys: [EntryKey]) async throws -> [StoreRecord] {
        table.withLock { table in keys.map { table.record($0) } }
    }

    public func readNow(_ keys: [EntryKey]) -> [StoreRecord]? {
        table.withLock { table in keys.map { table.record($0) } }
    }

    public func save(_ entry: StoredEntry, fence: Generation?, releasing: LeaseToken?) async throws -> SaveOutcome {
        let outcome = table.withLock { $0.save(entry, fence: fence, releasing: releasing) }
        announce(entry.metadata.key, outcome)
        return outcome
    }

    public func confirm(_ metadata: EntryMetadata, fence: Generation?, releasing: LeaseToken?) async throws
        -> SaveOutcome
    {
        let outcome = table.withLock { $0.confirm(metadata, fence: fence, releasing: releasing) }
        announce(metadata.key, outcome)
        return outcome
    }

    public func lease(
        _ keys: [EntryKey], token: LeaseToken, until: Timestamp, now: Timestamp
    ) async throws -> [LeaseOutcome] {
        table.withLock { table in keys.map { table.lease($0, token: token, until: until, now: now) } }
    }

    public func extendLease(
        _ key: EntryKey, token: LeaseToken, until: Timestamp, now: Timestamp
    ) async throws -> Bool {
        table.withLock { $0.extendLease(key, token: token, until: until, now: now) }
    }

    public func releaseLease(_ key: EntryKey, token: LeaseToken) async throws {
        table.withLock { $0.releaseLease(key, token: token) }
    }

    public func markStale(_ selection: Selection, now: Timestamp) async throws -> Int {
        let (keys, generation) = table.withLock { ($0.markStale(selection, now: now), $0.sequence) }
        announce(selection, generation)
        return keys.count
    }

    public func remove(_ selection: Selection, now: Timestamp) async throws -> Int {
        let (keys, generation) = table.withLock { ($0.remove(selection, now: now), $0.sequence) }
        announce(selection, generation)
        return keys.count
    }

    public func list(cache: String?, tag: String?, after: EntryKey?, limit: Int) async throws -> [EntryMetadata] {
        table.withLock { $0.list(cache: cache, tag: tag, after: after, limit: limit) }
    }

    public func touch(_ keys: [EntryKey], now: Timestamp) async throws {
        table.withLock { table in
            for key in keys { table.touch(key, now: now) }
        }
    }

    public func saveHotKeys(_ keys: [String], cache: String) async throws {
        table.withLock { $0.hotKeys[cache] = keys }
    }

    public func hotKeys(cache: String, page: Int) async throws -> [String] {
        table.withLock { Array(($0.hotKeys[cache] ?? []).dropFirst(page * 1_000).prefix(1_000)) }
    }

    public func changes() -> AsyncStream<[StoreChange]> {
        feed.subscribe()
    }

    public func maintain(now: Timestamp) async throws -> MaintenanceReport {
        table.withLock { $0.maintain(now: now, batch: 1000) }
    }

    public func statistics() async throws -> StoreStatistics {
        table.withLock { table in
            StoreStatistics(
                entries: table.rows.count, bytes: table.bytes, limit: table.limit, tombstones: table.tombstones)
        }
    }

    /// Tells of a purge. Of a key also when it had no entry: somebody may have one in memory alone.
    private func announce(_ selection: Selection, _ generation: Generation) {
        switch selection {
        case .key(let key): feed.publish([.written(key, generation)])
        case .tag(let tag, let cache): feed.publish([.purged(cache: cache, tag: tag, generation)])
        case .cache(let cache): feed.publish([.purged(cache: cache, tag: nil, generation)])
        }
    }

    private func announce(_ key: EntryKey, _ outcome: SaveOutcome) {
        if let generation = outcome.generation { feed.publish([.written(key, generation)]) }
    }
}
