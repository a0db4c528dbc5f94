public import Perennial
import PerennialConnections
import Synchronization

extension RedisBackend {
    private static let batch = 500

    public func touch(_ keys: [EntryKey], now: Timestamp) async throws {
        for (cache, keys) in Dictionary(grouping: keys, by: \.cache) {
            var arguments = RedisCommand(String(now.milliseconds))
            for key in keys { arguments.add(key.key) }
            _ = try await call(Scripts.touch, cache, arguments, on: browser)
        }
    }

    public func maintain(now: Timestamp) async throws -> MaintenanceReport {
        var report = MaintenanceReport()
        // The server may have lost everything since they were told.
        let used = used.withLock { $0 }
        do {
            _ = try await run(used.map { RedisCommand("SADD", "\(prefix):caches", $0) }, on: browser)
        } catch let error as ConnectionError where error.reason == .refused {
            // It is full. The caches that it knows are looked after all the same.
        }
        let caches = try await caches(on: browser)
        for cache in caches {
            let arguments = RedisCommand(
                String(now.milliseconds), String(Self.batch), String((now - .days(30)).milliseconds),
                String((now - .minutes(1)).milliseconds), String(MarkRules.most(for: sizeLimit)))
            let done = try await call(Scripts.maintain, cache, arguments, on: browser).elements ?? []
            report.dead += Int(done.first?.integer ?? 0)
            report.isUnfinished = report.isUnfinished || done.last?.integer == 1
            try await sweep(cache)
        }
        if try await !sweepAll(caches, on: browser, batches: 50) { report.isUnfinished = true }
        report.evicted = try await evictWhatIsTooMuch()
        report.isUnfinished = report.isUnfinished || report.evicted > 0
        return report
    }

    /// Notes what was written, and makes room when it is time.
    func wrote(bytes: Int) async {
        await pressure.wrote(bytes: bytes) {
            while try await evictWhatIsTooMuch() == Self.batch {}
        }
    }

    private func evictWhatIsTooMuch() async throws -> Int {
        guard let sizeLimit else { return 0 }
        let caches = try await caches(on: browser)
        let statistics = try await statistics(of: caches, on: browser)
        let marks = (statistics.tombstones ?? 0) * MarkRules.size
        // No more than there may be, or removals that come in between would push entries out.
        let over = statistics.bytes - max(0, marks - sizeLimit / 16) - sizeLimit
        return over > 0 ? try await evict(over, from: caches) : 0
    }

    /// Looks through some of the keys for entries that the server has evicted.
    private func sweep(_ cache: String) async throws {
        var arguments = RedisCommand()
        arguments.add(sweepers.withLock { $0[cache] } ?? [])
        arguments.add(200)
        let last = try await call(Scripts.sweep, cache, arguments, on: browser).bytes
        sweepers.withLock { $0[cache] = last }
    }

    /// Looks through all keys for entries that the server has evicted, if it has evicted any since that was done.
    /// - Parameter batches: how many thousands of keys at most.
    /// - Returns: whether nothing that it has evicted is counted any more.
    private func sweepAll(_ caches: [String], on lane: Lanes<RedisConnection>, batches: Int) async throws -> Bool {
        guard let evicted = try await evictions(on: lane), evicted != seenEvictions.withLock({ $0 }) else {
            return true
        }
        var left = batches
        for cache in caches {
            var last: [UInt8]? = []
            while let after = last {
                if left == 0 { return false }
                left -= 1
                var arguments = RedisCommand()
                arguments.add(after)
                arguments.add(1000)
                last = try await call(Scripts.sweep, cache, arguments, on: lane).bytes
            }
        }
        seenEvictions.withLock { $0 = evicted }
        return true
    }

    /// How many keys the server has evicted since it was started; `nil`: it does not say, or none.
    private func evictions(on lane: Lanes<RedisConnection>) async throws -> Int64? {
        do {
            let info = RedisInfo(try await run([RedisCommand("INFO", "stats")], on: lane)[0])
            return info["evicted_keys"].flatMap { Int64($0) }.flatMap { $0 == 0 ? nil : $0 }
        } catch let error as ConnectionError where error.reason == .refused {
            // Not every user may ask.
            return nil
        }
    }

    /// Removes the least recently used of all caches until so many bytes are free, or a batch has gone.
    private func evict(_ bytes: Int, from caches: [String]) async throws -> Int {
        let oldest = try await run(
            caches.map { RedisCommand("ZRANGE", space($0).used, "0", String(Self.batch - 1), "WITHSCORES") },
            on: browser)
        var candidates: [(cache: String, key: String, used: Double, score: String)] = []
        for (cache, reply) in zip(caches, oldest) {
            let parts = reply.elements?.compactMap(\.text) ?? []
            for index in stride(from: 0, to: parts.count - 1, by: 2) {
                candidates.append((cache, parts[index], Double(parts[index + 1]) ?? 0, parts[index + 1]))
            }
        }
        candidates.sort { ($0.used, $0.cache, $0.key) < ($1.used, $1.cache, $1.key) }
        let lines = try await run(
            candidates.prefix(Self.batch).map { RedisCommand("HGET", "\(space($0.cache).base):c", $0.key) },
            on: browser)
        var (free, chosen) = (0, [String: RedisCommand]())
        for (candidate, line) in zip(candidates, lines) {
            if free >= bytes { break }
            // As the scripts write it: the generation, the cost, the tags.
            let words = line.bytes?.split(separator: UInt8(ascii: " "), maxSplits: 2) ?? []
            free += words.count > 1 ? max(0, Int(String(decoding: words[1], as: UTF8.self)) ?? 0) : 0
            chosen[candidate.cache, default: RedisCommand()].add(candidate.key)
            chosen[candidate.cache]!.add(candidate.score)
        }
        var count: Int64 = 0
        for (cache, arguments) in chosen {
            count += try await call(Scripts.evict, cache, arguments, on: browser).integer ?? 0
        }
        return Int(count)
    }

    public func statistics() async throws -> StoreStatistics {
        let caches = try await caches(on: bulk)
        // What is left of a larger number is for the janitor.
        _ = try await sweepAll(caches, on: bulk, batches: 50)
        return try await statistics(of: caches, on: bulk)
    }

    private func statistics(
        of caches: [String], on lane: Lanes<RedisConnection>
    ) async throws -> StoreStatistics {
        let replies = try await run(
            caches.flatMap { cache in
                let space = space(cache)
                return [RedisCommand("HMGET", space.ledger, "entries", "bytes"), RedisCommand("ZCARD", space.marks)]
            }, on: lane)
        var sum = StoreStatistics(entries: 0, bytes: 0, limit: sizeLimit, tombstones: 0)
        for index in stride(from: 0, to: replies.count - 1, by: 2) {
            sum.entries += Int(replies[index].elements?.first?.integer ?? 0)
            let marks = Int(replies[index + 1].integer ?? 0)
            sum.bytes += Int(replies[index].elements?.last?.integer ?? 0) + marks * MarkRules.size
            sum.tombstones! += marks
        }
        return sum
    }
}
