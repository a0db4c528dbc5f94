/// Where entries live, and the leases on their keys.
///
/// A store may hold the entries of several caches and be used by several processes at once. Every method is atomic.
/// Times come from the caller: a store never reads a clock to decide something. Any method may throw when the store
/// can't be reached; the engine then goes on without it. ``NotStorable`` is about one key alone: for all others the
/// store is used as before.
///
/// A store with a size limit looks at it whenever it is written to, and removes the least recently used entries. What
/// it remembers of purges and removals counts, and is bounded, too: when there were too many, it refuses to save what
/// work of long ago brings.
///
/// `PerennialTesting` has the conformance suite that a store must pass.
public protocol Store: Sendable {
    /// Reads entries and, for each key, the fence to save behind.
    /// - Returns: one record a key, in the order of `keys`.
    func read(_ keys: [EntryKey]) async throws -> [StoreRecord]

    /// As ``read(_:)``, but now and on the calling thread, which may be an event loop's: for a store whose entries are
    /// so near that a task would cost more than reading them.
    /// - Returns: `nil`: not now, for whatever reason; use ``read(_:)``. Default: always `nil`.
    func readNow(_ keys: [EntryKey]) -> [StoreRecord]?

    /// Saves an entry, its bytes included.
    ///
    /// The store sets `generation` and `size`. A lease named by `releasing` ends in the same step. An entry that is
    /// larger than seven eighths of the store's limit, or than the engine can keep, counts as saved and removed at once
    /// (``SaveOutcome/notKept(_:)``): nothing else makes room for it.
    /// - Parameters:
    ///   - fence: from the ``StoreRecord`` that the work began with. If the key was written (saved, set, expired,
    ///     removed) or one of the entry's tags was expired or removed since, nothing is saved and the lease still ends.
    ///     `nil` saves always.
    ///   - releasing: the token of the lease that the work was done under.
    func save(_ entry: StoredEntry, fence: Generation?, releasing: LeaseToken?) async throws -> SaveOutcome

    /// Saves an entry's metadata and keeps the bytes that are there: the origin answered "not modified".
    ///
    /// As ``save(_:fence:releasing:)`` otherwise; also superseded when the entry is no longer there.
    /// `savedAt`, `isAbsent` and `format` stay as they were in the store.
    func confirm(_ metadata: EntryMetadata, fence: Generation?, releasing: LeaseToken?) async throws -> SaveOutcome

    /// Takes the lease on each key that nobody holds at `now`, and reads the entries in the same step.
    ///
    /// A lease is the right to ask the origin for one key until `until`. It also may be taken again by the same token.
    /// - Returns: one outcome a key, in the order of `keys`.
    func lease(_ keys: [EntryKey], token: LeaseToken, until: Timestamp, now: Timestamp) async throws -> [LeaseOutcome]

    /// Makes a lease last until `until`, whether longer or shorter than before.
    /// Succeeds while `token` holds it, and also when it has ended and nobody else has taken it.
    /// - Returns: whether `token` holds the lease now.
    func extendLease(_ key: EntryKey, token: LeaseToken, until: Timestamp, now: Timestamp) async throws -> Bool

    /// Ends the lease if `token` holds it.
    func releaseLease(_ key: EntryKey, token: LeaseToken) async throws

    /// Marks entries stale as of `now` (soft purge). Work that began before will not save over this.
    /// - Returns: how many entries were marked.
    func markStale(_ selection: Selection, now: Timestamp) async throws -> Int

    /// Deletes entries (hard purge) and ends the leases on their keys. Work that began before will not save over this,
    /// also for a key that had no entry.
    /// - Returns: how many entries were deleted.
    func remove(_ selection: Selection, now: Timestamp) async throws -> Int

    /// Metadata in the order of cache and key, without the bytes.
    /// - Parameters:
    ///   - cache: only this cache's; `nil`: all caches'.
    ///   - tag: only those with this tag.
    ///   - after: begins behind this key; `nil`: at the start.
    ///   - limit: at most this many.
    func list(cache: String?, tag: String?, after: EntryKey?, limit: Int) async throws -> [EntryMetadata]

    /// Notes that entries were read at `now`, so that they are not the first to go when the store is full.
    func touch(_ keys: [EntryKey], now: Timestamp) async throws

    /// Keeps which keys of a cache are hot, so that a process that starts can begin with them. Default: keeps nothing.
    /// - Parameter keys: the hottest first. They take the place of those kept before, also another process's.
    func saveHotKeys(_ keys: [String], cache: String) async throws

    /// The keys of the last ``saveHotKeys(_:cache:)``, the hottest first, whether or not they still have entries.
    /// - Parameter page: counts from 0; some thousands of keys each.
    /// - Returns: none: there are no more.
    func hotKeys(cache: String, page: Int) async throws -> [String]

