import GRDB
import Perennial

/// The entry that is there under a key before it is written.
private struct Row {
    let id: Int64
    let generation: Int64
    let cost: Int64
    let touchedAt: Int64
    let tags: String?
}

extension Transaction {
    // MARK: Reading

    /// - Parameter unreadable: called when there is something that makes no sense; it is then missing.
    func record(_ key: EntryKey, unreadable: (EntryKey) -> Void) throws -> StoreRecord {
        try record(key, upTo: .max, unreadable: unreadable)!
    }

    private static let recordQuery = """
        SELECT \(EntryRow.columns), v.bytes
        FROM entry e LEFT JOIN value v ON v.entry = e.id
        WHERE e.cache = ? AND e.key = ? AND e.removed_at IS NULL
        """

    /// - Parameter limit: a size in bytes.
    /// - Returns: `nil`: the value is larger, and was not read.
    func record(_ key: EntryKey, upTo limit: Int, unreadable: (EntryKey) -> Void) throws -> StoreRecord? {
        var isTooLarge = false
        let entry = try db.first(Self.recordQuery, key.cache, key.key) { row -> StoredEntry? in
            guard let metadata = EntryRow.metadata(row, key: key), !row.isNull(EntryRow.columnCount) else {
                unreadable(key)
                return nil
            }
            if metadata.size > limit {
                isTooLarge = true
                return nil
            }
            let bytes = row.bytes(EntryRow.columnCount)
            guard bytes.count == metadata.size else {
                unreadable(key)
                return nil
            }
            return StoredEntry(metadata: metadata, bytes: bytes)
        }
        return isTooLarge ? nil : StoreRecord(entry: entry ?? nil, fence: ledger.fence)
    }

    func list(cache: String?, tag: String?, after: EntryKey?, limit: Int) throws -> [EntryMetadata] {
        if limit <= 0 { return [] }
        // Within one cache, only the key decides where to begin.
        let begin: String?
        if let cache, let after {
            if cache.utf8.lexicographicallyPrecedes(after.cache.utf8) { return [] }
            begin = cache == after.cache ? after.key : nil
        } else {
            begin = nil
        }
        // Tags lie in the order of tag, cache and key; entries in that of cache and key.
        let source = tag == nil ? "entry e" : "tag t CROSS JOIN entry e ON e.id = t.entry"
        let order = tag == nil ? "e" : "t"
        var conditions = ["e.removed_at IS NULL"]
        if tag != nil { conditions.append("t.tag = ?1") }
        if cache != nil {
            conditions.append("\(order).cache = ?2")
            if begin != nil { conditions.append("\(order).key > ?4") }
        } else if after != nil {
            conditions.append("(\(order).cache, \(order).key) > (?3, ?4)")
        }
        var found: [EntryMetadata] = []
        try db.forEach(
            """
            SELECT \(EntryRow.columns), e.cache, e.key FROM \(source)
            WHERE \(conditions.joined(separator: " AND "))
            ORDER BY \(order).cache, \(order).key
            LIMIT ?5
            """, tag, cache, after?.cache, begin ?? after?.key, limit
        ) { row in
            let key = EntryKey(cache: row.text(EntryRow.columnCount), key: row.text(EntryRow.columnCount + 1))
            if let metadata = EntryRow.metadata(row, key: key) { found.append(metadata) }
        }
        return found
    }

    func generation(of key: EntryKey) throws -> Generation? {
        try db.first(
            "SELECT generation FROM entry WHERE cache = ? AND key = ? AND removed_at IS NULL", key.cache, key.key
        ) { Generation($0.integer(0)) }
    }

    // MARK: Saving

