/// The contents of an ``InMemoryStore`` and the rules for changing them: a plain value, the reference for every store.
struct InMemoryTable {
    struct Row {
        var entry: StoredEntry
        var touchedAt: Timestamp
    }

    struct Lease {
        var token: LeaseToken
        var until: Timestamp
    }

    let limit: Int?
    private(set) var sequence = Generation.zero
    private(set) var rows: [EntryKey: Row] = [:]
    private var entryBytes = 0
    /// By cache, the hottest first.
    var hotKeys: [String: [String]] = [:]
    private var leases: [EntryKey: Lease] = [:]
    private var marks: Marks
    /// The newest write of a key of which nothing is left, not even a mark: missing keys need a fence at or behind it.
    private var forgottenKeys = Generation.zero
    /// Some of the least recently used rows and when they were used, the first to go at the end.
    private var oldest: [(touchedAt: Timestamp, key: EntryKey)] = []

    init(limit: Int?) {
        self.limit = limit
        marks = Marks(sizeLimit: limit)
    }

    /// What counts against the limit.
    var bytes: Int { entryBytes + marks.count * MarkRules.size }
    var tombstones: Int { marks.count }

    private mutating func nextGeneration() -> Generation {
        sequence = Generation(sequence.number + 1)
        return sequence
    }

    private mutating func setRow(_ row: Row?, for key: EntryKey) {
        entryBytes += row?.entry.metadata.storedSize ?? 0
        entryBytes -= rows[key]?.entry.metadata.storedSize ?? 0
        rows[key] = row
        if let row, let newest = oldest.first, row.touchedAt < newest.touchedAt { oldest = [] }
    }

    // MARK: Reading

    func record(_ key: EntryKey) -> StoreRecord {
        StoreRecord(entry: rows[key]?.entry, fence: sequence)
    }

    func list(cache: String?, tag: String?, after: EntryKey?, limit: Int) -> [EntryMetadata] {
        var keys = rows.keys.filter { key in
            if let cache, key.cache != cache { return false }
            if let after, key <= after { return false }
            return true
        }
        keys.sort()
        let found = keys.lazy.compactMap { rows[$0]?.entry.metadata }.filter { tag == nil || $0.tags.contains(tag!) }
        return Array(found.prefix(max(0, limit)))
    }

    // MARK: Writing

    mutating func save(_ entry: StoredEntry, fence: Generation?, releasing: LeaseToken?) -> SaveOutcome {
        let key = entry.metadata.key
        if let releasing { releaseLease(key, token: releasing) }
        if isSuperseded(key, tags: entry.metadata.tags, fence: fence) { return .superseded }
        var entry = entry
        entry.metadata.generation = nextGeneration()
        entry.metadata.size = entry.bytes.count
        let usedAt = max(entry.metadata.savedAt, entry.metadata.confirmedAt, rows[key]?.touchedAt ?? .distantPast)
        setRow(Row(entry: entry, touchedAt: usedAt), for: key)
        let fits = entry.metadata.storedSize <= MarkRules.largestEntry(for: limit)
        if !fits { evict(key) }
        _ = evict(upTo: .max)
        return fits ? .saved(entry.metadata.generation) : .notKept(entry.metadata.generation)
    }

    mutating func confirm(_ metadata: EntryMetadata, fence: Generation?, releasing: LeaseToken?) -> SaveOutcome {
        let key = metadata.key
        guard let old = rows[key]?.entry else {
            if let releasing { releaseLease(key, token: releasing) }
            return .superseded
        }
        var metadata = metadata
        metadata.savedAt = old.metadata.savedAt
        metadata.isAbsent = old.metadata.isAbsent
        metadata.format = old.metadata.format
        return save(StoredEntry(metadata: metadata, bytes: old.bytes), fence: fence, releasing: releasing)
    }

    private func isSuperseded(_ key: EntryKey, tags: [String], fence: Generation?) -> Bool {
        guard let fence else { return false }
        let written = rows[key]?.entry.metadata.generation ?? max(marks[.key(key)], forgottenKeys)
        if fence < written || fence < marks.horizon { return true }
        let selections = [.cache(key.cache)] + tags.map { Selection.tag($0, cache: key.cache) }
        return selections.contains { fence < marks[$0] }
    }

