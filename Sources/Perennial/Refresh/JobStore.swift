internal import Logging

/// Which store a job is about: the token of its lease begins with the store's name and `/`. A queue may be shared by
/// workers with other stores.
enum JobStore {
    /// A job that no worker with its store has taken for so long becomes a dead letter, which a later reader's job
    /// replaces: the store may have lost its name with all it had.
    static let patience = Duration.hours(1)

    static func token(_ random: LeaseToken, of store: String?) -> LeaseToken {
        store.map { "\($0)/\(random)" } ?? random
    }

    /// - Returns: `nil`: the job does not say.
    static func name(in token: LeaseToken) -> String? {
        token.firstIndex(of: "/").map { String(token[..<$0]) }
    }
}

/// What a cache knows of its store's name.
struct StoreName {
    var name: String?
    /// The store was asked, or is being asked: of many jobs at once the first asks, and the others name no store.
    var isAsked = false

    /// Whether the caller is to ask.
    mutating func mustAsk() -> Bool {
        if name != nil || isAsked { return false }
        isAsked = true
        return true
    }
}

extension Cache {
    /// A token for the lease that a job is done under.
    func jobToken() async -> LeaseToken {
        if storeName.withLock({ $0.mustAsk() }) { await learnStoreName() }
        return JobStore.token(random.token(), of: storeName.withLock { $0.name })
    }

    /// Asks the store for its name, which may have changed.
    @discardableResult
    func learnStoreName() async -> String? {
        let answer = await storeReads.attempt { try await backend.store.identity() }
        storeName.withLock { known in
            known.isAsked = answer != nil
            if let answer { known.name = answer }
        }
        return answer ?? nil
    }

    /// What becomes of a job about another store than this cache's; `nil`: it is about this one, or does not say.
    func turnAway(_ delivery: Delivery) async -> RefreshOutcome? {
        guard let wanted = JobStore.name(in: delivery.job.leaseToken), wanted != storeName.withLock({ $0.name }),
            let own = await learnStoreName(), own != wanted
        else { return nil }
        if countsFirst(\.jobsOfOtherStores) {
            logger.warning(
                "a refresh job is about another store than this worker has; it is left to others, and more will only be counted. Give all who share a queue the same store, or this worker a queue of its own",
                metadata: ["key": "\(delivery.job.key.key)"])
        }
        let now = time.now
        if now - delivery.job.queuedAt > JobStore.patience {
            return .failed(error: "no worker with the store that this job is about has taken it", retryAt: nil)
        }
        return .notNow(until: now + .seconds(1) + .milliseconds(Int64(random.fraction() * 1000)))
    }
}
