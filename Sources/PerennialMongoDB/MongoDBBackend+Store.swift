public import Perennial
import PerennialConnections
import Synchronization

extension MongoDBBackend: Store {
    public func read(_ keys: [EntryKey]) async throws -> [StoreRecord] {
        if keys.isEmpty { return [] }
        return try await reads.perform(
            begin: { $0.want(keys) }, end: { [self] in try $0.records(keys, unreadable: noteUnreadable) })
    }

    public func save(_ entry: StoredEntry, fence: Generation?, releasing: LeaseToken?) async throws -> SaveOutcome {
        var metadata = entry.metadata
        metadata.size = entry.bytes.count
        let fits = metadata.storedSize <= min(MarkRules.largestEntry(for: sizeLimit), EntryDocument.largest)
        let outcome = try await write(metadata, entry.bytes, fence: fence, releasing: releasing, fits: fits)
        if fits { await wrote(bytes: metadata.storedSize) } else { await removed() }
        return outcome
    }

    public func confirm(
        _ metadata: EntryMetadata, fence: Generation?, releasing: LeaseToken?
    ) async throws -> SaveOutcome {
        try await write(metadata, nil, fence: fence, releasing: releasing)
    }

    /// - Parameters:
    ///   - bytes: `nil`: those that are there.
    ///   - fits: whether the entry is kept; else it counts as saved and removed at once.
    private func write(
        _ metadata: EntryMetadata, _ bytes: [UInt8]?, fence: Generation?, releasing: LeaseToken?, fits: Bool = true
    ) async throws -> SaveOutcome {
        let key = metadata.key
        return try await writes.perform(
            begin: { $0.wantNumber(key.cache) },
            end: { [self] connection in
                try makeIndexes(key.cache, connection)
                let saved = try connection.change(key, now: time.now) { known, horizon, sequence in
                    let isLive = known.basis.map { horizon.removal(basis: $0, tags: known.tags) == nil } ?? false
                    if bytes == nil, !isLive { return nil }
                    if let fence, !horizon.admits(fence, over: known, tags: metadata.tags) { return nil }
                    if !fits {
                        let generation = BSON.int64(Stamp.generation(sequence))
                        return EntryDocument.remove(
                            generation: ["$set": ["generation": generation]], at: metadata.savedAt, endsLease: false)
                    }
                    var update =
                        bytes.map { EntryDocument.save(metadata, $0, sequence: sequence) }
                        ?? EntryDocument.confirm(metadata, size: known.size, sequence: sequence)
                    update["$max"] = ["touched_at": .date(clamping: max(metadata.savedAt, metadata.confirmedAt))]
                    return update
                } endingLease: {
                    releasing
                }
                if let saved { return fits ? .saved(saved) : .notKept(saved) }
                if let releasing { try connection.release(key, token: releasing) }
                return .superseded
            })
    }

    // MARK: Leases

    public func lease(
        _ keys: [EntryKey], token: LeaseToken, until: Timestamp, now: Timestamp
    ) async throws -> [LeaseOutcome] {
        try await writes.perform { [self] connection in
            let horizons = try connection.horizons(Set(keys.map(\.cache)))
            return try keys.map { key in
                let (held, document) = try connection.takeLease(key, token: token, until: until, now: now)
                let record = (horizons[key.cache] ?? Horizon()).record(document, key, unreadable: noteUnreadable)
                return held.map { .held(until: $0, record) } ?? .granted(record)
            }
        }
    }

    public func extendLease(
        _ key: EntryKey, token: LeaseToken, until: Timestamp, now: Timestamp
    ) async throws -> Bool {
        try await writes.perform { connection in
            try connection.takeLease(key, token: token, until: until, now: now, fields: ["lease": 1]).held == nil
        } && until > now
    }

    public func releaseLease(_ key: EntryKey, token: LeaseToken) async throws {
        try await writes.perform { try $0.release(key, token: token) }
    }

    // MARK: Looking

