import GRDB
import Perennial

/// The one row of counters: read at the start of every transaction, written at its end if it changed.
struct Ledger: Equatable {
    /// The newest generation.
    var sequence: Int64
    /// The newest write of a key of which nothing is left: missing keys need a fence at or behind it.
    var forgottenKeys: Int64
    /// The newest purge that is no longer remembered.
    var forgottenPurges: Int64
    /// The newest purge by tag or cache: a fence at or behind it needs no closer look.
    var lastPurge: Int64
    var entries: Int64
    /// What the entries count against the size limit.
    var bytes: Int64
    var lastJob: Int64
    /// Grows when there may be something new to do for a worker.
    var jobsAdded: Int64
    var queued: Int64
    var running: Int64
    var dead: Int64

    var fence: Generation { Generation(sequence) }

    mutating func nextGeneration() -> Int64 {
        sequence += 1
        return sequence
    }

    static func read(_ db: Database) throws -> Ledger {
        let ledger = try db.first(
            """
            SELECT sequence, forgotten_keys, forgotten_purges, last_purge, entries, bytes, last_job, jobs_added,
                queued, running, dead
            FROM ledger
            """
        ) { row in
            Ledger(
                sequence: row.integer(0), forgottenKeys: row.integer(1), forgottenPurges: row.integer(2),
                lastPurge: row.integer(3), entries: row.integer(4), bytes: row.integer(5), lastJob: row.integer(6),
                jobsAdded: row.integer(7), queued: row.integer(8), running: row.integer(9), dead: row.integer(10))
        }
        guard let ledger else {
            throw DatabaseError(resultCode: .SQLITE_CORRUPT, message: "the table of counters is empty")
        }
        return ledger
    }

    func write(_ db: Database) throws {
        try db.run(
            """
            UPDATE ledger SET sequence = ?, forgotten_keys = ?, forgotten_purges = ?, last_purge = ?, entries = ?,
                bytes = ?, last_job = ?, jobs_added = ?, queued = ?, running = ?, dead = ?
            """,
            sequence, forgottenKeys, forgottenPurges, lastPurge, entries, bytes, lastJob, jobsAdded, queued, running,
            dead)
    }
}
