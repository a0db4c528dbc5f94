public import Perennial
import PerennialConnections

extension MongoDBBackend {
    public func markStale(_ selection: Selection, now: Timestamp) async throws -> Int {
        try await purge(selection, removes: false, now)
    }

    public func remove(_ selection: Selection, now: Timestamp) async throws -> Int {
        try await purge(selection, removes: true, now)
    }

    private func purge(_ selection: Selection, removes: Bool, _ now: Timestamp) async throws -> Int {
        let (cache, tag): (String, String?)
        switch selection {
        case .key(let key): return try await purge(key, removes: removes, now)
        case .tag(let name, let of): (cache, tag) = (of, name)
        case .cache(let name): (cache, tag) = (name, nil)
        }
        return try await bulk.perform { [time] connection in
            let horizon = try connection.enter(tag: tag, cache: cache, removes: removes, at: now, begin: time.now)
            guard let purge = horizon.purges.last else { return 0 }
            return try connection.carryOut(purge, cache: cache)
        }
    }

    private func purge(_ key: EntryKey, removes: Bool, _ now: Timestamp) async throws -> Int {
        let count = try await writes.perform(
            begin: { $0.wantNumber(key.cache) },
            end: { [time] connection in
                var isLive = false
                _ = try connection.change(key, now: time.now) { known, horizon, sequence in
                    isLive = known.basis.map { horizon.removal(basis: $0, tags: known.tags) == nil } ?? false
                    let generation = BSON.int64(Stamp.generation(sequence))
                    if isLive, !removes {
                        return ["$set": ["generation": generation], "$min": ["marked_stale_at": .time(now)]]
                    }
                    return EntryDocument.remove(
                        generation: ["$set": ["generation": generation]], at: now, endsLease: removes)
                }
                return isLive ? 1 : 0
            })
        await removed()
        return count
    }
}

extension MongoConnection {
    /// Deletes or marks the documents that a purge concerns. It is in force already, and doing it again changes
    /// nothing.
    /// - Returns: how many entries it concerned.
    func carryOut(_ purge: Horizon.Purge, cache: String) throws(ConnectionError) -> Int {
        let collection = Collections.entries(of: cache)
        let (floor, generation) = (Stamp.floor(purge.sequence), Stamp.generation(purge.sequence))
        var concerned: BSON.Document = ["basis": ["$lt": .int64(purge.sequence)]]
        if let tag = purge.tag { concerned.append("tags", .text(tag)) }
        let count: Int
        if !purge.removes {
            count =
                try update(
                    collection, concerned,
                    ["$max": ["generation": .int64(generation)], "$min": ["marked_stale_at": .time(purge.at)]],
                    isForMany: true) ?? 0
        } else if purge.tag == nil {
            // No tombstones: the memory of the purge covers every key of the cache.
            count = try delete(collection, concerned)
            _ = try delete(
                collection,
                [
                    "basis": ["$exists": false],
                    "$or": [["generation": ["$lt": .int64(floor)]], ["generation": ["$exists": false]]],
                ])
        } else {
            count =
                try update(
                    collection, concerned,
                    EntryDocument.remove(
                        generation: ["$max": ["generation": .int64(generation)]], at: purge.at, endsLease: true),
                    isForMany: true) ?? 0
        }
        if !purge.isDone {
            _ = try update(
                Collections.caches, ["_id": .text(cache), "purges.sequence": .int64(purge.sequence)],
                ["$set": ["purges.$.done": true]])
        }
        return count
    }
}