    public func list(cache: String?, tag: String?, after: EntryKey?, limit: Int) async throws -> [EntryMetadata] {
        if limit <= 0 { return [] }
        return try await browser.perform { connection in
            var found: [EntryMetadata] = []
            for (name, horizon) in try connection.caches(cache).sorted(by: { $0.key < $1.key }) {
                if let after, name < after.cache { continue }
                var last = after?.cache == name ? after?.key : nil
                while found.count < limit {
                    var filter: BSON.Document = ["basis": ["$exists": true]]
                    if let last { filter.append("_id", ["$gt": .text(last)]) }
                    if let tag { filter.append("tags", .text(tag)) }
                    let wanted = limit - found.count
                    let page = try connection.find(
                        Collections.entries(of: name), filter, ["value": 0, "raw": 0], sort: ["_id": 1], limit: wanted)
                    for document in page {
                        guard let key = document["_id"]?.text, let basis = document["basis"]?.number,
                            var metadata = EntryDocument.metadata(document, EntryKey(cache: name, key: key)),
                            horizon.removal(basis: basis, tags: metadata.tags) == nil
                        else { continue }
                        horizon.apply(basis, to: &metadata)
                        found.append(metadata)
                    }
                    guard page.count == wanted, let end = page.last?["_id"]?.text else { break }
                    last = end
                }
                if found.count == limit { break }
            }
            return found
        }
    }

    public func identity() async throws -> String? {
        try await reads.perform { connection in
            func known() throws(ConnectionError) -> String? {
                try connection.find(Collections.version, ["_id": "perennial"], limit: 1).first?["id"]?.text
            }
            if let known = try known() { return known }
            _ = try connection.update(
                Collections.version, ["_id": "perennial", "id": ["$exists": false]],
                ["$set": ["id": .text(SystemRandomness().token())]])
            return try known()
        }
    }

    public func changes() -> AsyncStream<[StoreChange]> {
        feed.subscribe()
    }

    public func touch(_ keys: [EntryKey], now: Timestamp) async throws {
        if keys.isEmpty { return }
        try await browser.perform { connection in
            for (cache, keys) in Dictionary(grouping: keys, by: \.cache) {
                _ = try connection.update(
                    Collections.entries(of: cache),
                    [
                        "_id": ["$in": .array(keys.map { .text($0.key) })], "basis": ["$exists": true],
                        "touched_at": ["$lt": .date(clamping: now)],
                    ],
                    ["$set": ["touched_at": .date(clamping: now)]], isForMany: true)
            }
        }
    }

    public func statistics() async throws -> StoreStatistics {
        try await bulk.perform { [sizeLimit] connection in
            var sum = StoreStatistics(entries: 0, bytes: 0, limit: sizeLimit, tombstones: 0)
            for cache in try connection.caches().keys {
                let (entries, bytes) = try connection.count(cache)
                let tombstones = try connection.countTombstones(cache)
                sum.entries &+= entries
                sum.bytes &+= bytes &+ tombstones * Self.tombstoneSize
                sum.tombstones! &+= tombstones
            }
            return sum
        }
    }

    /// Makes the indexes of a cache's collection, once a process.
    func makeIndexes(_ cache: String, _ connection: MongoConnection) throws(ConnectionError) {
        if indexed.withLock({ $0.contains(cache) }) { return }
        _ = try connection.command(
            [
                "createIndexes": .text(Collections.entries(of: cache)),
                "indexes": [
                    // The server's own clean-up; the janitor, which remembers what it removes, comes first.
                    ["key": ["dead_at": 1], "name": "dead_at", "expireAfterSeconds": 3600],
                    ["key": ["touched_at": 1, "cost": 1], "name": "touched_at_cost"],
                    ["key": ["tags": 1], "name": "tags"],
                    ["key": ["removed_at": 1], "name": "removed_at", "sparse": true],
                ],
            ], writes: true)
        indexed.withLock { _ = $0.insert(cache) }
    }
}

