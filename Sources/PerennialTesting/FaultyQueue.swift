public import Perennial

/// A refresh queue that fails or hangs when it is told to, and counts its calls. Otherwise it is the queue it wraps.
public struct FaultyQueue: RefreshQueue {
    public enum Operation: Hashable, Sendable, CaseIterable {
        case enqueue, dequeue, extend, complete, retry, giveBack, bury, jobs, replay, counts, correctTimes
    }

    public let faults = Faults<Operation>()
    private let queue: any RefreshQueue

    public init(_ queue: any RefreshQueue = InMemoryQueue()) {
        self.queue = queue
    }

    public func enqueue(_ job: RefreshJob, notBefore: Timestamp, now: Timestamp) async throws -> Bool {
        try await faults.pass(.enqueue)
        return try await queue.enqueue(job, notBefore: notBefore, now: now)
    }

    public func dequeue(
        caches: [String], limit: Int, worker: String, until: Timestamp, now: Timestamp
    ) async throws -> [Delivery] {
        try await faults.pass(.dequeue)
        return try await queue.dequeue(caches: caches, limit: limit, worker: worker, until: until, now: now)
    }

    public func extend(_ deliveries: [Delivery], until: Timestamp) async throws -> [Delivery] {
        try await faults.pass(.extend)
        return try await queue.extend(deliveries, until: until)
    }

    public func complete(_ deliveries: [Delivery]) async throws {
        try await faults.pass(.complete)
        try await queue.complete(deliveries)
    }

    public func retry(_ delivery: Delivery, at: Timestamp, error: String) async throws {
        try await faults.pass(.retry)
        try await queue.retry(delivery, at: at, error: error)
    }

    public func giveBack(_ delivery: Delivery, at: Timestamp) async throws {
        try await faults.pass(.giveBack)
        try await queue.giveBack(delivery, at: at)
    }

    public func bury(_ delivery: Delivery, error: String, now: Timestamp) async throws {
        try await faults.pass(.bury)
        try await queue.bury(delivery, error: error, now: now)
    }

    public func jobs(state: JobState?, after: JobID?, limit: Int) async throws -> [JobRecord] {
        try await faults.pass(.jobs)
        return try await queue.jobs(state: state, after: after, limit: limit)
    }

    public func replay(_ id: JobID?, now: Timestamp) async throws -> Int {
        try await faults.pass(.replay)
        return try await queue.replay(id, now: now)
    }

    public func counts() async throws -> [JobState: Int] {
        try await faults.pass(.counts)
        return try await queue.counts()
    }

    public func correctTimes(
        caches: [String], queuedAfter: Timestamp, dueAfter: Timestamp, heldAfter: Timestamp, now: Timestamp
    ) async throws -> Int {
        try await faults.pass(.correctTimes)
        return try await queue.correctTimes(
            caches: caches, queuedAfter: queuedAfter, dueAfter: dueAfter, heldAfter: heldAfter, now: now)
    }

    public func waitForJobs(timeout: Duration) async {
        await queue.waitForJobs(timeout: timeout)
    }
}
