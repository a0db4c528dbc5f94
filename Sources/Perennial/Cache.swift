public import Logging
internal import Synchronization

/// A persistent cache that refreshes itself in the background.
///
/// The first read of a key asks the origin and saves; every later read is answered at once from what was saved; a read
/// that finds it stale queues a refresh and goes on. Only what has expired is fetched again before answering.
///
/// ```swift
/// let tweeters = try Cache<String, Tweeter>(
///     "tweeters",
///     policy: .init(refreshAfter: .hours(1), expireAfter: .days(7)),
///     backend: SQLiteBackend(path: "cache.sqlite")
/// ) { username, fetch in
///     try await twitter.user(named: username)
/// }
/// let tweeter = try await tweeters["peterbe"]
/// ```
///
/// Keys are stored as their `description` and read back by `init?(_: String)`: `String`, the integers and `UUID` are
/// ready for it; conform types of your own to `LosslessStringConvertible`.
public final class Cache<Key: Hashable & Sendable & LosslessStringConvertible, Value: Sendable>: Sendable {
    /// Its name, which its entries and jobs carry in the backend.
    public let name: String
    public let policy: Policy

    @usableFromInline let memory: MemoryTier<Key, Entry<Value>>
    @usableFromInline let time: any TimeSource
    @usableFromInline let observer: (@Sendable (CacheEvent) -> Void)?

    let backend: any Backend
    let codec: Codec<Value>
    private let detailsOfValue: EntryDetails<Value>?
    let migrate: Migrate<Value>?
    let origin: OriginGuard
    let termsOfKey: (@Sendable (Key) -> OriginTerms)?
    let limitsOfEntry: LimitsHook<Key, Value>?
    let random: any Randomness
    let logger: Logger
    let fetch: Fetch<Key, Value>
    let batch: BatchFetch<Key, Value>?

    let flights = Flights<Key, Value>()
    let leases: LeaseKeeper
    let owedPurges: OwedPurges
    let unsaved = UnsavedEntries()
    let newestGeneration = Atomic<Int64>(0)
    /// As far as it is known.
    let storeName = Locked(StoreName())
    let storeReads: Reachability
    let storeWrites: Reachability
    let queueCalls: Reachability
    /// The refreshes that this process does without the queue.
    let refreshesHere: Places
    let counters = Locked(CacheStatistics())
    let lastUndecodable = Locked<(String, Generation)?>(nil)
    let background = Locked(Background())

    /// What runs behind: ends with the cache.
    struct Background {
        var tasks: [Task<Void, Never>] = []
        var worker: RefreshWorker?
        var isOver = false
    }

    /// - Parameters:
    ///   - name: unique among the caches of a backend.
    ///   - policy: limits, time-outs, retries. Default: refresh after 1 hour, expire after 7 days.
    ///   - backend: where entries and refresh jobs are kept. Default: in memory, gone with the process.
    ///   - codec: how values become bytes.
    ///   - migrate: rescues stored bytes which the codec does not read.
    ///   - memory: the size of the memory tier. Default: 64 MiB.
    ///   - origin: limits on asking the origin; share one between caches of one origin.
    ///   - terms: how the origin is asked for a key, where keys differ in that. Default: `policy` and `origin` for all.
    ///   - limits: what limits entries have now, given those that they were saved with; see ``LimitsHook``. Default:
    ///     those that they were saved with.
    ///   - workers: how many refreshes this process does at a time; 0: other processes do them. Default: 2. While the
    ///     queue can't be reached, it does as many, and at least 4.
    ///   - time: the clock.
    ///   - random: for jitter and lease tokens.
    ///   - logger: default: none.
    ///   - observer: is told what happens; must be quick.
    ///   - batch: asks for several keys at once; used by ``values(for:)``.
    ///   - fetch: asks the origin for one key.
    public init(
        _ name: String,
        policy: Policy = .standard,
        backend: any Backend = InMemoryBackend(),
        codec: Codec<Value>,
        migrate: Migrate<Value>? = nil,
        memory: MemoryLimits = .standard,
        origin: OriginGuard = OriginGuard(),
        terms: (@Sendable (Key) -> OriginTerms)? = nil,
        limits: LimitsHook<Key, Value>? = nil,
        workers: Int = 2,
        time: any TimeSource = SystemTime(),
        random: any Randomness = SystemRandomness(),
        logger: Logger? = nil,
        observer: (@Sendable (CacheEvent) -> Void)? = nil,
        batch: BatchFetch<Key, Value>? = nil,
        answering fetch: @escaping Fetch<Key, Value>
    ) {
        var logger = logger ?? .silent
        logger[metadataKey: "cache"] = "\(name)"
        self.name = name
        self.policy = policy
        self.backend = backend
        self.codec = codec
        detailsOfValue = codec.validator.map(EntryDetails.init)
        self.migrate = migrate
        self.memory = MemoryTier(maximumBytes: memory.bytes, maximumCount: memory.count, seed: random.next())
        self.origin = origin
        termsOfKey = terms
        limitsOfEntry = limits
        self.time = time
        self.random = random
        self.logger = logger
        self.observer = observer
        self.batch = batch
        self.fetch = fetch
        owedPurges = OwedPurges(cache: name)
        leases = LeaseKeeper(store: backend.store, leaseTime: policy.leaseTime, time: time)
        storeReads = Reachability("reading the store", time: time, logger: logger)
        storeWrites = Reachability("writing the store", time: time, logger: logger)
        queueCalls = Reachability("the refresh queue", time: time, logger: logger)
        refreshesHere = Places(max(workers, 4))
        startBackground(workers: workers)
    }

