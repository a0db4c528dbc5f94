public import Perennial
import PerennialConnections
import Synchronization

extension MongoDBBackend {
    /// How much goes in one run.
    private static let batch = 500
    /// The bytes that a removed key counts.
    static let tombstoneSize = 128

    public func maintain(now: Timestamp) async throws -> MaintenanceReport {
        try await browser.perform { [self] connection in
            var report = MaintenanceReport()
            // Somebody may have dropped the collections since.
            indexed.withLock { $0 = [] }
            let caches = try connection.caches().sorted { $0.key < $1.key }
            for (cache, horizon) in caches {
                try makeIndexes(cache, connection)
                try connection.tidy(horizon, cache: cache, now: now)
                report.dead += try connection.removeDead(cache, now: now, limit: Self.batch - report.dead)
                try connection.forgetKeys(cache, now: now, most: mostTombstones, limit: Self.batch)
            }
            report.isUnfinished = report.dead >= Self.batch
            if !report.isUnfinished {
                try evict(caches.map(\.key), connection, limit: Self.batch - report.dead, now: now, &report)
            }
            _ = try connection.delete(
                Collections.jobs, ["state": "dead", "at": ["$lte": .time(now - .days(30))]])
            return report
        }
    }

    /// How many removed keys of a cache are remembered.
    private var mostTombstones: Int { MarkRules.most(for: sizeLimit) * MarkRules.size / Self.tombstoneSize }

    /// Notes what was written, and makes room when it is time.
    func wrote(bytes: Int) async {
        await pressure.wrote(bytes: bytes) {
            while case let done = try await makeRoom(), done.isUnfinished, done.evicted > 0 {}
        }
    }

    /// Notes that a removed key was left behind, and forgets old ones when it is time.
    func removed() async {
        await removals.wrote(bytes: Self.tombstoneSize) {
            try await browser.perform { [self] connection in
                for cache in try connection.caches().keys {
                    try connection.forgetKeys(cache, now: time.now, most: mostTombstones, limit: Self.batch)
                }
            }
        }
    }

    private func makeRoom() async throws -> MaintenanceReport {
        try await browser.perform { [self] connection in
            var report = MaintenanceReport()
            try evict(connection.caches().keys.sorted(), connection, limit: Self.batch, now: time.now, &report)
            return report
        }
    }

    private func evict(
        _ caches: [String], _ connection: MongoConnection, limit: Int, now: Timestamp,
        _ report: inout MaintenanceReport
    ) throws {
        guard let sizeLimit else { return }
        try connection.evict(caches, to: MarkRules.entries(of: sizeLimit), limit: limit, now: now, &report)
    }
}

extension MongoConnection {
    /// Finishes purges whose processes have died, and forgets old ones.
    fileprivate func tidy(_ horizon: Horizon, cache: String, now: Timestamp) throws(ConnectionError) {
        let isCrowded = horizon.purges.count > 256
        var (forgotten, mayForget): (Int64, Bool) = (0, true)
        for purge in horizon.purges {
            let isOld = purge.at <= now - .hours(1) || isCrowded && purge.at <= now - .minutes(1)
            // Once more before it is forgotten: a save from before may have been written since.
            if isOld || !purge.isDone && purge.at <= now - .minutes(1) { _ = try carryOut(purge, cache: cache) }
            // In their order, so that the greatest number covers all that are forgotten and no other.
            if isOld, mayForget { forgotten = purge.sequence } else { mayForget = false }
        }
        if forgotten == 0 { return }
        // In one step, so that nobody finds them neither here nor there.
        _ = try update(
            Collections.caches, ["_id": .text(cache)],
            [
                "$max": ["forgotten_purges": .int64(forgotten)],
                "$pull": ["purges": ["sequence": ["$lte": .int64(forgotten)]]],
            ])
    }