    /// What was written to this store by any process from now on. Each call begins a stream of its own, which ends
    /// when the store closes or its consumer is cancelled. It may repeat a change and may name this process's own.
    func changes() -> AsyncStream<[StoreChange]>

    /// The janitor: removes what is dead (``EntryMetadata/deadAt``), then, while the store is over its limit, the least
    /// recently used. Does a bounded amount of work a call.
    func maintain(now: Timestamp) async throws -> MaintenanceReport

    /// How much is in the store.
    func statistics() async throws -> StoreStatistics

    /// Names this store, without `/`: the same for all processes that use it, and no other store's. A store that has
    /// lost all it had may have another name. So a worker knows jobs about another store, where a queue is shared.
    /// Default: `nil`, the store does not say.
    func identity() async throws -> String?
}

extension Store {
    public func readNow(_ keys: [EntryKey]) -> [StoreRecord]? { nil }
    public func saveHotKeys(_ keys: [String], cache: String) async throws {}
    public func hotKeys(cache: String, page: Int) async throws -> [String] { [] }
    public func identity() async throws -> String? { nil }
}

/// What a store knows about a key.
public struct StoreRecord: Hashable, Sendable {
    /// The entry, or `nil` when the key is missing.
    public var entry: StoredEntry?
    /// Where the store stood when this was read; hand it back when saving.
    public var fence: Generation

    public init(entry: StoredEntry?, fence: Generation) {
        self.entry = entry
        self.fence = fence
    }
}

/// The outcome of a save.
public enum SaveOutcome: Hashable, Sendable {
    /// Saved as this generation.
    case saved(Generation)
    /// The key was written since the fence; nothing was saved.
    case superseded
    /// The store can't keep such an entry, which is too large for it. It counts as saved, as this generation, and
    /// removed at once; the one before is gone.
    case notKept(Generation)

    /// The generation of what was written; `nil`: nothing was.
    public var generation: Generation? {
        switch self {
        case .saved(let generation), .notKept(let generation): generation
        case .superseded: nil
        }
    }
}

/// Names the holder of a lease: random, unique to one piece of work.
public typealias LeaseToken = String

/// The outcome of asking for a lease.
public enum LeaseOutcome: Hashable, Sendable {
    /// The lease is the caller's; the record is what the store had at that moment.
    case granted(StoreRecord)
    /// Somebody else holds it, at most until then.
    case held(until: Timestamp, StoreRecord)

    /// What the store had at that moment.
    public var record: StoreRecord {
        switch self {
        case .granted(let record), .held(_, let record): record
        }
    }
}

/// Which entries to mark stale or remove.
public enum Selection: Hashable, Sendable {
    case key(EntryKey)
    /// Every entry of `cache` that carries the tag.
    case tag(String, cache: String)
    /// Every entry of a cache.
    case cache(String)
}

/// One line of a store's change feed.
public enum StoreChange: Hashable, Sendable {
    /// The entry was saved, confirmed, marked stale or removed.
    case written(EntryKey, Generation)
    /// Every older entry of the cache that carries the tag (`nil`: every one) was marked stale or removed, also one that
    /// somebody has in memory alone, or saves at the same time.
    case purged(cache: String, tag: String?, Generation)
    /// Changes may have been missed: trust nothing that was read before.
    case missed
}

/// What one run of the janitor did.
public struct MaintenanceReport: Hashable, Sendable {
    /// Entries past `staleIfError` that were removed.
    public var dead: Int
    /// Usable entries that were removed to get below the size limit.
    public var evicted: Int
    /// Whether there is more to do at once.
    public var isUnfinished: Bool

    public init(dead: Int = 0, evicted: Int = 0, isUnfinished: Bool = false) {
        self.dead = dead
        self.evicted = evicted
        self.isUnfinished = isUnfinished
    }
}

/// How much is in a store.
public struct StoreStatistics: Hashable, Sendable, Codable {
    public var entries: Int
    /// Bytes that count against the limit: those of the entries and those of the tombstones.
    public var bytes: Int
    /// The size limit in bytes; `nil`: none.
    public var limit: Int?
    /// How many removals, purges and evictions are remembered one by one, to keep older work from saving; `nil`: the
    /// store does not say.
    public var tombstones: Int?
    /// Bytes that the store takes on a disk of this machine, its logs included; `nil`: the store does not say.
    public var diskBytes: Int?

    public init(entries: Int, bytes: Int, limit: Int? = nil, tombstones: Int? = nil, diskBytes: Int? = nil) {
        self.entries = entries
        self.bytes = bytes
        self.limit = limit
        self.tombstones = tombstones
        self.diskBytes = diskBytes
    }
}