    deinit {
        background.withLock { background in
            for task in background.tasks { task.cancel() }
        }
    }

    /// The value: from memory, the store or the origin.
    /// - Throws: ``Absent`` when the origin says that there is no such thing; what the fetch threw when there is
    ///   nothing to serve; ``FetchTimeout``; ``OriginUnavailable``; `CancellationError`.
    @inlinable
    public func value(for key: Key) async throws -> Value {
        guard let value = try await self[key] else { throw absent(key) }
        return value
    }

    /// The value, or `nil` when the origin says that there is no such thing. Throws as ``value(for:)`` otherwise.
    @inlinable
    public subscript(key: Key) -> Value? {
        get async throws {
            let now = time.now
            // A fresh value is copied where it lies: nothing else of the entry is wanted.
            let found = memory.withElement(for: key) { entry -> InMemory in
                entry.pointee.freshness.isFresh(at: now) ? .fresh(entry.pointee.value) : .aged(entry.pointee)
            }
            switch found {
            case .fresh(let value):
                if let observer { observer(.hit(key: key.description, .fresh)) }
                return value
            case .aged(let entry):
                if let answer = lookupStale(key, entry, now) { return answer.value }
            case nil:
                break
            }
            return try await lookupBeyondMemory(key, fetch: nil).value
        }
    }

    /// What the memory tier has of a key.
    @usableFromInline
    enum InMemory {
        case fresh(Value?)
        case aged(Entry<Value>)
    }

    /// The value and everything known about it. Throws as ``value(for:)``, but for ``Absent``.
    @inlinable
    public func lookup(_ key: Key) async throws -> Answer<Value> {
        if let answer = lookupInMemory(key) { return answer }
        return try await lookupBeyondMemory(key, fetch: nil)
    }

    /// As ``lookup(_:)``, with this reader's own way to ask the origin, should this call be the one that asks. A
    /// refresh later uses the cache's own.
    @inlinable
    public func lookup(_ key: Key, answering fetch: @escaping Fetch<Key, Value>) async throws -> Answer<Value> {
        if let answer = lookupInMemory(key) { return answer }
        return try await lookupBeyondMemory(key, fetch: fetch)
    }

    /// What can be answered from the memory tier at once: a fresh value; a stale one, whose refresh is then queued
    /// behind; an expired one that is usable on error, while the origin is known to be failing. `nil`: use
    /// ``lookup(_:)``.
    ///
    /// Synchronous, and a fresh hit does not allocate.
    @inlinable
    public func lookupInMemory(_ key: Key) -> Answer<Value>? {
        guard let entry = memory.value(for: key) else { return nil }
        let now = time.now
        guard entry.freshness.isFresh(at: now) else { return lookupStale(key, entry, now) }
        if let observer { observer(.hit(key: key.description, .fresh)) }
        return Answer(entry, state: .fresh, source: .memory, at: now)
    }

