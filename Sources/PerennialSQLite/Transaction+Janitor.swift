import GRDB
import Perennial

extension Transaction {
    /// One run of the janitor. Processes that share the file take turns, since it is one write transaction.
    /// - Parameter batch: how many rows of a kind go at most.
    func maintain(now: Timestamp, batch: Int) throws -> MaintenanceReport {
        var report = MaintenanceReport()
        report.dead = try evict("useless_at <= ? ORDER BY useless_at", now.milliseconds, upTo: batch) { true }
        report.isUnfinished = report.dead == batch
        report.evicted = try evict(Self.leastRecentlyUsed, Int64?.none, upTo: batch - report.dead) { try isOverLimit() }
        report.isUnfinished = try report.isUnfinished || ledger.entries > 0 && isOverLimit()
        try forgetDeadLetters(before: (now - .days(30)).milliseconds, batch: batch)
        if !report.isUnfinished { report.isUnfinished = try giveBackPages() }
        return report
    }

    /// Makes room for what this transaction has added, and forgets what is too much to be remembered. Does no more than
    /// is needed for that: what was over the limit before is for the janitor.
    /// - Parameter before: the counters as they were at the start of the transaction.
    func keepWithinLimits(since before: Ledger) throws {
        try forget()
        if ledger.counted <= before.counted { return }
        let goal = before.bytes - (ledger.counted - before.counted) - 65_536
        while try ledger.bytes > goal && ledger.entries > 0 && isOverLimit() {
            if try evict(Self.leastRecentlyUsed, Int64?.none, upTo: 100, while: { try isOverLimit() }) == 0 { return }
            // Evictions leave marks.
            try forget()
        }
    }

    private static let leastRecentlyUsed = "? IS NULL ORDER BY touched_at, id"

    /// Whether entries have to go: for what they count, or since the file is much larger than that.
    private func isOverLimit() throws -> Bool {
        guard let limit = sizeLimit.map(Int64.init) else { return false }
        if ledger.counted > limit { return true }
        // If the file is full of something else, it does not help.
        if ledger.bytes < limit / 2 { return false }
        return try usedBytes() > limit + limit / 10 + 4_000_000
    }

    /// What the file would take without its free pages.
    private func usedBytes() throws -> Int64 {
        func number(_ pragma: String) throws -> Int64 { try db.first("PRAGMA \(pragma)") { $0.integer(0) } ?? 0 }
        return try (number("page_count") - number("freelist_count")) * number("page_size")
    }

    /// Removes entries in the order of `choice` while `isWanted`.
    private func evict(
        _ choice: String, _ value: Int64?, upTo count: Int, while isWanted: () throws -> Bool
    ) throws -> Int {
        if try count <= 0 || !isWanted() { return 0 }
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
        for row in rows where try isWanted() {
            try delete(id: row.id, key: row.key, cost: row.cost, tags: row.tags)
            try markEvicted(row.key, generation: row.generation)
            evicted += 1
        }
        return evicted
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
    /// - Returns: whether there is more to do.
    private func giveBackPages() throws -> Bool {
        let free = try db.first("PRAGMA freelist_count") { $0.integer(0) } ?? 0
        let all = try db.first("PRAGMA page_count") { $0.integer(0) } ?? 0
        guard free > 1000, free > all / 8 else { return false }
        try db.forEach("PRAGMA incremental_vacuum(1000)") { _ in }
        return free - 1000 > max(1000, all / 8)
    }
}
