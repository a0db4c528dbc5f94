import GRDB
import Perennial

extension Transaction {
    /// One run of the janitor. Processes that share the file take turns, since it is one write transaction.
    /// - Parameters:
    ///   - limit: the size limit in bytes.
    ///   - batch: how many rows of a kind go at most.
    func maintain(now: Timestamp, limit: Int?, batch: Int) throws -> MaintenanceReport {
        var report = MaintenanceReport()
        report.dead = try evict("useless_at <= ? ORDER BY useless_at", now.milliseconds, upTo: batch) { true }
        report.isUnfinished = report.dead == batch
        if let limit = limit.map(Int64.init) {
            report.evicted = try evict(
                "? IS NULL ORDER BY touched_at, id", Int64?.none, upTo: batch - report.dead
            ) { ledger.bytes > limit }
            report.isUnfinished = report.isUnfinished || ledger.bytes > limit
        }
        try forget(before: (now - .hours(1)).milliseconds, batch: batch)
        try forgetDeadLetters(before: (now - .days(30)).milliseconds, batch: batch)
        if !report.isUnfinished { try giveBackPages() }
        return report
    }

    /// Removes entries in the order of `choice` while `isWanted`.
    private func evict(
        _ choice: String, _ value: Int64?, upTo count: Int, while isWanted: () -> Bool
    ) throws -> Int {
        if count <= 0 || !isWanted() { return 0 }
        var rows: [(id: Int64, key: EntryKey, cost: Int64, tags: String?, generation: Int64)] = []
        try db.forEach(
            """
            SELECT id, cache, key, cost, tags, generation FROM entry
            WHERE removed_at IS NULL AND \(choice) LIMIT \(count)
            """, value
        ) { row in
            let key = EntryKey(cache: row.text(1), key: row.text(2))
            rows.append((row.integer(0), key, row.integer(3), row.optionalText(4), row.integer(5)))
        }
        var evicted = 0
        for row in rows where isWanted() {
            try delete(id: row.id, key: row.key, cost: row.cost, tags: row.tags)
            try db.run("DELETE FROM entry WHERE id = ?", row.id)
            // Without a tombstone of its own: nobody asked for it to be gone.
            ledger.forgottenKeys = max(ledger.forgottenKeys, row.generation)
            evicted += 1
        }
        return evicted
    }

    /// Forgets tombstones and purges of long ago; work that is older than they may no longer save.
    private func forget(before: Int64, batch: Int) throws {
        var tombstones: [(id: Int64, generation: Int64)] = []
        try db.forEach(
            "SELECT id, generation FROM entry WHERE removed_at IS NOT NULL AND removed_at <= ? LIMIT ?", before, batch
        ) { tombstones.append(($0.integer(0), $0.integer(1))) }
        for tombstone in tombstones {
            try db.run("DELETE FROM entry WHERE id = ?", tombstone.id)
            ledger.forgottenKeys = max(ledger.forgottenKeys, tombstone.generation)
        }
        let newest = try db.first("SELECT max(generation) FROM purge WHERE at <= ?", before) { $0.optionalInteger(0) }
        if case .some(.some(let newest)) = newest {
            try db.run("DELETE FROM purge WHERE at <= ?", before)
            ledger.forgottenPurges = max(ledger.forgottenPurges, newest)
        }
    }

    /// Deletes dead letters that nobody has replayed for long.
    private func forgetDeadLetters(before: Int64, batch: Int) throws {
        let count = try db.run(
            "DELETE FROM job WHERE id IN (SELECT id FROM job WHERE state = 2 AND at <= ? LIMIT ?)", before, batch)
        ledger.dead -= Int64(count)
    }

    /// Deletes leases that have ended, in a part of the keys.
    /// - Parameter after: where the run before stopped.
    /// - Returns: where this run stopped; `nil`: at the end.
    func forgetLeases(now: Timestamp, after: EntryKey?, batch: Int) throws -> EntryKey? {
        var ended: [(key: EntryKey, token: LeaseToken)] = []
        var last: EntryKey?
        var count = 0
        try db.forEach(
            """
            SELECT cache, key, token, until FROM lease
            WHERE ?1 IS NULL OR (cache, key) > (?1, ?2) ORDER BY cache, key LIMIT ?3
            """, after?.cache, after?.key, batch
        ) { row in
            count += 1
            let key = EntryKey(cache: row.text(0), key: row.text(1))
            last = key
            if row.integer(3) <= now.milliseconds { ended.append((key, row.text(2))) }
        }
        for lease in ended { try releaseLease(lease.key, token: lease.token) }
        return count == batch ? last : nil
    }

    /// Shortens the file when a good part of it is empty, a little at a time.
    private func giveBackPages() throws {
        let free = try db.first("PRAGMA freelist_count") { $0.integer(0) } ?? 0
        let all = try db.first("PRAGMA page_count") { $0.integer(0) } ?? 0
        if free > 1000, free > all / 8 { try db.forEach("PRAGMA incremental_vacuum(1000)") { _ in } }
    }
}