    private func keys(in selection: Selection) -> [EntryKey] {
        switch selection {
        case .key(let key): rows[key] == nil ? [] : [key]
        case .cache(let cache): rows.keys.filter { $0.cache == cache }
        case .tag(let tag, let cache):
            rows.filter { $0.key.cache == cache && $0.value.entry.metadata.tags.contains(tag) }.map(\.key)
        }
    }

    mutating func markStale(_ selection: Selection, now: Timestamp) -> [EntryKey] {
        let keys = keys(in: selection)
        let generation = nextGeneration()
        for key in keys {
            let earlier = rows[key]?.entry.metadata.markedStaleAt ?? now
            rows[key]?.entry.metadata.markedStaleAt = min(earlier, now)
            rows[key]?.entry.metadata.generation = generation
        }
        marks.note(selection, generation)
        return keys
    }

    mutating func remove(_ selection: Selection, now: Timestamp) -> [EntryKey] {
        let keys = keys(in: selection)
        let generation = nextGeneration()
        for key in keys {
            setRow(nil, for: key)
            leases[key] = nil
            marks.note(.key(key), generation)
        }
        endLeases(of: selection)
        marks.note(selection, generation)
        return keys
    }

    /// Also those on keys that have no entry.
    private mutating func endLeases(of selection: Selection) {
        switch selection {
        case .key(let key): leases[key] = nil
        case .cache(let cache): leases = leases.filter { $0.key.cache != cache }
        case .tag: break
        }
    }

    mutating func touch(_ key: EntryKey, now: Timestamp) {
        guard let touchedAt = rows[key]?.touchedAt else { return }
        rows[key]?.touchedAt = max(touchedAt, now)
    }

    // MARK: Leases

    mutating func lease(_ key: EntryKey, token: LeaseToken, until: Timestamp, now: Timestamp) -> LeaseOutcome {
        if let lease = leases[key], lease.until > now, lease.token != token {
            return .held(until: lease.until, record(key))
        }
        leases[key] = Lease(token: token, until: until)
        return .granted(record(key))
    }

    mutating func extendLease(_ key: EntryKey, token: LeaseToken, until: Timestamp, now: Timestamp) -> Bool {
        if case .granted = lease(key, token: token, until: until, now: now) { return until > now }
        return false
    }

    mutating func releaseLease(_ key: EntryKey, token: LeaseToken) {
        if leases[key]?.token == token { leases[key] = nil }
    }

    // MARK: The janitor

    /// - Parameter batch: how many entries may go at most.
    mutating func maintain(now: Timestamp, batch: Int) -> MaintenanceReport {
        leases = leases.filter { $0.value.until > now }
        var report = MaintenanceReport()
        for (key, row) in rows where now >= row.entry.metadata.deadAt {
            if report.dead == batch {
                report.isUnfinished = true
                return report
            }
            evict(key)
            report.dead += 1
        }
        report.evicted = evict(upTo: batch - report.dead)
        if let limit { report.isUnfinished = bytes > limit && !rows.isEmpty }
        return report
    }

    /// Removes the least recently used entries while the table is over its limit.
    /// - Returns: how many went.
    private mutating func evict(upTo count: Int) -> Int {
        guard let limit else { return 0 }
        var evicted = 0
        while bytes > limit, evicted < count, !rows.isEmpty {
            if oldest.isEmpty {
                let byUse = rows.map { (touchedAt: $0.value.touchedAt, key: $0.key) }
                    .sorted { ($0.touchedAt, $0.key) < ($1.touchedAt, $1.key) }
                // Not all, so that this takes little memory; enough that it is seldom done.
                oldest = byUse.prefix(max(64, byUse.count / 8)).reversed()
            }
            let (touchedAt, key) = oldest.removeLast()
            if rows[key]?.touchedAt != touchedAt { continue }
            evict(key)
            evicted += 1
        }
        return evicted
    }

    /// Removes an entry that nobody asked to be gone.
    private mutating func evict(_ key: EntryKey) {
        guard let generation = rows[key]?.entry.metadata.generation else { return }
        setRow(nil, for: key)
        if sequence.number - generation.number > MarkRules.most(for: limit) {
            // No work that is still under way began before so many writes.
            forgottenKeys = max(forgottenKeys, generation)
        } else {
            marks.note(.key(key), generation)
        }
    }
}

extension EntryMetadata {
    /// The bytes that an entry counts against a store's limit: its value, its texts, and 256 for the rest.
    package var storedSize: Int {
        tags.reduce(size + key.cache.utf8.count + key.key.utf8.count + 256) { $0 + $1.utf8.count }
    }
}