    /// Leaves tombstones in the place of entries, if they are as they were found.
    private func remove(_ found: [BSON.Document], _ collection: String, at now: Timestamp) throws(ConnectionError)
        -> Int
    {
        let changes = found.compactMap { document -> Change? in
            guard let id = document["_id"], let generation = document["generation"], let basis = document["basis"]
            else {
                return nil
            }
            var filter: BSON.Document = ["_id": id, "generation": generation, "basis": basis]
            // One that was touched since is not the least recently used.
            if let touched = document["touched_at"] { filter.append("touched_at", touched) }
            // It keeps its generation: nobody has written it.
            return Change(filter: filter, update: EntryDocument.remove(generation: [:], at: now, endsLease: false))
        }
        return try update(collection, changes) ?? 0
    }

    fileprivate func removeDead(_ cache: String, now: Timestamp, limit: Int) throws(ConnectionError) -> Int {
        if limit <= 0 { return 0 }
        let collection = Collections.entries(of: cache)
        let dead = try find(
            collection, ["dead_at": ["$lte": .time(now)], "basis": ["$exists": true]], ["generation": 1, "basis": 1],
            limit: limit)
        return try remove(dead, collection, at: now)
    }

    /// Tombstones of an hour ago, the oldest of too many, and what is left of leases on missing keys.
    fileprivate func forgetKeys(_ cache: String, now: Timestamp, most: Int, limit: Int) throws(ConnectionError) {
        let collection = Collections.entries(of: cache)
        let noLease: BSON = [["lease": ["$exists": false]], ["lease.until": ["$lte": .date(clamping: now)]]]
        var old = try find(
            collection, ["removed_at": ["$lte": .time(now - .hours(1))], "$or": noLease], ["generation": 1],
            limit: limit)
        let tooMany = try countTombstones(cache) - most
        if tooMany > old.count {
            // An eighth more than it must, so that this is seldom.
            old = try find(
                collection, ["removed_at": ["$gte": .date(0)], "$or": noLease], ["generation": 1],
                sort: ["removed_at": 1], limit: tooMany + most / 8)
        }
        if let newest = old.compactMap({ $0["generation"]?.number }).max() {
            // First: whoever finds such a key gone finds this.
            _ = try update(
                Collections.caches, ["_id": .text(cache)],
                ["$max": ["forgotten_keys": .int64(Stamp.sequence(newest))]])
            _ = try delete(
                collection,
                [
                    "_id": ["$in": .array(old.compactMap { $0["_id"] })],
                    "removed_at": ["$gte": .date(0)], "generation": ["$lte": .int64(newest)],
                    "$or": noLease,
                ])
        }
        _ = try delete(
            collection,
            [
                "generation": ["$exists": false], "basis": ["$exists": false],
                "lease.until": ["$lte": .date(clamping: now - .minutes(1))],
            ])
    }

    fileprivate func evict(
        _ caches: [String], to sizeLimit: Int, limit: Int, now: Timestamp, _ report: inout MaintenanceReport
    ) throws(ConnectionError) {
        var bytes = 0
        for cache in caches { bytes &+= try count(cache).bytes }
        guard bytes > sizeLimit else { return }
        var oldest: [(touchedAt: Timestamp, key: EntryKey, document: BSON.Document)] = []
        for cache in caches {
            let found = try find(
                Collections.entries(of: cache), ["touched_at": ["$gte": .date(0)]],
                ["touched_at": 1, "cost": 1, "generation": 1, "basis": 1], sort: ["touched_at": 1], limit: limit)
            for document in found {
                guard let key = document["_id"]?.text, let touchedAt = document["touched_at"]?.time else { continue }
                oldest.append((touchedAt, EntryKey(cache: cache, key: key), document))
            }
        }
        oldest.sort { ($0.touchedAt, $0.key) < ($1.touchedAt, $1.key) }
        var doomed: [String: [BSON.Document]] = [:]
        for (_, key, document) in oldest.prefix(limit) where bytes > sizeLimit {
            doomed[key.cache, default: []].append(document)
            bytes &-= Int(clamping: document["cost"]?.number ?? 0)
        }
        for (cache, found) in doomed {
            report.evicted += try remove(found, Collections.entries(of: cache), at: now)
        }
        report.isUnfinished = bytes > sizeLimit
    }
}