extension MongoConnection {
    /// Changes the document of one key by compare and set, with a new number of its cache's sequence.
    /// - Parameters:
    ///   - update: from what is known of the key, where its cache stands, and the number; `nil`: it is not to be
    ///     changed. May be asked again, if others change the key at the same time.
    ///   - endingLease: the token of a lease that ends in the same step.
    /// - Returns: the new generation; `nil`: `update` was.
    func change(
        _ key: EntryKey, now: Timestamp, _ update: (KnownKey, Horizon, Int64) -> BSON.Document?,
        endingLease: () -> LeaseToken? = { nil }
    ) throws -> Generation? {
        let collection = Collections.entries(of: key.cache)
        let token = endingLease()
        for round in 0..<100 {
            let (sequence, horizon) = try nextNumber(key.cache, now: now, isFirstTry: round == 0)
            let known = KnownKey(try find(collection, ["_id": .text(key.key)], KnownKey.fields, limit: 1).first)
            guard var update = update(known, horizon, sequence) else { return nil }
            // Somebody with a later number was faster.
            if let generation = known.generation, Stamp.floor(sequence) <= generation { continue }
            var filter = known.unchanged(key.key)
            if let token, known.leaseToken == token {
                filter.append("lease.token", .text(token))
                var unset = update["$unset"]?.document ?? [:]
                unset["lease"] = true
                update["$unset"] = .document(unset)
            }
            let count = try self.update(collection, filter, update, upserts: known.isNew)
            if let count, count > 0 { return Generation(Stamp.generation(sequence)) }
        }
        throw ConnectionError(.refused, "\(key): too many write this key at the same time")
    }

    /// - Returns: until when somebody else holds the lease (`nil`: it is the token's), and the document of that moment.
    func takeLease(
        _ key: EntryKey, token: LeaseToken, until: Timestamp, now: Timestamp, fields: BSON.Document = [:]
    ) throws(ConnectionError) -> (held: Timestamp?, document: BSON.Document?) {
        let collection = Collections.entries(of: key.cache)
        for _ in 0..<100 {
            // If the lease is another's, the key's document is not found, and none can be made with its `_id`.
            let mine = try findAndModify(
                collection, Self.freeLease(key, token: token, now: now),
                ["$set": ["lease": Self.lease(token, until: until)]], fields: fields, upserts: true, returnsNew: true)
            if let mine { return (nil, mine) }
            let document = try find(collection, ["_id": .text(key.key)], fields, limit: 1).first
            let held = document?["lease"]?.document?["until"]?.time
            if let held, held > now { return (held, document) }
        }
        throw ConnectionError(.refused, "\(key): too many take the lease of this key at the same time")
    }

    static func lease(_ token: LeaseToken, until: Timestamp) -> BSON {
        ["token": .text(token), "until": .date(clamping: until)]
    }

    static func freeLease(_ key: EntryKey, token: LeaseToken, now: Timestamp) -> BSON.Document {
        [
            "_id": .text(key.key),
            "$or": [
                ["lease.until": ["$lte": .date(clamping: now)]], ["lease.token": .text(token)],
                // None, or something that makes no sense.
                ["lease.until": ["$not": ["$type": "date"]]],
            ],
        ]
    }

    func release(_ key: EntryKey, token: LeaseToken) throws(ConnectionError) {
        _ = try update(
            Collections.entries(of: key.cache), ["_id": .text(key.key), "lease.token": .text(token)],
            ["$set": ["lease.until": .date(0)]])
    }

    /// All caches that were written, or the one.
    func caches(_ name: String? = nil) throws(ConnectionError) -> [String: Horizon] {
        if let name { return try horizons([name]) }
        var found: [String: Horizon] = [:]
        for document in try find(Collections.caches, [:]) {
            if let cache = document["_id"]?.text { found[cache] = Horizon(document) }
        }
        return found
    }

    /// How many removed keys of a cache are remembered; read from an index.
    func countTombstones(_ cache: String) throws(ConnectionError) -> Int {
        let sums = try aggregate(
            Collections.entries(of: cache),
            [["$match": ["removed_at": ["$gte": .date(0)]]], ["$group": ["_id": .null, "tombstones": ["$sum": 1]]]]
        ).first
        return Int(clamping: sums?["tombstones"]?.number ?? 0)
    }

    /// How many entries a cache has, and their bytes; read from an index.
    func count(_ cache: String) throws(ConnectionError) -> (entries: Int, bytes: Int) {
        let sums = try aggregate(
            Collections.entries(of: cache),
            [
                ["$match": ["touched_at": ["$gte": .date(0)]]],
                ["$group": ["_id": .null, "entries": ["$sum": 1], "bytes": ["$sum": "$cost"]]],
            ]
        ).first
        return (Int(clamping: sums?["entries"]?.number ?? 0), Int(clamping: sums?["bytes"]?.number ?? 0))
    }
}
