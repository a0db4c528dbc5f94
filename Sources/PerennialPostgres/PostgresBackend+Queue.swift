public import Perennial
import PerennialConnections
import Synchronization

extension PostgresBackend: Backend {
    public var store: any Store { self }
    public var queue: any RefreshQueue { self }

    public func claimRefresh(_ job: RefreshJob, leaseUntil: Timestamp, now: Timestamp) async throws -> ClaimOutcome {
        let outcome = try await run(Statements.claim) { values in
            values.add(job)
            values.add(leaseUntil.milliseconds)
            values.add(now.milliseconds)
        } take: {
            $0.number(0, 0) ?? -1
        }
        switch outcome {
        case -1: return .queued
        case -2: return .newer(try await read([job.key])[0])
        default: return .claimed(until: Timestamp(milliseconds: outcome))
        }
    }
}

extension Parameters {
    /// Cache, key, generation, lease token, queued at.
    fileprivate mutating func add(_ job: RefreshJob) {
        add(job.key.cache)
        add(job.key.key)
        add(job.generation.number)
        add(job.leaseToken)
        add(job.queuedAt.milliseconds)
    }

    /// Ids and receipts.
    fileprivate mutating func add(_ deliveries: [Delivery]) {
        add(deliveries.map { Int64($0.id) ?? -1 })
        add(deliveries.map { Int64($0.receipt) ?? -1 })
    }
}

extension PostgresBackend: RefreshQueue {
    public func enqueue(_ job: RefreshJob, notBefore: Timestamp, now: Timestamp) async throws -> Bool {
        try await run(Statements.enqueue) { values in
            values.add(job)
            values.add(notBefore.milliseconds)
        } take: {
            $0.flag(0, 0) ?? false
        }
    }

    public func dequeue(
        caches: [String], limit: Int, worker: String, until: Timestamp, now: Timestamp
    ) async throws -> [Delivery] {
        seenRings.store(bell.rings, ordering: .relaxed)
        served.withLock { $0.formUnion(caches) }
        if limit <= 0 { return [] }
        // Not twice: the first time may have taken some.
        let taken = try await run(Statements.dequeue, canRepeat: false) { values in
            values.add(Array(Set(caches)))
            values.add(worker)
            values.add(until.milliseconds)
            values.add(now.milliseconds)
            values.add(Int64(limit))
        } take: { rows in
            (0..<rows.count).compactMap { row -> (at: Int64, id: Int64, delivery: Delivery)? in
                guard let id = rows.number(row, 0), let cache = rows.text(row, 1), let key = rows.text(row, 2),
                    let generation = rows.number(row, 3), let token = rows.text(row, 4),
                    let queuedAt = rows.number(row, 5), let failures = rows.number(row, 6),
                    let receipt = rows.number(row, 8), let at = rows.number(row, 9)
                else { return nil }
                let job = RefreshJob(
                    key: EntryKey(cache: cache, key: key), generation: Generation(generation), leaseToken: token,
                    queuedAt: Timestamp(milliseconds: queuedAt))
                let delivery = Delivery(
                    id: String(id), job: job, attempt: Int(failures) + 1, receipt: String(receipt),
                    isRedelivery: rows.flag(row, 7) ?? false)
                return (at, id, delivery)
            }
        }
        return taken.sorted { ($0.at, $0.id) < ($1.at, $1.id) }.map(\.delivery)
    }

    public func extend(_ deliveries: [Delivery], until: Timestamp) async throws -> [Delivery] {
        let current = try await run(Statements.extend) { values in
            values.add(deliveries)
            values.add(until.milliseconds)
        } take: { rows in
            Set((0..<rows.count).map { "\(rows.number($0, 0) ?? 0) \(rows.number($0, 1) ?? 0)" })
        }
        return deliveries.filter { current.contains("\($0.id) \($0.receipt)") }
    }

    public func complete(_ deliveries: [Delivery]) async throws {
        if deliveries.isEmpty { return }
        try await run(Statements.complete) {
            $0.add(deliveries)
        } take: { _ in
        }
    }

