import GRDB
import Perennial

/// What is remembered of writes that left no entry behind.
extension Transaction {
    /// Remembers a write for those whose work began before it.
    func mark(_ selection: Selection, generation: Int64) throws {
        let hash = selection.mark
        if try db.run("UPDATE mark SET generation = max(generation, ?) WHERE hash = ?", generation, hash) > 0 { return }
        try db.run("INSERT INTO mark (hash, generation) VALUES (?, ?)", hash, generation)
        ledger.marks += 1
    }

    func isMarked(_ selection: Selection, since fence: Int64) throws -> Bool {
        if ledger.marks == 0 { return false }
        return try db.first("SELECT generation > ? FROM mark WHERE hash = ?", fence, selection.mark) {
            $0.integer(0) != 0
        } ?? false
    }

    /// Remembers that a key was removed, by a mark and, for other processes, by its name.
    func markRemoved(_ key: EntryKey, generation: Int64) throws {
        try mark(.key(key), generation: generation)
        try db.run(
            "INSERT OR REPLACE INTO removed (generation, cache, key) VALUES (?, ?, ?)", generation, key.cache, key.key)
        ledger.removedBytes += Self.cost(ofName: key)
    }

    /// Remembers the last write of an entry that is gone though nobody asked for it.
    func markEvicted(_ key: EntryKey, generation: Int64) throws {
        if generation <= ledger.forgottenKeys || generation <= ledger.horizon { return }
        if ledger.sequence - generation > MarkRules.most(for: sizeLimit) {
            // No work that is still under way began before so many writes.
            ledger.forgottenKeys = generation
        } else {
            try mark(.key(key), generation: generation)
        }
    }

    private static func cost(ofName key: EntryKey) -> Int64 { Int64(key.cache.utf8.count + key.key.utf8.count + 32) }

    /// Forgets the oldest marks and names where there are too many.
    func forget() throws {
        try forgetMarks()
        // Others look twenty times a second: there is no need for more names than were written meanwhile.
        let most = Int64(min(1_000_000, (sizeLimit ?? .max) / 16))
        if ledger.removedBytes > most {
            while ledger.removedBytes > most / 2, try forgetName() {}
        }
    }

    private func forgetMarks() throws {
        let most = MarkRules.most(for: sizeLimit)
        if ledger.marks <= most { return }
        let count = ledger.marks - Int64(MarkRules.kept(of: most))
        let newest = try db.first(
            "SELECT max(generation) FROM (SELECT generation FROM mark ORDER BY generation LIMIT ?)", count
        ) { $0.integer(0) }
        guard let newest else { return }
        ledger.marks -= Int64(try db.run("DELETE FROM mark WHERE generation <= ?", newest))
        ledger.horizon = max(ledger.horizon, newest)
    }

    /// - Returns: whether there was one.
    private func forgetName() throws -> Bool {
        let oldest = try db.first("SELECT generation, cache, key FROM removed ORDER BY generation LIMIT 1") { row in
            (generation: row.integer(0), key: EntryKey(cache: row.text(1), key: row.text(2)))
        }
        guard let oldest else { return false }
        try db.run(
            "DELETE FROM removed WHERE generation = ? AND cache = ? AND key = ?", oldest.generation, oldest.key.cache,
            oldest.key.key)
        ledger.removedBytes -= Self.cost(ofName: oldest.key)
        ledger.unnamed = max(ledger.unnamed, oldest.generation)
        return true
    }
}
