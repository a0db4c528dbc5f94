import Perennial
import PerennialConnections

/// An entry as it was found: the value may lie apart.
enum FoundEntry {
    case missing
    case whole(StoredEntry)
    case apart(EntryMetadata, name: String)
}

extension RedisBackend {
    static let entryFields = ["g", "o", "m", "s", "v", "b"]

    /// Reads entries; for each cache first where it stands, once a batch. What is written between the two makes the fence
    /// older than it could be, never newer.
    func readRecords(_ keys: [EntryKey], on lane: Lanes<RedisConnection>) async throws -> [StoreRecord] {
        if keys.isEmpty { return [] }
        var spaces: [String: KeySpace] = [:]
        for key in keys where spaces[key.cache] == nil { spaces[key.cache] = space(key.cache) }
        let known = spaces
        let (fences, replies) = try await lane.perform(
            begin: { connection in
                let new = known.keys.filter { connection.fences[$0] == nil }
                for cache in new {
                    connection.fences[cache] = .success(.zero)
                    try connection.append(RedisCommand("HGET", known[cache]!.ledger, "seq"))
                }
                connection.asked.append(new)
                for key in keys {
                    var command = RedisCommand("HMGET", known[key.cache]!.entry(key.key))
                    for field in Self.entryFields { command.add(field) }
                    try connection.append(command)
                }
            },
            end: { connection in
                for cache in connection.asked.removeFirst() {
                    connection.fences[cache] = try connection.attempt {
                        () throws(ConnectionError) in Generation(try connection.reply().integer ?? 0)
                    }
                }
                let replies = try connection.replies(keys.count)
                return (try known.keys.reduce(into: [:]) { $0[$1] = try connection.fences[$1]!.get() }, replies)
            })
        var records: [StoreRecord] = []
        for (key, reply) in zip(keys, replies) {
            let entry = try await whole(found(reply, key), key, lane)
            records.append(StoreRecord(entry: entry, fence: fences[key.cache] ?? .zero))
        }
        return records
    }

    /// What the fields of an entry's hash say.
    func found(_ reply: RedisReply, _ key: EntryKey) -> FoundEntry {
        guard let fields = reply.elements else {
            // Something of another type.
            noteUnreadable(key)
            return .missing
        }
        guard fields.count == Self.entryFields.count, fields.contains(where: { $0 != .nothing }) else {
            return .missing
        }
        guard let metadata = metadata(fields, key) else {
            noteUnreadable(key)
            return .missing
        }
        if let name = fields[5].text, !name.isEmpty { return .apart(metadata, name: name) }
        guard let bytes = fields[4].bytes, bytes.count == metadata.size else {
            noteUnreadable(key)
            return .missing
        }
        return .whole(StoredEntry(metadata: metadata, bytes: bytes))
    }

    /// - Parameter fields: of the hash: generation, origin, confirmation, when it was marked stale.
    func metadata(_ fields: [RedisReply], _ key: EntryKey) -> EntryMetadata? {
        guard let generation = fields[0].integer, let origin = fields[1].bytes, let confirmation = fields[2].bytes
        else {
            return nil
        }
        return EntryFields.metadata(
            key: key, generation: generation, origin: origin, confirmation: confirmation,
            markedStaleAt: fields[3].integer)
    }

    /// The entry with its value, read again when that was replaced meanwhile.
    func whole(_ found: FoundEntry, _ key: EntryKey, _ lane: Lanes<RedisConnection>) async throws -> StoredEntry? {
        var found = found
        for _ in 0..<10 {
            switch found {
            case .missing: return nil
            case .whole(let entry): return entry
            case .apart(let metadata, let name):
                let space = space(key.cache)
                let bytes = try await run([RedisCommand("GET", space.large(name))], on: lane)[0].bytes
                if let bytes, bytes.count == metadata.size { return StoredEntry(metadata: metadata, bytes: bytes) }
                var command = RedisCommand("HMGET", space.entry(key.key))
                for field in Self.entryFields { command.add(field) }
                found = self.found(try await run([command], on: lane)[0], key)
                // The value is gone though the entry is not: the server has evicted it.
                if case .apart(_, name) = found { return nil }
            }
        }
        return nil
    }
}

extension RedisConnection {
    /// A refusal as a value; a broken connection is thrown.
    func attempt<Value>(
        _ work: () throws(ConnectionError) -> Value
    ) throws(ConnectionError) -> Result<Value, ConnectionError> {
        do {
            return .success(try work())
        } catch {
            if !isUsable { throw error }
            return .failure(error)
        }
    }
}