    public func retry(_ delivery: Delivery, at: Timestamp, error: String) async throws {
        try await putBack(Statements.retry, delivery, at: at, error: error)
    }

    public func giveBack(_ delivery: Delivery, at: Timestamp) async throws {
        try await putBack(Statements.giveBack, delivery, at: at)
    }

    public func bury(_ delivery: Delivery, error: String, now: Timestamp) async throws {
        try await putBack(Statements.bury, delivery, at: now, error: error)
    }

    private func putBack(
        _ statement: Statement, _ delivery: Delivery, at: Timestamp, error: String? = nil
    ) async throws {
        var values = Parameters()
        values.add([delivery])
        values.add(at.milliseconds)
        if let error { values.add(error) }
        let known = values
        try await writes.perform(
            begin: { connection in
                try connection.send(statement, known)
                try connection.send(Statements.ring, Parameters())
            },
            end: { connection in
                _ = try connection.rows()
                _ = try connection.rows()
            })
    }

    // MARK: Looking

    private static let states: [JobState] = [.queued, .running, .dead]

    public func jobs(state: JobState?, after: JobID?, limit: Int) async throws -> [JobRecord] {
        if limit <= 0 { return [] }
        return try await run(Statements.jobs, on: browser) { values in
            values.add(after.flatMap { Int64($0) } ?? 0)
            values.add(state.flatMap { Self.states.firstIndex(of: $0) }.map { Int64($0) })
            values.add(Int64(limit))
        } take: { rows in
            (0..<rows.count).compactMap { row in
                guard let id = rows.number(row, 0), let cache = rows.text(row, 1), let key = rows.text(row, 2),
                    let state = rows.number(row, 3), Self.states.indices.contains(Int(state)),
                    let failures = rows.number(row, 4), let queuedAt = rows.number(row, 5),
                    let at = rows.number(row, 6)
                else { return nil }
                return JobRecord(
                    id: String(id), key: EntryKey(cache: cache, key: key), state: Self.states[Int(state)],
                    failures: Int(failures), queuedAt: Timestamp(milliseconds: queuedAt),
                    at: Timestamp(milliseconds: at), error: rows.text(row, 7), worker: rows.text(row, 8))
            }
        }
    }

    public func replay(_ id: JobID?, now: Timestamp) async throws -> Int {
        if let id, Int64(id) == nil { return 0 }
        return try await run(Statements.replay) { values in
            values.add(now.milliseconds)
            values.add(id.flatMap { Int64($0) })
        } take: {
            Int($0.number(0, 0) ?? 0)
        }
    }

    public func correctTimes(
        caches: [String], queuedAfter: Timestamp, dueAfter: Timestamp, heldAfter: Timestamp, now: Timestamp
    ) async throws -> Int {
        try await run(Statements.correctTimes, on: bulk) { values in
            values.add(Array(Set(caches)))
            for time in [queuedAfter, dueAfter, heldAfter, now] { values.add(time.milliseconds) }
        } take: {
            Int($0.number(0, 0) ?? 0)
        }
    }

    public func counts() async throws -> [JobState: Int] {
        try await run(Statements.counts, on: bulk) { _ in
        } take: { rows in
            var counts: [JobState: Int] = [:]
            for row in 0..<rows.count {
                guard let state = rows.number(row, 0), Self.states.indices.contains(Int(state)) else { continue }
                counts[Self.states[Int(state)]] = Int(rows.number(row, 1) ?? 0)
            }
            return counts
        }
    }

    public func waitForJobs(timeout: Duration) async {
        let seen = seenRings.exchange(bell.rings, ordering: .relaxed)
        let now = time.now
        let caches = served.withLock { Array($0) }
        let due = try? await run(Statements.nextDue, on: reads) { values in
            values.add(caches)
            values.add(now.milliseconds)
        } take: {
            $0.number(0, 0)
        }
        let wait = (due ?? nil).map { max(.zero, Timestamp(milliseconds: $0) - now) }
        await bell.wait(after: seen, timeout: min(timeout, wait ?? timeout), time: time)
    }
}
