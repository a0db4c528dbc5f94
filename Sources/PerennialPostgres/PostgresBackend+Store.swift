public import Perennial
import PerennialConnections

extension PostgresBackend: Store {
    public func read(_ keys: [EntryKey]) async throws -> [StoreRecord] {
        if keys.isEmpty { return [] }
        return try await reads.perform(
            begin: { try $0.sendRead(keys) }, end: { [self] in try $0.takeRecords(keys, unreadable: noteUnreadable) })
    }

    public func save(_ entry: StoredEntry, fence: Generation?, releasing: LeaseToken?) async throws -> SaveOutcome {
        var metadata = entry.metadata
        metadata.size = entry.bytes.count
        if metadata.storedSize > min(MarkRules.largestEntry(for: sizeLimit), Self.largestRow) {
            return try await saveRemoved(metadata, fence: fence, releasing: releasing)
        }
        let outcome = try await write(metadata, entry.bytes, fence: fence, releasing: releasing, confirms: false)
        await wrote(bytes: metadata.storedSize)
        return outcome
    }

    /// Saves what can't fit: it is removed at once.
    private func saveRemoved(
        _ metadata: EntryMetadata, fence: Generation?, releasing: LeaseToken?
    ) async throws -> SaveOutcome {
        try await run(Statements.saveRemoved) { values in
            values.add(metadata.key.cache)
            values.add(metadata.key.key)
            values.add(fence?.number)
            values.add(releasing)
            values.add(metadata.tags)
            values.add(metadata.savedAt.milliseconds)
        } take: { rows in
            rows.number(0, 0).map { .notKept(Generation($0)) } ?? .superseded
        }
    }

    // MARK: Size

    /// A row, and the message that brings it, may have 1 GiB.
    private static let largestRow = 1_000_000_000

    /// Notes what was written, and makes room when it is time.
    private func wrote(bytes: Int) async {
        await pressure.wrote(bytes: bytes) {
            // At the beginning of time nothing is dead.
            while case let done = try await removeWhatIsTooMuch(now: Timestamp(milliseconds: 0)),
                done.isUnfinished, done.evicted > 0
            {}
        }
    }

    /// Keeps what is known of removed keys within its part of the limit.
    private func forgetRemoved() async throws {
        try await run(Statements.forgetRemoved, on: browser) { [sizeLimit] values in
            values.add(Int64(MarkRules.most(for: sizeLimit)))
            values.add(Int64((sizeLimit ?? .max) / 16))
        } take: { _ in
        }
    }

    public func confirm(
        _ metadata: EntryMetadata, fence: Generation?, releasing: LeaseToken?
    ) async throws -> SaveOutcome {
        try await write(metadata, [], fence: fence, releasing: releasing, confirms: true)
    }

    private func write(
        _ metadata: EntryMetadata, _ bytes: [UInt8], fence: Generation?, releasing: LeaseToken?, confirms: Bool
    ) async throws -> SaveOutcome {
        try await run(Statements.save) { values in
            values.add(metadata.key.cache)
            values.add(metadata.key.key)
            values.add(fence?.number)
            values.add(releasing)
            values.add(confirms)
            values.add(metadata.isAbsent)
            values.add(metadata.format)
            values.add(metadata.savedAt.milliseconds)
            values.add(metadata.confirmedAt.milliseconds)
            values.add(metadata.limits.refreshAfter.milliseconds)
            values.add(metadata.limits.expireAfter.milliseconds)
            values.add(metadata.limits.staleIfError.milliseconds)
            values.add(metadata.markedStaleAt?.milliseconds)
            values.add(metadata.validator?.etag)
            values.add(metadata.validator?.lastModified)
            values.add(metadata.tags)
            values.add(metadata.deadAt.milliseconds)
            values.add(Int64(metadata.size))
            values.add(Int64(metadata.storedSize))
            values.add(bytes)
        } take: { rows in
            rows.number(0, 0).map { .saved(Generation($0)) } ?? .superseded
        }
    }

    // MARK: Leases

