/// A store for the entries and a queue for the refreshes: one engine for both, or two mixed.
public protocol Backend: Sendable {
    var store: any Store { get }
    var queue: any RefreshQueue { get }

    /// Wins the right to refresh one stale entry and queues the job, as near to one step as the engines allow.
    ///
    /// Of all callers, however many machines they are on, one gets ``ClaimOutcome/queued``.
    /// The default takes the lease in the store, then enqueues; an engine that is both does it in one transaction.
    /// - Parameter leaseUntil: until then no other reader queues a refresh of this key.
    func claimRefresh(_ job: RefreshJob, leaseUntil: Timestamp, now: Timestamp) async throws -> ClaimOutcome
}

/// The outcome of claiming a refresh.
public enum ClaimOutcome: Sendable {
    /// The job is in the queue, put there by this call.
    case queued
    /// Somebody else has claimed it, at most until then.
    case claimed(until: Timestamp)
    /// The store has another version than the one found stale: no job is needed, adopt this.
    case newer(StoreRecord)
    /// The lease is the caller's, but the queue can't be reached: the caller refreshes by itself.
    case notQueued(any Error)
}

extension Backend {
    public func claimRefresh(_ job: RefreshJob, leaseUntil: Timestamp, now: Timestamp) async throws -> ClaimOutcome {
        let outcome = try await store.lease([job.key], token: job.leaseToken, until: leaseUntil, now: now)[0]
        let isNewer = outcome.record.entry?.metadata.generation != job.generation
        switch outcome {
        case .held(let until, let record):
            return isNewer ? .newer(record) : .claimed(until: until)
        case .granted(let record):
            if isNewer {
                try await store.releaseLease(job.key, token: job.leaseToken)
                return .newer(record)
            }
            do {
                if try await queue.enqueue(job, notBefore: now, now: now) { return .queued }
                // A job from an earlier claim still waits there, under that claim's token: leave it the lease.
                try await store.releaseLease(job.key, token: job.leaseToken)
                return .claimed(until: leaseUntil)
            } catch {
                return .notQueued(error)
            }
        }
    }
}

/// A store of one engine with a queue of another.
public struct MixedBackend: Backend {
    public let store: any Store
    public let queue: any RefreshQueue

    public init(store: any Store, queue: any RefreshQueue) {
        self.store = store
        self.queue = queue
    }
}
