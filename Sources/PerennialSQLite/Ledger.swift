import GRDB
import Perennial

/// The one row of counters: read at the start of every transaction, written at its end if it changed.
struct Ledger: Equatable {
    /// The newest generation.
    var sequence: Int64
    /// The newest write of a key of which nothing is left, not even a mark: missing keys need a fence at or behind it.
    var forgottenKeys: Int64
    /// The newest mark that was forgotten: every fence must be at or behind it.
    var horizon: Int64
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
    /// How many marks there are.
    var marks: Int64 = 0
    /// What the names of removed keys count against the size limit.
    var removedBytes: Int64 = 0
    /// The newest write whose keys are not all named in the file.
    var unnamed: Int64 = 0

    var fence: Generation { Generation(sequence) }

    /// All that counts against the size limit.
    var counted: Int64 { bytes + marks * Int64(MarkRules.size) + removedBytes }

    mutating func nextGeneration() -> Int64 {
        sequence += 1
        return sequence
    }

    /// Whether the row is of this version: an older file that can only be read has fewer columns.
    private static func isCurrent(_ row: Columns) -> Bool { row.count >= 15 }

    static func read(_ db: Database) throws -> Ledger {
        let ledger = try db.first("SELECT * FROM ledger") { row in
            var ledger = Ledger(
                sequence: row.integer(1), forgottenKeys: row.integer(2), horizon: row.integer(3),
                lastPurge: row.integer(4), entries: row.integer(5), bytes: row.integer(6), lastJob: row.integer(7),
                jobsAdded: row.integer(8), queued: row.integer(9), running: row.integer(10), dead: row.integer(11))
            if isCurrent(row) {
                (ledger.marks, ledger.removedBytes, ledger.unnamed) = (
                    row.integer(12), row.integer(13), row.integer(14)
                )
            } else {
                ledger.unnamed = ledger.sequence
            }
            return ledger
        }
        guard let ledger else {
            throw DatabaseError(resultCode: .SQLITE_CORRUPT, message: "the table of counters is empty")
        }
        return ledger
    }

    func write(_ db: Database) throws {
        try db.run(
            """
            UPDATE ledger SET sequence = ?, forgotten_keys = ?, horizon = ?, last_purge = ?, entries = ?, bytes = ?,
                last_job = ?, jobs_added = ?, queued = ?, running = ?, dead = ?, marks = ?, removed_bytes = ?,
                unnamed = ?
            """,
            sequence, forgottenKeys, horizon, lastPurge, entries, bytes, lastJob, jobsAdded, queued, running, dead,
            marks, removedBytes, unnamed)
    }
}