    /// What the memory tier has, in whatever state, without any effect.
    @inlinable
    public func peek(_ key: Key) -> Answer<Value>? {
        guard let entry = memory.peek(key) else { return nil }
        let now = time.now
        return Answer(
            entry, state: entry.freshness.state(at: now), source: .memory,
            isRefreshing: entry.isClaimed(at: time.steady),
            at: now)
    }

    /// What the cache has done so far.
    public var statistics: CacheStatistics {
        var statistics = counters.withLock { $0 }
        let memory = memory.statistics
        statistics.memoryHits = memory.hits
        statistics.memoryMisses = memory.misses
        statistics.memoryCount = memory.count
        statistics.memoryBytes = memory.bytes
        statistics.memoryEvictions = memory.evictions
        statistics.notKept += storeReads.refusals + storeWrites.refusals
        statistics.backendFailures = storeReads.failures + storeWrites.failures + queueCalls.failures
        return statistics
    }

    /// Whether store and queue can be reached, and what the origin guard is doing.
    public var health: CacheHealth {
        CacheHealth(
            storeReads: storeReads.failure, storeWrites: storeWrites.failure, queue: queueCalls.failure,
            origin: origin.status)
    }

    @usableFromInline
    func absent(_ key: Key) -> Absent { Absent(key: entryKey(key)) }

    /// How the origin is asked for a key.
    func terms(of key: Key) -> OriginTerms { termsOfKey?(key) ?? OriginTerms(policy: policy, origin: origin) }

    func entryKey(_ key: Key) -> EntryKey { EntryKey(cache: name, key: key.description) }

    /// An entry for the memory tier, with the limits that it has now.
    func makeEntry(_ value: Value?, _ metadata: EntryMetadata) -> Entry<Value> {
        var metadata = metadata
        if let limitsOfEntry, let key = Key(metadata.key.key) {
            metadata.limits = limitsOfEntry(key, value, metadata.limits)
        }
        return Entry(value: value, metadata: metadata, ofValue: detailsOfValue)
    }

    func count(_ change: (inout CacheStatistics) -> Void) {
        counters.withLock { change(&$0) }
    }

    /// Counts something that is said once, and then only counted.
    /// - Returns: whether it is the first.
    func countsFirst(_ counter: WritableKeyPath<CacheStatistics, Int>) -> Bool {
        counters.withLock { counters in
            counters[keyPath: counter] += 1
            return counters[keyPath: counter] == 1
        }
    }

    /// The store can't keep an entry.
    func noteNotKept(_ metadata: EntryMetadata) {
        guard countsFirst(\.notKept) else { return }
        logger.warning(
            "an entry is too large for the store and lives in memory only; more will only be counted",
            metadata: ["key": "\(metadata.key.key)", "bytes": "\(metadata.size)"])
    }
}

/// The size of a memory tier.
public struct MemoryLimits: Sendable, Hashable {
    /// Bytes of encoded values, keys and their overhead.
    public var bytes: Int
    /// Entries; `nil`: any number.
    public var count: Int?

    public init(bytes: Int, count: Int? = nil) {
        self.bytes = bytes
        self.count = count
    }

    /// 64 MiB, any number of entries.
    public static let standard = MemoryLimits(bytes: 64 << 20)
}

/// How a cache asks the origin for one key, for caches whose keys come from several origins.
public struct OriginTerms: Sendable {
    /// Limits, time-outs, retries. The length of leases is the same for all keys of a cache: the cache's own.
    public var policy: Policy
    /// Limits on asking this key's origin.
    public var origin: OriginGuard
    /// What several keys are one of at the origin, for example a path whose query differs: when the origin as a whole
    /// is judged, failures of one endpoint count as one. Default: `nil`, each key by itself.
    public var endpoint: String?

    public init(policy: Policy = .standard, origin: OriginGuard, endpoint: String? = nil) {
        self.policy = policy
        self.origin = origin
        self.endpoint = endpoint
    }
}