    func save(_ entry: StoredEntry, fence: Generation?, releasing: LeaseToken?) throws -> SaveOutcome {
        let key = entry.metadata.key
        if let releasing { try releaseLease(key, token: releasing) }
        let old = try row(key)
        if try isSuperseded(key, old, tags: entry.metadata.tags, fence: fence) { return .superseded }
        var metadata = entry.metadata
        metadata.size = entry.bytes.count
        let generation = ledger.nextGeneration()
        if metadata.storedSize > min(MarkRules.largestEntry(for: sizeLimit), db.largestRow) {
            if let old { try delete(id: old.id, key: key, cost: old.cost, tags: old.tags) }
            try markRemoved(key, generation: generation)
            changes.append(.written(key, Generation(generation)))
            return .notKept(Generation(generation))
        }
        let id = try write(metadata, generation: generation, over: old)
        let isUpdated = try old != nil && db.run("UPDATE value SET bytes = ? WHERE entry = ?", entry.bytes, id) > 0
        if !isUpdated { try db.run("INSERT OR REPLACE INTO value (entry, bytes) VALUES (?, ?)", id, entry.bytes) }
        changes.append(.written(key, Generation(generation)))
        return .saved(Generation(generation))
    }

    func confirm(_ metadata: EntryMetadata, fence: Generation?, releasing: LeaseToken?) throws -> SaveOutcome {
        let key = metadata.key
        if let releasing { try releaseLease(key, token: releasing) }
        guard let old = try row(key) else { return .superseded }
        if try isSuperseded(key, old, tags: metadata.tags, fence: fence) { return .superseded }
        var metadata = metadata
        try db.first("SELECT saved_at, absent, format, size FROM entry WHERE id = ?", old.id) { row in
            metadata.savedAt = Timestamp(milliseconds: row.integer(0))
            metadata.isAbsent = row.integer(1) != 0
            metadata.format = row.text(2)
            metadata.size = Int(row.integer(3))
        }
        let generation = ledger.nextGeneration()
        try write(metadata, generation: generation, over: old)
        changes.append(.written(key, Generation(generation)))
        return .saved(Generation(generation))
    }

    private func row(_ key: EntryKey) throws -> Row? {
        try db.first(
            "SELECT id, generation, cost, touched_at, tags FROM entry WHERE cache = ? AND key = ?", key.cache, key.key
        ) { row in
            Row(
                id: row.integer(0), generation: row.integer(1), cost: row.integer(2), touchedAt: row.integer(3),
                tags: row.optionalText(4))
        }
    }

    private func isSuperseded(_ key: EntryKey, _ old: Row?, tags: [String], fence: Generation?) throws -> Bool {
        guard let fence = fence?.number else { return false }
        if fence < old?.generation ?? ledger.forgottenKeys || fence < ledger.horizon { return true }
        if try old == nil && isMarked(.key(key), since: fence) { return true }
        if fence >= ledger.lastPurge { return false }
        if try isMarked(.cache(key.cache), since: fence) { return true }
        return try tags.contains { try isMarked(.tag($0, cache: key.cache), since: fence) }
    }

