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

    /// A write that left no entry behind, remembered so that work which began before it can't save.
    struct Mark {
        var generation: Generation
        var at: Timestamp
    }

    /// How long marks are remembered.
    static let memory = Duration.hours(1)

    let limit: Int?
    private(set) var sequence = Generation.zero
    private(set) var rows: [EntryKey: Row] = [:]
    private(set) var bytes = 0
    /// By cache, the hottest first.
    var hotKeys: [String: [String]] = [:]
    private var leases: [EntryKey: Lease] = [:]
    private var tombstones: [EntryKey: Mark] = [:]
    private var purges: [Selection: Mark] = [:]
    /// The newest write of a key of which nothing is left: missing keys need a fence at or behind it.
    private var forgottenKeys = Generation.zero
    /// The newest purge that is no longer remembered.
    private var forgottenPurges = Generation.zero

    init(limit: Int?) {
        self.limit = limit
    }

    private mutating func nextGeneration() -> Generation {
        sequence = Generation(sequence.number + 1)
        return sequence
    }

    private mutating func setRow(_ row: Row?, for key: EntryKey) {
        bytes += row?.entry.metadata.storedSize ?? 0
        bytes -= rows[key]?.entry.metadata.storedSize ?? 0
        rows[key] = row
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
        tombstones[key] = nil
        let usedAt = max(entry.metadata.savedAt, entry.metadata.confirmedAt, rows[key]?.touchedAt ?? .distantPast)
        setRow(Row(entry: entry, touchedAt: usedAt), for: key)
        return .saved(entry.metadata.generation)
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
        let written = rows[key]?.entry.metadata.generation ?? tombstones[key]?.generation ?? forgottenKeys
        if fence < written || fence < forgottenPurges { return true }
        let selections = [.cache(key.cache)] + tags.map { Selection.tag($0, cache: key.cache) }
        return selections.contains { fence < purges[$0]?.generation ?? .zero }
    }

    private func keys(in selection: Selection) -> [EntryKey] {
        switch selection {
        case .key(let key): rows[key] == nil ? [] : [key]
        case .cache(let cache): rows.keys.filter { $0.cache == cache }
        case .tag(let tag, let cache):
            rows.filter { $0.key.cache == cache && $0.value.entry.metadata.tags.contains(tag) }.map(\.key)
        }
    }

    /// Remembers that the selection was written, also what is not there.
    private mutating func mark(_ selection: Selection, _ generation: Generation, at now: Timestamp) {
        let mark = Mark(generation: generation, at: now)
        if case .key(let key) = selection { tombstones[key] = mark } else { purges[selection] = mark }
    }

    mutating func expire(_ selection: Selection, now: Timestamp) -> [EntryKey] {
        let keys = keys(in: selection)
        let generation = nextGeneration()
        for key in keys {
            let earlier = rows[key]?.entry.metadata.markedStaleAt ?? now
            rows[key]?.entry.metadata.markedStaleAt = min(earlier, now)
            rows[key]?.entry.metadata.generation = generation
        }
        mark(selection, generation, at: now)
        return keys
    }

    mutating func remove(_ selection: Selection, now: Timestamp) -> [EntryKey] {
        let keys = keys(in: selection)
        let generation = nextGeneration()
        for key in keys {
            setRow(nil, for: key)
            leases[key] = nil
            mark(.key(key), generation, at: now)
        }
        endLeases(of: selection)
        mark(selection, generation, at: now)
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
        forget(before: now - Self.memory)
        var report = MaintenanceReport()
        for (key, row) in rows where now >= row.entry.metadata.deadAt {
            if report.dead == batch {
                report.isUnfinished = true
                return report
            }
            evict(key)
            report.dead += 1
        }
        guard let limit, bytes > limit else { return report }
        let oldestFirst = rows.sorted { ($0.value.touchedAt, $0.key) < ($1.value.touchedAt, $1.key) }
        for (key, _) in oldestFirst.prefix(batch - report.dead) {
            evict(key)
            report.evicted += 1
            if bytes <= limit { break }
        }
        report.isUnfinished = bytes > limit
        return report
    }

    /// Removes an entry without a mark of its own: nobody asked for it to be gone.
    private mutating func evict(_ key: EntryKey) {
        forgottenKeys = max(forgottenKeys, rows[key]?.entry.metadata.generation ?? .zero)
        setRow(nil, for: key)
    }

    private mutating func forget(before: Timestamp) {
        for (key, mark) in tombstones where mark.at <= before {
            forgottenKeys = max(forgottenKeys, mark.generation)
            tombstones[key] = nil
        }
        for (selection, mark) in purges where mark.at <= before {
            forgottenPurges = max(forgottenPurges, mark.generation)
            purges[selection] = nil
        }
    }
}

extension EntryMetadata {
    /// The bytes that an entry counts against a store's limit: its value, its texts, and 256 for the rest.
    package var storedSize: Int {
        tags.reduce(size + key.cache.utf8.count + key.key.utf8.count + 256) { $0 + $1.utf8.count }
    }
}
