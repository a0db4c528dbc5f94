public import Perennial
import PerennialConnections

extension RedisBackend: Store {
    public func read(_ keys: [EntryKey]) async throws -> [StoreRecord] {
        try await readRecords(keys, on: reads)
    }

    public func save(_ entry: StoredEntry, fence: Generation?, releasing: LeaseToken?) async throws -> SaveOutcome {
        var metadata = entry.metadata
        metadata.size = entry.bytes.count
        if metadata.storedSize > min(MarkRules.largestEntry(for: sizeLimit), Self.largestEntry) {
            return try await write(
                metadata, fence: fence, releasing: releasing, isConfirmation: false, bytes: [], name: "", fits: false)
        }
        var name = ""
        if entry.bytes.count > Self.largeValue {
            name =
                SystemRandomness().token()
                + String(UInt64.random(in: .min ... .max), radix: 36)
            // Without an entry that has it, it goes by itself; the script removes it sooner when it saves none.
            var command = RedisCommand("SET", space(metadata.key.cache).large(name))
            command.add(entry.bytes)
            command.add("PX")
            command.add("60000")
            _ = try await run([command], on: bulk)
        }
        let outcome = try await write(
            metadata, fence: fence, releasing: releasing, isConfirmation: false,
            bytes: name.isEmpty ? entry.bytes : [], name: name)
        await wrote(bytes: metadata.storedSize)
        return outcome
    }

    public func confirm(
        _ metadata: EntryMetadata, fence: Generation?, releasing: LeaseToken?
    ) async throws -> SaveOutcome {
        try await write(metadata, fence: fence, releasing: releasing, isConfirmation: true, bytes: [], name: "")
    }

    /// - Parameters:
    ///   - name: of a large value that lies there already; else empty.
    ///   - fits: whether it is kept; else it counts as saved and removed at once.
    func write(
        _ metadata: EntryMetadata, fence: Generation?, releasing: LeaseToken?, isConfirmation: Bool, bytes: [UInt8],
        name: String, fits: Bool = true
    ) async throws -> SaveOutcome {
        let usedAt = max(metadata.savedAt, metadata.confirmedAt)
        let deadAt = metadata.deadAt
        // An hour longer than it is of use, so that its generation is known to work that is under way.
        let life = (deadAt - usedAt).milliseconds
        let expires = life > 4_000_000_000_000 ? "" : String(max(0, life) + 3_600_000)
        var arguments = RedisCommand(
            metadata.key.key, fence.map { String($0.number) } ?? "", releasing ?? "", isConfirmation ? "1" : "0")
        arguments.add(EntryFields.origin(of: metadata, size: metadata.size))
        arguments.add(EntryFields.confirmation(of: metadata))
        arguments.add(metadata.markedStaleAt.map { String($0.milliseconds) } ?? "")
        arguments.add(bytes)
        arguments.add(name)
        arguments.add(deadAt.milliseconds)
        arguments.add(expires)
        arguments.add(usedAt.milliseconds)
        arguments.add(fits ? metadata.storedSize : -1)
        for tag in metadata.tags { arguments.add(tag) }
        let reply = try await call(Scripts.save, metadata.key.cache, arguments)
        guard let generation = reply.integer.map({ Generation($0) }) else { return .superseded }
        return fits ? .saved(generation) : .notKept(generation)
    }

    // MARK: Leases

    public func lease(
        _ keys: [EntryKey], token: LeaseToken, until: Timestamp, now: Timestamp
    ) async throws -> [LeaseOutcome] {
        var outcomes: [EntryKey: LeaseOutcome] = [:]
        for (cache, keys) in Dictionary(grouping: keys, by: \.cache) {
            var arguments = RedisCommand(
                token, String(until.milliseconds), String(now.milliseconds), String(Self.largeValue))
            for key in keys { arguments.add(key.key) }
            let reply = try await call(Scripts.lease, cache, arguments).elements ?? []
            guard reply.count == 1 + keys.count * 2, let fence = reply[0].integer else { throw nonsense("a lease") }
            // The values that were too many for the script. What is written meanwhile makes the fence older than it
            // could be.
            let left = keys.indices.filter { reply[$0 * 2 + 2] == .nothing }
            let others = try await readRecords(left.map { keys[$0] }, on: reads)
            let apart = Dictionary(uniqueKeysWithValues: zip(left, others))
            for (index, key) in keys.enumerated() {
                let entry =
                    if let record = apart[index] {
                        record.entry
                    } else {
                        try await whole(found(reply[index * 2 + 2], key), key, reads)
                    }
                let record = StoreRecord(entry: entry, fence: Generation(fence))
                let held = reply[index * 2 + 1].integer
                outcomes[key] =
                    held.map { .held(until: Timestamp(milliseconds: $0), record) } ?? .granted(record)
            }
        }
        return keys.map { outcomes[$0]! }
    }

