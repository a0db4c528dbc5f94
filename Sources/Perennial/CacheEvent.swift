/// Something that happened in a cache. Given to the cache's observer, on the caller's thread: an observer must be
/// quick.
public enum CacheEvent: Sendable {
    /// A reader was served from the memory tier or the store, at once.
    case hit(key: String, State)
    /// A reader found nothing that could be served at once.
    case miss(key: String, State)
    /// The origin answered while a reader waited.
    case fetched(key: String, FetchReason)
    /// The origin failed while a reader waited.
    case fetchFailed(key: String, any Error)
    /// A refresh was queued by a reader of this process.
    case refreshQueued(key: String)
    /// A refresh was done; `asked`: the origin was asked, `false`: somebody else had brought a newer value already.
    case refreshed(key: String, asked: Bool)
    /// A refresh failed. `retryAt`: when it is tried again; `nil`: it is a dead letter now.
    case refreshFailed(key: String, attempt: Int, any Error, retryAt: Timestamp?)
    /// What a fetch or refresh brought was not kept, because the key was written meanwhile.
    case superseded(key: String)
    /// Stored bytes could not be decoded; the entry counts as missing.
    case undecodable(key: String, any Error)
    /// A request of this cache made its origin guard leave something alone, or ask it again.
    case origin(OriginGuard.Change)
}

/// What a cache has done since it was made.
public struct CacheStatistics: Sendable, Hashable {
    /// Reads served by the memory tier, stale ones included.
    public var memoryHits = 0
    /// Reads that the memory tier had nothing for.
    public var memoryMisses = 0
    /// Reads served with a stale value.
    public var staleHits = 0
    /// Reads served from the store.
    public var storeHits = 0
    /// Reads of an expired key served with the old value because the origin failed or was slow.
    public var staleOnError = 0
    /// Reads that joined another reader's fetch.
    public var collapsed = 0
    /// Questions to the origin while a reader waited.
    public var fetches = 0
    /// Those that failed.
    public var fetchFailures = 0
    /// Refreshes queued by readers of this process.
    public var refreshesQueued = 0
    /// Refreshes done by this process, those included that found a newer value.
    public var refreshes = 0
    /// Refreshes that found a newer value and asked nobody.
    public var refreshesAdopted = 0
    /// Attempts at a refresh that failed.
    public var refreshFailures = 0
    /// Refreshes that became dead letters.
    public var deadLetters = 0
    /// Jobs about another store than this cache's, which were left to others.
    public var jobsOfOtherStores = 0
    /// Results not kept because the key was written meanwhile.
    public var superseded = 0
    /// Stored entries that could not be decoded.
    public var undecodable = 0
    /// Entries that the store can't keep: too large for it, or with a key that it can't have. They live in the memory
    /// tier.
    public var notKept = 0
    /// Times that an entry was read which was confirmed by a clock ahead of this machine's; it counts as stale.
    public var confirmedAhead = 0
    /// Calls to the store or queue that failed.
    public var backendFailures = 0
    /// Entries in the memory tier.
    public var memoryCount = 0
    /// Bytes in the memory tier.
    public var memoryBytes = 0
    /// Entries that made room for others in the memory tier.
    public var memoryEvictions = 0

    public init() {}
}

/// Whether a cache can reach what it needs.
public struct CacheHealth: Sendable, Hashable {
    /// Why the store can't be read, if it can't.
    public var storeReads: String?
    /// Why the store can't be written, if it can't.
    public var storeWrites: String?
    /// Why the queue can't be reached, if it can't.
    public var queue: String?
    /// What the origin guard is doing.
    public var origin: OriginGuard.Status

    /// Whether store and queue work.
    public var isComplete: Bool { storeReads == nil && storeWrites == nil && queue == nil }
}
