/// Where refresh jobs live until a worker has done them: durable, at most one job a key.
///
/// A delivered job belongs to its worker for a limited time, which the worker extends while it works (the heartbeat).
/// When that time passes, the job is delivered again. Times come from the caller. Any method may throw when the queue
/// can't be reached.
///
/// `PerennialTesting` has the conformance suite that a queue must pass.
public protocol RefreshQueue: Sendable {
    /// Adds a job, to be delivered from `notBefore` on.
    ///
    /// A dead letter for the same key is replaced.
    /// - Returns: `false`, and nothing changes, when a job for this key is already queued or running.
    func enqueue(_ job: RefreshJob, notBefore: Timestamp, now: Timestamp) async throws -> Bool

    /// Takes jobs that are due at `now`, those due longest first, and those whose worker's time has passed.
    /// - Parameters:
    ///   - caches: only jobs of these caches.
    ///   - limit: at most this many.
    ///   - worker: the taker's name, for people who look at the queue.
    ///   - until: the jobs belong to this worker until then.
    func dequeue(caches: [String], limit: Int, worker: String, until: Timestamp, now: Timestamp) async throws
        -> [Delivery]

    /// The heartbeat: makes deliveries belong to their worker until `until`.
    /// - Returns: those that still do; the others were delivered to somebody else meanwhile, or are done.
    func extend(_ deliveries: [Delivery], until: Timestamp) async throws -> [Delivery]

    /// The job is done: deletes it, if the delivery is still the current one.
    func complete(_ deliveries: [Delivery]) async throws

    /// The attempt failed: the job is delivered again from `at` on, as its next attempt, if the delivery is still the
    /// current one.
    func retry(_ delivery: Delivery, at: Timestamp, error: String) async throws

    /// The job was not attempted: delivered again from `at` on, as the same attempt, if the delivery is still the
    /// current one.
    func giveBack(_ delivery: Delivery, at: Timestamp) async throws

    /// The last attempt failed: keeps the job as a dead letter, if the delivery is still the current one.
    func bury(_ delivery: Delivery, error: String, now: Timestamp) async throws

    /// Jobs in the order of their ids.
    /// - Parameters:
    ///   - state: only those in this state; `nil`: all.
    ///   - after: begins behind this id; `nil`: at the start.
    func jobs(state: JobState?, after: JobID?, limit: Int) async throws -> [JobRecord]

    /// Queues a dead letter again, due at once, as a first attempt; `nil`: all dead letters.
    /// - Returns: how many were queued.
    func replay(_ id: JobID?, now: Timestamp) async throws -> Int

    /// How many jobs there are in each state.
    func counts() async throws -> [JobState: Int]

    /// Puts right what a clock has left behind that was ahead of `now`, in these caches' jobs: one that waits, and was
    /// queued after `queuedAfter` or is due after `dueAfter`, counts as queued and is due at `now`; one that belongs to
    /// a worker beyond `heldAfter` does so until then. May look at the thousands farthest ahead only.
    /// - Returns: how many were changed.
    func correctTimes(
        caches: [String], queuedAfter: Timestamp, dueAfter: Timestamp, heldAfter: Timestamp, now: Timestamp
    ) async throws -> Int

    /// Returns when a job may have become due or was added, by any process, or after `timeout`; at once when the task
    /// is cancelled.
    func waitForJobs(timeout: Duration) async
}

/// Names a job within its queue.
public typealias JobID = String

/// An order to refresh one key. Carries no credentials.
public struct RefreshJob: Hashable, Sendable, Codable {
    public var key: EntryKey
    /// The generation of the entry that was found stale. If the store has a newer one when the job runs, nobody is
    /// asked.
    public var generation: Generation
    /// The lease that was won by queueing this job; the worker works under it.
    public var leaseToken: LeaseToken
    public var queuedAt: Timestamp

    public init(key: EntryKey, generation: Generation, leaseToken: LeaseToken, queuedAt: Timestamp) {
        self.key = key
        self.generation = generation
        self.leaseToken = leaseToken
        self.queuedAt = queuedAt
    }
}

/// A job in a worker's hands.
public struct Delivery: Hashable, Sendable, Identifiable {
    public let id: JobID
    public let job: RefreshJob
    /// 1 for the first attempt.
    public let attempt: Int
    /// Unique to this delivery of the job: what tells the current worker from one that was given up.
    public let receipt: String
    /// Whether an earlier worker had this attempt and vanished.
    public let isRedelivery: Bool

    public init(id: JobID, job: RefreshJob, attempt: Int, receipt: String, isRedelivery: Bool) {
        self.id = id
        self.job = job
        self.attempt = attempt
        self.receipt = receipt
        self.isRedelivery = isRedelivery
    }
}

/// Where a job is in its life.
public enum JobState: String, Sendable, Hashable, Codable, CaseIterable {
    /// Waiting to be taken, now or at a later time.
    case queued
    /// In a worker's hands.
    case running
    /// All attempts failed; kept to be looked at and replayed.
    case dead
}

/// A job as people see it.
public struct JobRecord: Hashable, Sendable, Codable, Identifiable {
    public var id: JobID
    public var key: EntryKey
    public var state: JobState
    /// How many attempts have failed.
    public var failures: Int
    public var queuedAt: Timestamp
    /// Queued: due from then on. Running: belongs to the worker until then. Dead: when it was buried.
    public var at: Timestamp
    /// What the last failed attempt said.
    public var error: String?
    /// Who is working on it.
    public var worker: String?

    public init(
        id: JobID, key: EntryKey, state: JobState, failures: Int, queuedAt: Timestamp, at: Timestamp,
        error: String? = nil, worker: String? = nil
    ) {
        self.id = id
        self.key = key
        self.state = state
        self.failures = failures
        self.queuedAt = queuedAt
        self.at = at
        self.error = error
        self.worker = worker
    }
}