    public func extendLease(
        _ key: EntryKey, token: LeaseToken, until: Timestamp, now: Timestamp
    ) async throws -> Bool {
        let arguments = RedisCommand(key.key, token, String(until.milliseconds), String(now.milliseconds))
        return try await call(Scripts.extendLease, key.cache, arguments).integer == 1
    }

    public func releaseLease(_ key: EntryKey, token: LeaseToken) async throws {
        _ = try await call(Scripts.releaseLease, key.cache, RedisCommand(key.key, token))
    }

    // MARK: Purging

    public func markStale(_ selection: Selection, now: Timestamp) async throws -> Int {
        try await purge("expire", selection, now)
    }

    public func remove(_ selection: Selection, now: Timestamp) async throws -> Int {
        try await purge("remove", selection, now)
    }

    private func purge(_ action: String, _ selection: Selection, _ now: Timestamp) async throws -> Int {
        let now = String(now.milliseconds)
        switch selection {
        case .key(let key):
            let reply = try await call(Scripts.purgeKey, key.cache, RedisCommand(action, now, key.key))
            await wrote(bytes: MarkRules.size)
            return Int(reply.integer ?? 0)
        case .tag(let tag, let cache):
            return try await inSteps(Scripts.purgeTag, cache, RedisCommand(action, now, tag))
        case .cache(let cache):
            return try await inSteps(Scripts.purgeCache, cache, RedisCommand(action, now))
        }
    }

    /// Runs a purge's steps, so that the server does other things in between.
    private func inSteps(_ script: RedisScript, _ cache: String, _ what: RedisCommand) async throws -> Int {
        var (first, after, count) = ([UInt8](), [UInt8](), 0)
        while true {
            var arguments = what
            arguments.add(first)
            arguments.add(after)
            arguments.add(1000)
            let reply = try await call(script, cache, arguments, on: bulk).elements ?? []
            guard reply.count >= 2, let begun = reply[0].bytes, let purged = reply[1].integer else {
                throw nonsense("a purge")
            }
            first = begun
            count += Int(purged)
            guard reply.count > 2, let last = reply[2].bytes else { return count }
            after = last
        }
    }

    // MARK: Looking

    public func list(cache: String?, tag: String?, after: EntryKey?, limit: Int) async throws -> [EntryMetadata] {
        var found: [EntryMetadata] = []
        let names = if let cache { [cache] } else { try await caches(on: browser) }
        for name in names {
            if let after, name.utf8.lexicographicallyPrecedes(after.cache.utf8) { continue }
            var last = name == after?.cache ? after?.key : nil
            while found.count < limit {
                let wanted = min(limit - found.count, 500)
                let page = try await page(name, tag, after: last, limit: wanted)
                found += page.entries
                guard let end = page.last, page.count == wanted else { break }
                last = end
            }
            if found.count >= limit { break }
        }
        return found
    }

    private func page(
        _ cache: String, _ tag: String?, after: String?, limit: Int
    ) async throws -> (entries: [EntryMetadata], last: String?, count: Int) {
        let space = space(cache)
        let range = RedisCommand(
            "ZRANGEBYLEX", tag.map(space.tagged) ?? space.keys, after.map { "(" + $0 } ?? "-", "+", "LIMIT", "0",
            String(limit))
        let keys = try await run([range], on: browser)[0].elements?.compactMap(\.text) ?? []
        let replies = try await run(
            keys.map { RedisCommand("HMGET", space.entry($0), "g", "o", "m", "s") }, on: browser)
        let entries = zip(keys, replies).compactMap { key, reply in
            reply.elements.flatMap { metadata($0, EntryKey(cache: cache, key: key)) }
        }
        // An entry that has expired by itself, or has another tag by now, is still in the list for a while.
        return (entries.filter { tag == nil || $0.tags.contains(tag!) }, keys.last, keys.count)
    }

    public func identity() async throws -> String? {
        let name = "\(prefix):id"
        if let known = try await run([RedisCommand("GET", name)], on: reads)[0].text { return known }
        let new = String(UInt64.random(in: .min ... .max), radix: 36)
        return try await run([RedisCommand("SET", name, new, "NX"), RedisCommand("GET", name)], on: writes)[1].text
    }

    public func changes() -> AsyncStream<[StoreChange]> {
        feed.subscribe()
    }

    func nonsense(_ what: String) -> ConnectionError {
        ConnectionError(.refused, "Redis answered \(what) with something that makes no sense; is a proxy in between?")
    }
}