    /// Writes all of an entry but its value.
    /// - Returns: its id.
    @discardableResult
    private func write(_ metadata: EntryMetadata, generation: Int64, over old: Row?) throws -> Int64 {
        let key = metadata.key
        let limits = metadata.limits
        let tags = TextList.encode(metadata.tags)
        let cost = Int64(metadata.storedSize)
        let usedAt = max(
            metadata.savedAt.milliseconds, metadata.confirmedAt.milliseconds, old?.touchedAt ?? .min)
        let oldID = old?.id
        let id: Int64
        if let oldID {
            id = oldID
            try db.run(
                """
                UPDATE entry SET generation = ?, absent = ?, format = ?, saved_at = ?,
                    confirmed_at = ?, refresh_after = ?, expire_after = ?, stale_if_error = ?, useless_at = ?,
                    touched_at = ?, marked_stale_at = ?, etag = ?, last_modified = ?, tags = ?, size = ?, cost = ?
                WHERE id = ?
                """,
                generation, metadata.isAbsent ? 1 : 0, metadata.format, metadata.savedAt.milliseconds,
                metadata.confirmedAt.milliseconds, limits.refreshAfter.milliseconds, limits.expireAfter.milliseconds,
                limits.staleIfError.milliseconds, metadata.deadAt.milliseconds, usedAt,
                metadata.markedStaleAt?.milliseconds, metadata.validator?.etag, metadata.validator?.lastModified,
                tags, metadata.size, cost, id)
        } else {
            try db.run(
                """
                INSERT INTO entry (generation, absent, format, saved_at, confirmed_at, refresh_after, expire_after,
                    stale_if_error, useless_at, touched_at, marked_stale_at, etag, last_modified, tags, size, cost,
                    cache, key)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
                generation, metadata.isAbsent ? 1 : 0, metadata.format, metadata.savedAt.milliseconds,
                metadata.confirmedAt.milliseconds, limits.refreshAfter.milliseconds, limits.expireAfter.milliseconds,
                limits.staleIfError.milliseconds, metadata.deadAt.milliseconds, usedAt,
                metadata.markedStaleAt?.milliseconds, metadata.validator?.etag, metadata.validator?.lastModified,
                tags, metadata.size, cost, key.cache, key.key)
            id = db.lastInsertedRowID
        }
        if old?.tags != tags {
            try removeTags(old?.tags, of: key)
            for tag in metadata.tags {
                try db.run(
                    "INSERT OR REPLACE INTO tag (tag, cache, key, entry) VALUES (?, ?, ?, ?)", tag, key.cache, key.key,
                    id)
            }
        }
        ledger.entries += old == nil ? 1 : 0
        ledger.bytes += cost - (old?.cost ?? 0)
        return id
    }

    private func removeTags(_ tags: String?, of key: EntryKey) throws {
        guard let tags else { return }
        for tag in TextList.decode(tags) {
            try db.run("DELETE FROM tag WHERE tag = ? AND cache = ? AND key = ?", tag, key.cache, key.key)
        }
    }

    // MARK: Purging

    func markStale(_ selection: Selection, now: Timestamp) throws -> Int {
        let generation = ledger.nextGeneration()
        let now = now.milliseconds
        let update = """
            UPDATE entry SET generation = ?, marked_stale_at = min(coalesce(marked_stale_at, ?2), ?2)
            WHERE removed_at IS NULL AND
            """
        let count: Int
        switch selection {
        case .key(let key):
            count = try db.run("\(update) cache = ? AND key = ?", generation, now, key.cache, key.key)
            if count == 0 { try markRemoved(key, generation: generation) }
            changes.append(.written(key, Generation(generation)))
        case .tag(let tag, let cache):
            count = try db.run(
                "\(update) id IN (SELECT entry FROM tag WHERE tag = ? AND cache = ?)", generation, now, tag, cache)
            try markPurged(selection, generation: generation)
        case .cache(let cache):
            count = try db.run("\(update) cache = ?", generation, now, cache)
            try markPurged(selection, generation: generation)
        }
        return count
    }

    func remove(_ selection: Selection, now: Timestamp) throws -> Int {
        let generation = ledger.nextGeneration()
        switch selection {
        case .key(let key):
            changes.append(.written(key, Generation(generation)))
            try endLease(key)
            try markRemoved(key, generation: generation)
            guard let row = try row(key) else { return 0 }
            try delete(id: row.id, key: key, cost: row.cost, tags: row.tags)
            return 1
        case .tag(let tag, let cache):
            var rows: [(id: Int64, key: EntryKey, cost: Int64, tags: String?)] = []
            try db.forEach(
                """
                SELECT e.id, e.key, e.cost, e.tags FROM tag t CROSS JOIN entry e ON e.id = t.entry
                WHERE t.tag = ? AND t.cache = ?
                """, tag, cache
            ) { row in
                let key = EntryKey(cache: cache, key: row.text(1))
                rows.append((row.integer(0), key, row.integer(2), row.optionalText(3)))
            }
            // A mark each would make others be forgotten anyway.
            let areTooMany = rows.count > MarkRules.most(for: sizeLimit) / 4
            if areTooMany {
                ledger.forgottenKeys = generation
                ledger.unnamed = generation
            }
            for row in rows {
                try delete(id: row.id, key: row.key, cost: row.cost, tags: row.tags)
                if !areTooMany { try markRemoved(row.key, generation: generation) }
                try endLease(row.key)
            }
            try markPurged(selection, generation: generation)
            return rows.count
        case .cache(let cache):
            // The mark of the purge covers every key of the cache.
            var count: Int64 = 0
            try db.first("SELECT count(*), sum(cost) FROM entry WHERE cache = ? AND removed_at IS NULL", cache) { row in
                count = row.integer(0)
                ledger.bytes -= row.integer(1)
            }
            ledger.entries -= count
            try db.run("DELETE FROM value WHERE entry IN (SELECT id FROM entry WHERE cache = ?)", cache)
            try db.run("DELETE FROM tag WHERE cache = ?", cache)
            try db.run("DELETE FROM lease WHERE cache = ?", cache)
            try db.run("DELETE FROM entry WHERE cache = ?", cache)
            try markPurged(selection, generation: generation)
            return Int(count)
        }
    }

    private func endLease(_ key: EntryKey) throws {
        try db.run("DELETE FROM lease WHERE cache = ? AND key = ?", key.cache, key.key)
    }

    /// Deletes all of an entry. What is to be remembered of it is up to the caller.
    func delete(id: Int64, key: EntryKey, cost: Int64, tags: String?) throws {
        try db.run("DELETE FROM value WHERE entry = ?", id)
        try db.run("DELETE FROM entry WHERE id = ?", id)
        try removeTags(tags, of: key)
        ledger.entries -= 1
        ledger.bytes -= cost
    }

    /// Remembers a purge of a tag or of a cache.
    private func markPurged(_ selection: Selection, generation: Int64) throws {
        try mark(selection, generation: generation)
        ledger.lastPurge = generation
        if case .cache = selection { ledger.unnamed = generation }
        hasManyChanges = true
    }

    // MARK: Use

    func touch(_ key: EntryKey, now: Timestamp) throws {
        let now = now.milliseconds
        try db.run(
            """
            UPDATE entry SET touched_at = ?1
            WHERE cache = ?2 AND key = ?3 AND touched_at < ?1 AND removed_at IS NULL
            """, now, key.cache, key.key)
    }

    func saveHotKeys(_ keys: [String], cache: String) throws {
        try db.run("DELETE FROM hot WHERE cache = ? AND page >= 0", cache)
        let size = 4_096
        for (page, start) in stride(from: 0, to: keys.count, by: size).enumerated() {
            try db.run(
                "INSERT INTO hot (cache, page, keys) VALUES (?, ?, ?)", cache, page,
                TextList.encode(Array(keys[start..<min(start + size, keys.count)])))
        }
    }

    /// A file of version 1 that can only be read has no table of hot keys.
    private func hasHotKeys() throws -> Bool {
        try db.first("PRAGMA user_version", read: { $0.integer(0) }) ?? 0 >= 2
    }

    /// The store's name: in the table of hot keys, on a page that no cache has.
    func identity() throws -> String? {
        guard try hasHotKeys() else { return nil }
        return try db.first("SELECT keys FROM hot WHERE cache = '' AND page = -1") { $0.text(0) }
    }

    /// The store's name, made if it has none.
    func makeIdentity() throws -> String? {
        try db.run(
            "INSERT OR IGNORE INTO hot (cache, page, keys) VALUES ('', -1, ?)",
            SystemRandomness().token())
        return try identity()
    }

    func hotKeys(cache: String, page: Int) throws -> [String] {
        guard try hasHotKeys() else { return [] }
        let keys = try db.first("SELECT keys FROM hot WHERE cache = ? AND page = ?", cache, page) { $0.text(0) }
        return keys.map(TextList.decode) ?? []
    }
}
