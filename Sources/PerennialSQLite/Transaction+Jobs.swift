import GRDB
import Perennial

extension JobState {
    /// How a state is stored. Those below 2 are in the index of what may become due.
    fileprivate var number: Int64 {
        switch self {
        case .queued: 0
        case .running: 1
        case .dead: 2
        }
    }

    fileprivate init?(number: Int64) {
        guard let state = Self.allCases.first(where: { $0.number == number }) else { return nil }
        self = state
    }
}

extension Transaction {
    func enqueue(_ job: RefreshJob, notBefore: Timestamp) throws -> Bool {
        let id = try db.first(
            """
            INSERT INTO job (id, cache, key, state, at, generation, lease_token, queued_at)
            VALUES (?, ?, ?, 0, ?, ?, ?, ?)
            ON CONFLICT (cache, key) DO UPDATE SET
                state = 0, at = excluded.at, generation = excluded.generation, lease_token = excluded.lease_token,
                queued_at = excluded.queued_at, failures = 0, was_lost = 0, error = NULL
            WHERE state = 2
            RETURNING id
            """,
            ledger.lastJob + 1, job.key.cache, job.key.key, notBefore.milliseconds, job.generation.number,
            job.leaseToken, job.queuedAt.milliseconds
        ) { $0.integer(0) }
        guard let id else { return false }
        if id > ledger.lastJob { ledger.lastJob = id } else { ledger.dead -= 1 }
        ledger.queued += 1
        ledger.jobsAdded += 1
        return true
    }

    func claim(_ job: RefreshJob, leaseUntil: Timestamp, now: Timestamp) throws -> ClaimOutcome? {
        if try generation(of: job.key) != job.generation { return nil }
        if let until = try takeLease(job.key, token: job.leaseToken, until: leaseUntil, now: now) {
            return .claimed(until: until)
        }
        if try enqueue(job, notBefore: now) { return .queued }
        // A job from an earlier claim still waits, under that claim's token: leave it the lease.
        try releaseLease(job.key, token: job.leaseToken)
        return .claimed(until: leaseUntil)
    }

    func dequeue(
        caches: [String], limit: Int, worker: String, until: Timestamp, now: Timestamp
    ) throws -> [Delivery] {
        struct Due {
            let delivery: Delivery
            let id: Int64
            let at: Int64
            let wasRunning: Bool
        }
        if limit <= 0 { return [] }
        let receipt = ledger.sequence + 1
        var due: [Due] = []
        for cache in Set(caches) {
            try db.forEach(
                """
                SELECT id, key, state, at, generation, lease_token, queued_at, failures, was_lost FROM job
                WHERE cache = ? AND state < 2 AND at <= ? ORDER BY at, id LIMIT ?
                """, cache, now.milliseconds, limit
            ) { row in
                let wasRunning = row.integer(2) == JobState.running.number
                let job = RefreshJob(
                    key: EntryKey(cache: cache, key: row.text(1)), generation: Generation(row.integer(4)),
                    leaseToken: row.text(5), queuedAt: Timestamp(milliseconds: row.integer(6)))
                let delivery = Delivery(
                    id: String(row.integer(0)), job: job, attempt: Int(row.integer(7)) + 1, receipt: String(receipt),
                    isRedelivery: wasRunning || row.integer(8) != 0)
                due.append(Due(delivery: delivery, id: row.integer(0), at: row.integer(3), wasRunning: wasRunning))
            }
        }
        if due.isEmpty { return [] }
        if caches.count > 1 { due.sort { ($0.at, $0.id) < ($1.at, $1.id) } }
        // Taken from the store's numbers, a receipt is never given twice, not even by a file that replaces this one.
        ledger.sequence = receipt
        let taken = due.prefix(limit)
        for item in taken {
            try db.run(
                "UPDATE job SET state = 1, at = ?, worker = ?, receipt = ?, was_lost = ? WHERE id = ?",
                until.milliseconds, worker, receipt, item.delivery.isRedelivery ? 1 : 0, item.id)
            if !item.wasRunning {
                ledger.queued -= 1
                ledger.running += 1
            }
        }
        return taken.map(\.delivery)
    }

    func extend(_ delivery: Delivery, until: Timestamp) throws -> Bool {
        try db.run(
            "UPDATE job SET at = ? WHERE id = ? AND receipt = ?", until.milliseconds, Int64(delivery.id),
            Int64(delivery.receipt)) > 0
    }

