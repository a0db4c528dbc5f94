public import Perennial

/// What every ``RefreshQueue`` must do, a check for each sentence of its documentation.
public enum RefreshQueueConformance {
    public typealias Check = ConformanceCheck<any RefreshQueue>

    /// All of them. Each wants an empty queue of its own.
    public static let checks: [Check] = deliveryChecks + failureChecks + viewChecks + waitingChecks + clockChecks
}

extension RefreshQueue {
    @discardableResult
    func enqueue(_ key: EntryKey, at: Timestamp = Samples.now) async throws -> Bool {
        try await enqueue(Samples.job(key, token: "token \(key.key)"), notBefore: at, now: Samples.now)
    }

    /// Takes jobs of cache "people" as worker "w", for 30 seconds.
    func take(_ limit: Int = 10, now: Timestamp = Samples.now, caches: [String] = ["people"]) async throws -> [Delivery]
    {
        try await dequeue(caches: caches, limit: limit, worker: "w", until: now + .seconds(30), now: now)
    }

    func takeOne(now: Timestamp = Samples.now) async throws -> Delivery {
        let taken = try await take(1, now: now)
        try requireEqual(taken.count, 1, "the number of jobs taken")
        return taken[0]
    }
}
