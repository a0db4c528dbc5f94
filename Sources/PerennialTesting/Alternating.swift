public import Perennial
import Synchronization

/// Several connections to one shared store, used in turn, so that the conformance suites prove that each sees at once
/// what the others did.
public final class AlternatingStore: Store {
    private let stores: [any Store]
    private let turn = Atomic(0)

    /// - Parameter stores: one or more, on the same data.
    public init(_ stores: [any Store]) {
        self.stores = stores
    }

    private var next: any Store { stores[turn.add(1, ordering: .relaxed).oldValue % stores.count] }

    public func read(_ keys: [EntryKey]) async throws -> [StoreRecord] { try await next.read(keys) }

    public func identity() async throws -> String? { try await next.identity() }

    public func readNow(_ keys: [EntryKey]) -> [StoreRecord]? { next.readNow(keys) }

    public func save(_ entry: StoredEntry, fence: Generation?, releasing: LeaseToken?) async throws -> SaveOutcome {
        try await next.save(entry, fence: fence, releasing: releasing)
    }

    public func confirm(_ metadata: EntryMetadata, fence: Generation?, releasing: LeaseToken?) async throws
        -> SaveOutcome
    {
        try await next.confirm(metadata, fence: fence, releasing: releasing)
    }

    public func lease(
        _ keys: [EntryKey], token: LeaseToken, until: Timestamp, now: Timestamp
    ) async throws -> [LeaseOutcome] {
        try await next.lease(keys, token: token, until: until, now: now)
    }

    public func extendLease(
        _ key: EntryKey, token: LeaseToken, until: Timestamp, now: Timestamp
    ) async throws -> Bool {
        try await next.extendLease(key, token: token, until: until, now: now)
    }

    public func releaseLease(_ key: EntryKey, token: LeaseToken) async throws {
        try await next.releaseLease(key, token: token)
    }

    public func markStale(_ selection: Selection, now: Timestamp) async throws -> Int {
        try await next.markStale(selection, now: now)
    }

    public func remove(_ selection: Selection, now: Timestamp) async throws -> Int {
        try await next.remove(selection, now: now)
    }

    public func list(cache: String?, tag: String?, after: EntryKey?, limit: Int) async throws -> [EntryMetadata] {
        try await next.list(cache: cache, tag: tag, after: after, limit: limit)
    }

    public func touch(_ keys: [EntryKey], now: Timestamp) async throws { try await next.touch(keys, now: now) }

    public func saveHotKeys(_ keys: [String], cache: String) async throws {
        try await next.saveHotKeys(keys, cache: cache)
    }

    public func hotKeys(cache: String, page: Int) async throws -> [String] {
        try await next.hotKeys(cache: cache, page: page)
    }

    public func changes() -> AsyncStream<[StoreChange]> { next.changes() }

    public func maintain(now: Timestamp) async throws -> MaintenanceReport { try await next.maintain(now: now) }

    public func statistics() async throws -> StoreStatistics { try await next.statistics() }
}

/// Several connections to one shared queue, used in turn.
public final class AlternatingQueue: RefreshQueue {
    private let queues: [any RefreshQueue]
    private let turn = Atomic(0)

    /// - Parameter queues: one or more, on the same data.
    public init(_ queues: [any RefreshQueue]) {
        self.queues = queues
    }

    private var next: any RefreshQueue { queues[turn.add(1, ordering: .relaxed).oldValue % queues.count] }

    public func enqueue(_ job: RefreshJob, notBefore: Timestamp, now: Timestamp) async throws -> Bool {
        try await next.enqueue(job, notBefore: notBefore, now: now)
    }

    public func dequeue(
        caches: [String], limit: Int, worker: String, until: Timestamp, now: Timestamp
    ) async throws -> [Delivery] {
        try await next.dequeue(caches: caches, limit: limit, worker: worker, until: until, now: now)
    }

    public func extend(_ deliveries: [Delivery], until: Timestamp) async throws -> [Delivery] {
        try await next.extend(deliveries, until: until)
    }

    public func complete(_ deliveries: [Delivery]) async throws { try await next.complete(deliveries) }

    public func retry(_ delivery: Delivery, at: Timestamp, error: String) async throws {
        try await next.retry(delivery, at: at, error: error)
    }

    public func giveBack(_ delivery: Delivery, at: Timestamp) async throws {
        try await next.giveBack(delivery, at: at)
    }

    public func bury(_ delivery: Delivery, error: String, now: Timestamp) async throws {
        try await next.bury(delivery, error: error, now: now)
    }

    public func jobs(state: JobState?, after: JobID?, limit: Int) async throws -> [JobRecord] {
        try await next.jobs(state: state, after: after, limit: limit)
    }

    public func replay(_ id: JobID?, now: Timestamp) async throws -> Int { try await next.replay(id, now: now) }

    public func correctTimes(
        caches: [String], queuedAfter: Timestamp, dueAfter: Timestamp, heldAfter: Timestamp, now: Timestamp
    ) async throws -> Int {
        try await next.correctTimes(
            caches: caches, queuedAfter: queuedAfter, dueAfter: dueAfter, heldAfter: heldAfter, now: now)
    }

    public func counts() async throws -> [JobState: Int] { try await next.counts() }

    public func waitForJobs(timeout: Duration) async { await next.waitForJobs(timeout: timeout) }
}

/// Several connections to one shared backend, used in turn.
public final class AlternatingBackend: Backend {
    private let backends: [any Backend]
    private let turn = Atomic(0)
    public let store: any Store
    public let queue: any RefreshQueue

    /// - Parameter backends: one or more, on the same data.
    public init(_ backends: [any Backend]) {
        self.backends = backends
        store = AlternatingStore(backends.map(\.store))
        queue = AlternatingQueue(backends.map(\.queue))
    }

    public func claimRefresh(_ job: RefreshJob, leaseUntil: Timestamp, now: Timestamp) async throws -> ClaimOutcome {
        let next = backends[turn.add(1, ordering: .relaxed).oldValue % backends.count]
        return try await next.claimRefresh(job, leaseUntil: leaseUntil, now: now)
    }
}