    public func lease(
        _ keys: [EntryKey], token: LeaseToken, until: Timestamp, now: Timestamp
    ) async throws -> [LeaseOutcome] {
        if keys.isEmpty { return [] }
        var values = Parameters()
        values.add(keys.map(\.cache))
        values.add(keys.map(\.key))
        values.add(token)
        values.add(until.milliseconds)
        values.add(now.milliseconds)
        let known = values
        return try await writes.perform(
            begin: { connection in
                try connection.send(Statements.takeLeases, known)
                // In the same transaction, behind it: what the lease's last holder brought is seen.
                try connection.sendRead(keys, sharingFences: false)
            },
            end: { [self] connection in
                let held = try connection.rows().numbers(0, 0) ?? []
                let records = try connection.takeRecords(keys, unreadable: noteUnreadable)
                return zip(held, records).map { until, record in
                    until.map { .held(until: Timestamp(milliseconds: $0), record) } ?? .granted(record)
                }
            })
    }

    public func extendLease(
        _ key: EntryKey, token: LeaseToken, until: Timestamp, now: Timestamp
    ) async throws -> Bool {
        let isMine = try await run(Statements.extendLease) { values in
            values.add(key.cache)
            values.add(key.key)
            values.add(token)
            values.add(until.milliseconds)
            values.add(now.milliseconds)
        } take: {
            $0.flag(0, 0) ?? false
        }
        return isMine && until > now
    }

    public func releaseLease(_ key: EntryKey, token: LeaseToken) async throws {
        try await run(Statements.releaseLease) { values in
            values.add(key.cache)
            values.add(key.key)
            values.add(token)
        } take: { _ in
        }
    }

    // MARK: Purging

    public func markStale(_ selection: Selection, now: Timestamp) async throws -> Int {
        try await purge(selection, removes: false, now)
    }

    public func remove(_ selection: Selection, now: Timestamp) async throws -> Int {
        try await purge(selection, removes: true, now)
    }

    private func purge(_ selection: Selection, removes: Bool, _ now: Timestamp) async throws -> Int {
        let statement: Statement
        let lane: Lanes<PostgresConnection>
        var values = Parameters()
        values.add(removes)
        switch selection {
        case .key(let key):
            (statement, lane) = (Statements.purgeKey, writes)
            values.add(key.cache)
            values.add(key.key)
        case .tag(let tag, let cache):
            (statement, lane) = (Statements.purgeMany, bulk)
            values.add(cache)
            values.add(tag)
        case .cache(let cache):
            (statement, lane) = (Statements.purgeMany, bulk)
            values.add(cache)
            values.add(String?.none)
        }
        values.add(now.milliseconds)
        let known = values
        let count: Int
        do {
            count = try await lane.perform(
                begin: { try $0.send(statement, known) }, end: { Int(try $0.rows().number(0, 0) ?? 0) })
        } catch let error as NotStorable {
            guard case .key(let key) = selection else { throw error }
            // Nothing of such a key is in a table, and nothing can come there: only memory tiers may have it.
            try await run(Statements.tell) { values in
                values.add(key.cache)
                values.add(key.key)
            } take: { _ in
            }
            return 0
        }
        if case .key(let key) = selection {
            await removals.wrote(bytes: key.cache.utf8.count + key.key.utf8.count + 64) { try await forgetRemoved() }
        }
        return count
    }

    // MARK: Looking

    public func list(cache: String?, tag: String?, after: EntryKey?, limit: Int) async throws -> [EntryMetadata] {
        if limit <= 0 { return [] }
        return try await run(Statements.list, on: browser) { values in
            values.add(cache)
            values.add(tag)
            values.add(after?.cache)
            values.add(after?.key)
            values.add(Int64(limit))
        } take: { rows in
            (0..<rows.count).compactMap { row in
                guard let cache = rows.text(row, Statements.columnCount),
                    let key = rows.text(row, Statements.columnCount + 1)
                else { return nil }
                return rows.metadata(row, EntryKey(cache: cache, key: key))
            }
        }
    }

    public func identity() async throws -> String? {
        try await run(Statements.identity, on: reads) { _ in
        } take: {
            $0.number(0, 0).map { String($0, radix: 36) }
        }
    }

    public func changes() -> AsyncStream<[StoreChange]> {
        feed.subscribe()
    }

    public func touch(_ keys: [EntryKey], now: Timestamp) async throws {
        if keys.isEmpty { return }
        // In one order everywhere, so that two who touch the same don't wait for each other.
        let keys = keys.sorted()
        try await run(Statements.touch, on: bulk) { values in
            values.add(keys.map(\.cache))
            values.add(keys.map(\.key))
            values.add(now.milliseconds)
        } take: { _ in
        }
    }

