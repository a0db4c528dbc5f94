import GRDB
import Perennial

/// What is there under a key before it is written: an entry or a tombstone.
private struct Row {
    let id: Int64
    let generation: Int64
    let isLive: Bool
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
        let id = try write(metadata, generation: generation, over: old)
        let isUpdated =
            try old?.isLive == true && db.run("UPDATE value SET bytes = ? WHERE entry = ?", entry.bytes, id) > 0
        if !isUpdated { try db.run("INSERT OR REPLACE INTO value (entry, bytes) VALUES (?, ?)", id, entry.bytes) }
        changes.append(.written(key, Generation(generation)))
        return .saved(Generation(generation))
    }

    func confirm(_ metadata: EntryMetadata, fence: Generation?, releasing: LeaseToken?) throws -> SaveOutcome {
        let key = metadata.key
        if let releasing { try releaseLease(key, token: releasing) }
        guard let old = try row(key), old.isLive else { return .superseded }
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
            """
            SELECT id, generation, removed_at IS NULL, cost, touched_at, tags FROM entry WHERE cache = ? AND key = ?
            """, key.cache, key.key
        ) { row in
            Row(
                id: row.integer(0), generation: row.integer(1), isLive: row.integer(2) != 0, cost: row.integer(3),
                touchedAt: row.integer(4), tags: row.optionalText(5))
        }
    }

    private func isSuperseded(_ key: EntryKey, _ old: Row?, tags: [String], fence: Generation?) throws -> Bool {
        guard let fence = fence?.number else { return false }
        if fence < old?.generation ?? ledger.forgottenKeys || fence < ledger.forgottenPurges { return true }
        if fence >= ledger.lastPurge { return false }
        func isPurged(_ isWhole: Int, _ tag: String) throws -> Bool {
            try db.first(
                "SELECT 1 FROM purge WHERE cache = ? AND is_whole = ? AND tag = ? AND generation > ?",
                key.cache, isWhole, tag, fence
            ) { _ in true } ?? false
        }
        if try isPurged(1, "") { return true }
        return try tags.contains { try isPurged(0, $0) }
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
                UPDATE entry SET generation = ?, removed_at = NULL, absent = ?, format = ?, saved_at = ?,
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
        let isLive = old?.isLive ?? false
        let oldTags = isLive ? old?.tags : nil
        if oldTags != tags {
            try removeTags(oldTags, of: key)
            for tag in metadata.tags {
                try db.run(
                    "INSERT OR REPLACE INTO tag (tag, cache, key, entry) VALUES (?, ?, ?, ?)", tag, key.cache, key.key,
                    id)
            }
        }
        ledger.entries += isLive ? 0 : 1
        ledger.bytes += cost - (isLive ? old?.cost ?? 0 : 0)
        return id
    }

    private func removeTags(_ tags: String?, of key: EntryKey) throws {
        guard let tags else { return }
        for tag in TextList.decode(tags) {
            try db.run("DELETE FROM tag WHERE tag = ? AND cache = ? AND key = ?", tag, key.cache, key.key)
        }
    }

    // MARK: Purging

    func expire(_ selection: Selection, now: Timestamp) throws -> Int {
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
            if count == 0 { try addTombstone(key, generation: generation, now: now) }
            changes.append(.written(key, Generation(generation)))
        case .tag(let tag, let cache):
            count = try db.run(
                "\(update) id IN (SELECT entry FROM tag WHERE tag = ? AND cache = ?)", generation, now, tag, cache)
            try remember(cache: cache, tag: tag, generation: generation, now: now)
        case .cache(let cache):
            count = try db.run("\(update) cache = ?", generation, now, cache)
            try remember(cache: cache, tag: nil, generation: generation, now: now)
        }
        return count
    }

    func remove(_ selection: Selection, now: Timestamp) throws -> Int {
        let generation = ledger.nextGeneration()
        let now = now.milliseconds
        switch selection {
        case .key(let key):
            changes.append(.written(key, Generation(generation)))
            try endLease(key)
            guard let row = try row(key) else {
                try addTombstone(key, generation: generation, now: now)
                return 0
            }
            if row.isLive { try delete(id: row.id, key: key, cost: row.cost, tags: row.tags) }
            try leaveTombstone(id: row.id, generation: generation, now: now)
            return row.isLive ? 1 : 0
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
            for row in rows {
                try delete(id: row.id, key: row.key, cost: row.cost, tags: row.tags)
                try leaveTombstone(id: row.id, generation: generation, now: now)
                try endLease(row.key)
            }
            try remember(cache: cache, tag: tag, generation: generation, now: now)
            return rows.count
        case .cache(let cache):
            // No tombstones: the memory of the purge covers every key of the cache.
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
            try remember(cache: cache, tag: nil, generation: generation, now: now)
            return Int(count)
        }
    }

    private func endLease(_ key: EntryKey) throws {
        try db.run("DELETE FROM lease WHERE cache = ? AND key = ?", key.cache, key.key)
    }

    /// Remembers a removal or a soft purge of a key that has no entry.
    private func addTombstone(_ key: EntryKey, generation: Int64, now: Int64) throws {
        try db.run(
            """
            INSERT INTO entry (cache, key, generation, removed_at) VALUES (?, ?, ?, ?)
            ON CONFLICT (cache, key) DO UPDATE SET generation = excluded.generation, removed_at = excluded.removed_at
            """, key.cache, key.key, generation, now)
    }

    private func leaveTombstone(id: Int64, generation: Int64, now: Int64) throws {
        try db.run("UPDATE entry SET generation = ?, removed_at = ?, tags = NULL WHERE id = ?", generation, now, id)
    }

    /// Deletes all of an entry but its row.
    func delete(id: Int64, key: EntryKey, cost: Int64, tags: String?) throws {
        try db.run("DELETE FROM value WHERE entry = ?", id)
        try removeTags(tags, of: key)
        ledger.entries -= 1
        ledger.bytes -= cost
    }

    /// - Parameter tag: `nil`: the whole cache was purged.
    private func remember(cache: String, tag: String?, generation: Int64, now: Int64) throws {
        try db.run(
            "INSERT OR REPLACE INTO purge (cache, is_whole, tag, generation, at) VALUES (?, ?, ?, ?, ?)",
            cache, tag == nil ? 1 : 0, tag ?? "", generation, now)
        ledger.lastPurge = generation
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
        try db.run("DELETE FROM hot WHERE cache = ?", cache)
        let size = 4_096
        for (page, start) in stride(from: 0, to: keys.count, by: size).enumerated() {
            try db.run(
                "INSERT INTO hot (cache, page, keys) VALUES (?, ?, ?)", cache, page,
                TextList.encode(Array(keys[start..<min(start + size, keys.count)])))
        }
    }

    func hotKeys(cache: String, page: Int) throws -> [String] {
        // A file of version 1 that can only be read has no such table.
        if try db.first("PRAGMA user_version", read: { $0.integer(0) }) ?? 0 < 2 { return [] }
        let keys = try db.first("SELECT keys FROM hot WHERE cache = ? AND page = ?", cache, page) { $0.text(0) }
        return keys.map(TextList.decode) ?? []
    }
}