    func complete(_ delivery: Delivery) throws {
        let count = try db.run(
            "DELETE FROM job WHERE id = ? AND receipt = ?", Int64(delivery.id), Int64(delivery.receipt))
        ledger.running -= Int64(count)
    }

    func retry(_ delivery: Delivery, at: Timestamp, error: String) throws {
        let count = try db.run(
            """
            UPDATE job SET state = 0, at = ?, failures = failures + 1, was_lost = 0, error = ?, receipt = NULL,
                worker = NULL
            WHERE id = ? AND receipt = ?
            """, at.milliseconds, error, Int64(delivery.id), Int64(delivery.receipt))
        noteQueuedAgain(count)
    }

    func giveBack(_ delivery: Delivery, at: Timestamp) throws {
        let count = try db.run(
            "UPDATE job SET state = 0, at = ?, receipt = NULL, worker = NULL WHERE id = ? AND receipt = ?",
            at.milliseconds, Int64(delivery.id), Int64(delivery.receipt))
        noteQueuedAgain(count)
    }

    private func noteQueuedAgain(_ count: Int) {
        ledger.running -= Int64(count)
        ledger.queued += Int64(count)
        ledger.jobsAdded += Int64(count)
    }

    func bury(_ delivery: Delivery, error: String, now: Timestamp) throws {
        let count = try db.run(
            """
            UPDATE job SET state = 2, at = ?, failures = failures + 1, was_lost = 0, error = ?, receipt = NULL,
                worker = NULL
            WHERE id = ? AND receipt = ?
            """, now.milliseconds, error, Int64(delivery.id), Int64(delivery.receipt))
        ledger.running -= Int64(count)
        ledger.dead += Int64(count)
    }

    func replay(_ id: JobID?, now: Timestamp) throws -> Int {
        if let id, Int64(id) == nil { return 0 }
        let count = try db.run(
            """
            UPDATE job SET state = 0, at = ?1, failures = 0, was_lost = 0, error = NULL
            WHERE state = 2 AND (?2 IS NULL OR id = ?2)
            """, now.milliseconds, id.flatMap { Int64($0) })
        ledger.dead -= Int64(count)
        ledger.queued += Int64(count)
        ledger.jobsAdded += Int64(count)
        return count
    }

    func correctTimes(
        cache: String, queuedAfter: Timestamp, dueAfter: Timestamp, heldAfter: Timestamp, now: Timestamp
    ) throws -> Int {
        // By the index of what may become due: no job is due before it was queued.
        let queued = try db.run(
            """
            UPDATE job SET at = ?1, queued_at = min(queued_at, ?1)
            WHERE cache = ?2 AND state < 2 AND at > ?3 AND state = 0 AND (queued_at > ?4 OR at > ?5)
            """, now.milliseconds, cache, min(queuedAfter, dueAfter).milliseconds, queuedAfter.milliseconds,
            dueAfter.milliseconds)
        let held = try db.run(
            "UPDATE job SET at = ?1 WHERE cache = ?2 AND state < 2 AND at > ?1 AND state = 1", heldAfter.milliseconds,
            cache)
        ledger.jobsAdded += Int64(queued)
        return queued + held
    }

    func jobs(state: JobState?, after: JobID?, limit: Int) throws -> [JobRecord] {
        if limit <= 0 { return [] }
        let condition = state.map { "AND state = \($0.number)" } ?? ""
        var found: [JobRecord] = []
        try db.forEach(
            """
            SELECT id, cache, key, state, failures, queued_at, at, error, worker FROM job
            WHERE id > ? \(condition) ORDER BY id LIMIT ?
            """, after.flatMap { Int64($0) } ?? 0, limit
        ) { row in
            guard let state = JobState(number: row.integer(3)) else { return }
            found.append(
                JobRecord(
                    id: String(row.integer(0)), key: EntryKey(cache: row.text(1), key: row.text(2)), state: state,
                    failures: Int(row.integer(4)), queuedAt: Timestamp(milliseconds: row.integer(5)),
                    at: Timestamp(milliseconds: row.integer(6)), error: row.optionalText(7),
                    worker: row.optionalText(8)))
        }
        return found
    }

    /// When the next job of these caches becomes due that is not due yet.
    func nextDue(caches: Set<String>, after now: Timestamp) throws -> Timestamp? {
        try caches.compactMap { cache in
            try db.first(
                "SELECT at FROM job WHERE cache = ? AND state < 2 AND at > ? ORDER BY at LIMIT 1", cache,
                now.milliseconds
            ) { Timestamp(milliseconds: $0.integer(0)) }
        }.min()
    }
}