    public func maintain(now: Timestamp) async throws -> MaintenanceReport {
        try await forgetRemoved()
        return try await removeWhatIsTooMuch(now: now)
    }

    private func removeWhatIsTooMuch(now: Timestamp) async throws -> MaintenanceReport {
        try await run(Statements.maintain, on: browser) { [sizeLimit] values in
            values.add(now.milliseconds)
            values.add(sizeLimit.map { Int64(MarkRules.entries(of: $0)) })
        } take: { rows in
            let counts = rows.numbers(0, 0)?.map { Int($0 ?? 0) } ?? []
            guard counts.count == 3 else { return MaintenanceReport() }
            return MaintenanceReport(dead: counts[0], evicted: counts[1], isUnfinished: counts[2] == 1)
        }
    }

    public func statistics() async throws -> StoreStatistics {
        try await run(Statements.statistics, on: bulk) { _ in
        } take: { [sizeLimit] rows in
            StoreStatistics(
                entries: Int(rows.number(0, 0) ?? 0), bytes: Int((rows.number(0, 1) ?? 0) + (rows.number(0, 3) ?? 0)),
                limit: sizeLimit, tombstones: Int(rows.number(0, 2) ?? 0))
        }
    }
}

extension PostgresConnection {
    /// Asks for entries and, first, where their caches stand: once a batch, since an older fence is right as well, if
    /// sharing.
    func sendRead(_ keys: [EntryKey], sharingFences: Bool = true) throws(ConnectionError) {
        var caches: [String] = []
        for key in keys where !caches.contains(key.cache) {
            if sharingFences, fences[key.cache] != nil { continue }
            caches.append(key.cache)
            fences[key.cache] = 0
            var values = Parameters()
            values.add(key.cache)
            try send(Statements.horizon, values)
        }
        asked.append(caches)
        for key in keys {
            var values = Parameters()
            values.add(key.cache)
            values.add(key.key)
            try send(Statements.read, values)
        }
    }

    func takeRecords(_ keys: [EntryKey], unreadable: (EntryKey) -> Void) throws(ConnectionError) -> [StoreRecord] {
        for cache in asked.removeFirst() {
            let rows = try rows()
            fences[cache] = rows.count > 0 ? rows.number(0, 0) ?? 0 : 0
        }
        var records: [StoreRecord] = []
        for key in keys {
            let rows = try rows()
            let fence = fences[key.cache] ?? 0
            guard rows.count > 0 else {
                records.append(StoreRecord(entry: nil, fence: Generation(fence)))
                continue
            }
            var entry: StoredEntry?
            // Removed: its generation is all that is left.
            if rows.number(0, Statements.columnCount + 1) == nil {
                if let metadata = rows.metadata(0, key), let bytes = rows.bytes(0, Statements.columnCount),
                    bytes.count == metadata.size
                {
                    entry = StoredEntry(metadata: metadata, bytes: bytes)
                } else {
                    unreadable(key)
                }
            }
            records.append(StoreRecord(entry: entry, fence: Generation(max(fence, rows.number(0, 0) ?? 0))))
        }
        return records
    }
}

extension Rows {
    /// The metadata in the first columns of a row; `nil` when it makes no sense.
    func metadata(_ row: Int, _ key: EntryKey) -> EntryMetadata? {
        guard let generation = number(row, 0), let isAbsent = flag(row, 1), let format = text(row, 2),
            let savedAt = number(row, 3), let confirmedAt = number(row, 4), let soft = number(row, 5),
            let hard = number(row, 6), let useless = number(row, 7), let tags = texts(row, 11),
            let size = number(row, 12), 0 <= soft, soft <= hard, hard <= useless, size >= 0
        else { return nil }
        let (etag, lastModified) = (text(row, 9), text(row, 10))
        return EntryMetadata(
            key: key, isAbsent: isAbsent, format: format, savedAt: Timestamp(milliseconds: savedAt),
            confirmedAt: Timestamp(milliseconds: confirmedAt),
            limits: Limits(raising: .milliseconds(soft), .milliseconds(hard), .milliseconds(useless)),
            markedStaleAt: number(row, 8).map { Timestamp(milliseconds: $0) },
            validator: etag == nil && lastModified == nil ? nil : Validator(etag: etag, lastModified: lastModified),
            tags: tags, generation: Generation(generation), size: Int(size))
    }
}
