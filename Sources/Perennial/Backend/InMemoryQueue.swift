import Synchronization

/// A refresh queue in this process's memory, gone with it: the reference for every other queue, and the one for tests.
public final class InMemoryQueue: RefreshQueue {
    private let table = Mutex(JobTable())
    private let bell = Doorbell()
    private let time: any TimeSource

    /// - Parameter time: what ``waitForJobs(timeout:)`` waits on.
    public init(time: any TimeSource = SystemTime()) {
        self.time = time
    }

    public func enqueue(_ job: RefreshJob, notBefore: Timestamp, now: Timestamp) async throws -> Bool {
        let isNew = table.withLock { $0.enqueue(job, notBefore: notBefore) }
        if isNew { bell.ring() }
        return isNew
    }

    public func dequeue(
        caches: [String], limit: Int, worker: String, until: Timestamp, now: Timestamp
    ) async throws -> [Delivery] {
        let rings = bell.rings
        return table.withLock { table in
            table.seenRings = rings
            return table.dequeue(caches: Set(caches), limit: limit, worker: worker, until: until, now: now)
        }
    }

    public func extend(_ deliveries: [Delivery], until: Timestamp) async throws -> [Delivery] {
        table.withLock { table in
            deliveries.filter { delivery in table.update(delivery) { $0.at = until } }
        }
    }

    public func complete(_ deliveries: [Delivery]) async throws {
        table.withLock { table in
            for delivery in deliveries { table.complete(delivery) }
        }
    }

    public func retry(_ delivery: Delivery, at: Timestamp, error: String) async throws {
        putBack(delivery) { item in
            item.fail(error)
            item.state = .queued
            item.at = at
        }
    }

    public func giveBack(_ delivery: Delivery, at: Timestamp) async throws {
        putBack(delivery) { item in
            item.state = .queued
            item.at = at
        }
    }

    public func bury(_ delivery: Delivery, error: String, now: Timestamp) async throws {
        putBack(delivery) { item in
            item.fail(error)
            item.state = .dead
            item.at = now
        }
    }

    public func jobs(state: JobState?, after: JobID?, limit: Int) async throws -> [JobRecord] {
        table.withLock { $0.jobs(state: state, after: after.flatMap(Int.init) ?? 0, limit: limit) }
    }

    public func replay(_ id: JobID?, now: Timestamp) async throws -> Int {
        let count = table.withLock { $0.replay(id, now: now) }
        if count > 0 { bell.ring() }
        return count
    }

    public func counts() async throws -> [JobState: Int] {
        table.withLock { $0.counts() }
    }

    public func correctTimes(
        caches: [String], queuedAfter: Timestamp, dueAfter: Timestamp, heldAfter: Timestamp, now: Timestamp
    ) async throws -> Int {
        let count = table.withLock { table in
            table.change { item in
                guard caches.contains(item.job.key.cache) else { return false }
                switch item.state {
                case .queued where item.job.queuedAt > queuedAfter || item.at > dueAfter:
                    item.job.queuedAt = min(item.job.queuedAt, now)
                    item.at = now
                case .running where item.at > heldAfter: item.at = heldAfter
                default: return false
                }
                return true
            }
        }
        if count > 0 { bell.ring() }
        return count
    }

    public func waitForJobs(timeout: Duration) async {
        let now = time.now
        let (seen, due) = table.withLock { table in
            defer { table.seenRings = bell.rings }
            return (table.seenRings, table.nextDue(after: now))
        }
        await bell.wait(after: seen, timeout: min(timeout, due.map { $0 - now } ?? timeout), time: time)
    }

    private func putBack(_ delivery: Delivery, _ change: (inout JobTable.Item) -> Void) {
        let isCurrent = table.withLock { table in
            table.update(delivery) { item in
                change(&item)
                item.receipt = nil
                item.worker = nil
            }
        }
        if isCurrent { bell.ring() }
    }
}

/// The contents of an ``InMemoryQueue`` and the rules for changing them.
private struct JobTable {
    struct Item {
        let id: Int
        var job: RefreshJob
        var state = JobState.queued
        var at: Timestamp
        var failures = 0
        /// A worker had the present attempt and vanished.
        var wasLost = false
        var receipt: String?
        var worker: String?
        var error: String?

        mutating func fail(_ error: String) {
            failures += 1
            wasLost = false
            self.error = error
        }
    }

    /// How often the bell had rung when somebody last looked for jobs.
    var seenRings = 0
    private var items: [EntryKey: Item] = [:]
    private var lastID = 0
    private var lastReceipt = 0

    mutating func enqueue(_ job: RefreshJob, notBefore: Timestamp) -> Bool {
        if let item = items[job.key], item.state != .dead { return false }
        lastID += 1
        items[job.key] = Item(id: lastID, job: job, at: notBefore)
        return true
    }

    mutating func dequeue(
        caches: Set<String>, limit: Int, worker: String, until: Timestamp, now: Timestamp
    ) -> [Delivery] {
        let due = items.values
            .filter { $0.state != .dead && $0.at <= now && caches.contains($0.job.key.cache) }
            .sorted { ($0.at, $0.id) < ($1.at, $1.id) }
        return due.prefix(max(0, limit)).map { found in
            var item = found
            lastReceipt += 1
            item.wasLost = item.wasLost || item.state == .running
            item.state = .running
            item.at = until
            item.worker = worker
            item.receipt = String(lastReceipt)
            items[item.job.key] = item
            return Delivery(
                id: String(item.id), job: item.job, attempt: item.failures + 1, receipt: String(lastReceipt),
                isRedelivery: item.wasLost)
        }
    }

    /// - Returns: whether the delivery was the current one; else nothing changed.
    mutating func update(_ delivery: Delivery, _ change: (inout Item) -> Void) -> Bool {
        guard items[delivery.job.key]?.receipt == delivery.receipt else { return false }
        change(&items[delivery.job.key]!)
        return true
    }

    /// - Parameter body: changes a job, and says whether it did.
    /// - Returns: how many were changed.
    mutating func change(_ body: (inout Item) -> Bool) -> Int {
        var count = 0
        for (key, var item) in items where body(&item) {
            items[key] = item
            count += 1
        }
        return count
    }

    mutating func complete(_ delivery: Delivery) {
        if items[delivery.job.key]?.receipt == delivery.receipt { items[delivery.job.key] = nil }
    }

    mutating func replay(_ id: JobID?, now: Timestamp) -> Int {
        let dead = items.values.filter { $0.state == .dead && (id == nil || id == String($0.id)) }
        for var item in dead {
            item.state = .queued
            item.at = now
            item.failures = 0
            item.error = nil
            items[item.job.key] = item
        }
        return dead.count
    }

    func jobs(state: JobState?, after: Int, limit: Int) -> [JobRecord] {
        items.values.filter { $0.id > after && (state == nil || $0.state == state) }
            .sorted { $0.id < $1.id }
            .prefix(max(0, limit))
            .map { item in
                JobRecord(
                    id: String(item.id), key: item.job.key, state: item.state, failures: item.failures,
                    queuedAt: item.job.queuedAt, at: item.at, error: item.error, worker: item.worker)
            }
    }

    func counts() -> [JobState: Int] {
        items.values.reduce(into: [:]) { $0[$1.state, default: 0] += 1 }
    }

    func nextDue(after now: Timestamp) -> Timestamp? {
        items.values.lazy.filter { $0.state != .dead && $0.at > now }.map(\.at).min()
    }
}
