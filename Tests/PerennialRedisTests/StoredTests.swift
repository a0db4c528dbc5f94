import Perennial
import PerennialConnections
import PerennialTesting
import TestServers
import Testing

@testable import PerennialRedis

/// What lies in Redis, as those find it who look there.
@Suite struct StoredTests {
    /// Runs commands beside the backend.
    private func run(_ scratch: Scratch, _ commands: RedisCommand...) async throws -> [RedisReply] {
        let url = scratch.url
        return try await aside {
            let connection = try RedisConnection(RedisAddress(EngineURL(url), options: ["prefix"]))
            defer { connection.close() }
            return try commands.map { try connection.run($0) }
        }
    }

    private func space(_ scratch: Scratch) -> KeySpace { KeySpace(prefix: scratch.prefix, cache: "people") }

    @Test func `an entry that makes no sense is taken for missing, and saving mends it`() async throws {
        for (field, value) in [("o", "?"), ("m", "?"), ("g", "x"), ("v", "short"), ("o", "")] {
            let scratch = try await Scratch()
            let backend = try scratch.open()
            _ = try await backend.save(Samples.entry(), fence: nil, releasing: nil)
            _ = try await run(scratch, RedisCommand("HSET", space(scratch).entry("ada"), field, value))
            #expect(try await backend.read([Samples.key()])[0].entry == nil, "\(field)")
            #expect(backend.unreadableCount == 1)
            #expect(try await backend.list(cache: nil, tag: nil, after: nil, limit: 9).count <= 1)
            _ = try await backend.save(Samples.entry(), fence: nil, releasing: nil)
            #expect(try await backend.read([Samples.key()])[0].entry?.bytes == Samples.entry().bytes)
            await scratch.closeAll()
        }
    }

    /// What is done to a key in whose place something of another type lies.
    enum Deed: CaseIterable {
        case save, confirm, markStale, markTagStale, remove, removeTag, removeCache, lease, claim, list, maintain

        /// - Returns: whether the key counted as missing.
        func isDone(_ backend: RedisBackend) async throws -> Bool {
            let (key, now) = (Samples.key(), Samples.now)
            switch self {
            case .save:
                return try await backend.save(Samples.entry(tags: ["x"]), fence: nil, releasing: nil) != .superseded
            case .confirm:
                return try await backend.confirm(Samples.entry().metadata, fence: nil, releasing: nil) == .superseded
            case .markStale: return try await backend.markStale(.key(key), now: now) == 0
            case .markTagStale: return try await backend.markStale(.tag("x", cache: "people"), now: now) == 0
            case .remove: return try await backend.remove(.key(key), now: now) <= 1
            case .removeTag: return try await backend.remove(.tag("x", cache: "people"), now: now) <= 1
            case .removeCache: return try await backend.remove(.cache("people"), now: now) <= 1
            case .lease:
                let outcomes = try await backend.lease([key], token: "a", until: now + .seconds(9), now: now)
                return outcomes[0].record.entry == nil
            case .claim:
                let claim = try await backend.claimRefresh(Samples.job(), leaseUntil: now + .seconds(9), now: now)
                if case .newer(let record) = claim { return record.entry == nil }
                return false
            case .list: return try await backend.list(cache: nil, tag: "x", after: nil, limit: 9) == []
            case .maintain: return try await backend.maintain(now: now + .days(30)).isUnfinished == false
            }
        }
    }

    @Test(arguments: Deed.allCases, [["SET", "text"], ["SADD", "member"]])
    func `what is of another type in an entry's place is missing, and replaced`(
        _ deed: Deed, _ other: [String]
    ) async throws {
        let scratch = try await Scratch()
        let backend = try scratch.open()
        _ = try await backend.save(Samples.entry(tags: ["x"]), fence: nil, releasing: nil)
        let place = space(scratch).entry("ada")
        _ = try await run(scratch, RedisCommand("DEL", place), RedisCommand(other[0], place, other[1]))
        #expect(try await backend.read([Samples.key()])[0].entry == nil)
        #expect(backend.unreadableCount == 1)
        #expect(try await deed.isDone(backend))
        _ = try await backend.save(Samples.entry(bytes: [2], tags: ["x"]), fence: nil, releasing: nil)
        #expect(try await backend.read([Samples.key()])[0].entry?.bytes == [2])
        #expect(try await backend.remove(.tag("x", cache: "people"), now: Samples.now) == 1)
        #expect(try await backend.statistics().entries == 0)
        await scratch.closeAll()
    }

    @Test func `what is of another type in the place of a tag's keys, or of a large value, harms nothing else`()
        async throws
    {
        let scratch = try await Scratch()
        let backend = try scratch.open()
        let large = [UInt8](repeating: 1, count: RedisBackend.largeValue + 1)
        _ = try await backend.save(Samples.entry(bytes: large, tags: ["x"]), fence: nil, releasing: nil)
        let name = try await run(scratch, RedisCommand("HGET", space(scratch).entry("ada"), "b"))[0].text ?? ""
        for place in [space(scratch).tagged("x"), space(scratch).large(name)] {
            _ = try await run(scratch, RedisCommand("DEL", place), RedisCommand("SADD", place, "member"))
        }
        #expect(try await backend.read([Samples.key()])[0].entry == nil)
        #expect(try await backend.remove(.tag("x", cache: "people"), now: Samples.now) == 0)
        #expect(try await backend.remove(.key(Samples.key()), now: Samples.now) == 1)
        _ = try await backend.save(Samples.entry(tags: ["x"]), fence: nil, releasing: nil)
        #expect(try await backend.remove(.tag("x", cache: "people"), now: Samples.now) == 1)
        await scratch.closeAll()
    }

    @Test func `a key of another kind in an entry's place harms no other`() async throws {
        let scratch = try await Scratch()
        let backend = try scratch.open()
        for name in ["a", "b", "c"] {
            _ = try await backend.save(Samples.entry(Samples.key(name)), fence: nil, releasing: nil)
        }
        let entry = space(scratch).entry("b")
        _ = try await run(scratch, RedisCommand("DEL", entry), RedisCommand("SET", entry, "text"))
        await withTaskGroup(of: Void.self) { group in
            for name in ["a", "b", "c"] {
                for _ in 0..<20 {
                    group.addTask {
                        let found = try? await backend.read([Samples.key(name)])[0].entry?.bytes
                        #expect(found == (name == "b" ? nil : Samples.entry().bytes))
                    }
                }
            }
        }
        await scratch.closeAll()
    }

    @Test func `of many claims at once, one that the server refuses fails alone`() async throws {
        let scratch = try await Scratch()
        let backend = try scratch.open()
        var generations: [Generation] = []
        for number in 0..<100 {
            let outcome = try await backend.save(Samples.entry(Samples.key("\(number)")), fence: nil, releasing: nil)
            guard case .saved(let generation) = outcome else {
                Issue.record("not saved")
                return
            }
            generations.append(generation)
        }
        let bad = space(scratch).entry("50")
        _ = try await run(scratch, RedisCommand("DEL", bad), RedisCommand("SET", bad, "text"))
        let queued = await withTaskGroup(of: Int?.self) { group in
            for (number, generation) in generations.enumerated() {
                group.addTask {
                    let job = Samples.job(Samples.key("\(number)"), generation: generation)
                    let outcome = try? await backend.claimRefresh(
                        job, leaseUntil: Samples.now + .minutes(1), now: Samples.now)
                    if case .queued? = outcome { return number }
                    return nil
                }
            }
            return await group.reduce(into: Set<Int>()) { found, number in
                if let number { found.insert(number) }
            }
        }
        #expect(queued == Set(0..<100).subtracting([50]))
        let taken = try await backend.dequeue(
            caches: ["people"], limit: 200, worker: "w", until: Samples.now + .minutes(1), now: Samples.now)
        #expect(Set(taken.map(\.job.key.key)) == Set(queued.map(String.init)))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for delivery in taken { group.addTask { try await backend.complete([delivery]) } }
            try await group.waitForAll()
        }
        #expect(try await backend.counts() == [.queued: 0, .running: 0, .dead: 0])
        await scratch.closeAll()
    }

    @Test func `entries and large values expire by themselves, and leases that nobody ended go`() async throws {
        let scratch = try await Scratch()
        let backend = try scratch.open()
        let large = [UInt8](repeating: 7, count: 3_000_000)
        _ = try await backend.save(Samples.entry(bytes: large), fence: nil, releasing: nil)
        _ = try await backend.lease(
            [Samples.key()], token: "t", until: Samples.now + .seconds(30), now: Samples.now)
        let space = space(scratch)
        let name = try await run(scratch, RedisCommand("HGET", space.entry("ada"), "b"))[0].text ?? ""
        let lives = try await run(
            scratch, RedisCommand("PTTL", space.entry("ada")), RedisCommand("PTTL", space.large(name))
        ).map { Duration.milliseconds($0.integer ?? -1) }
        // Useless after a week, and an hour more.
        #expect(lives[0] > .days(7) && lives[0] <= .days(7) + .hours(1))
        #expect(lives[1] > .days(7) && lives[1] <= .days(7) + .hours(1))
        func leases() async throws -> Int64? { try await run(scratch, RedisCommand("HLEN", space.leases))[0].integer }
        _ = try await backend.maintain(now: Samples.now + .seconds(29))
        #expect(try await leases() == 1)
        _ = try await backend.maintain(now: Samples.now + .minutes(2))
        #expect(try await leases() == 0)
        await scratch.closeAll()
    }

    @Test func `a large value is read, confirmed, leased, replaced and removed like any other`() async throws {
        let scratch = try await Scratch()
        let backend = try scratch.open()
        let large = (0..<5_000_000).map { UInt8(truncatingIfNeeded: $0) }
        let entry = Samples.entry(bytes: large)
        _ = try await backend.save(entry, fence: nil, releasing: nil)
        let record = try await backend.read([Samples.key()])[0]
        #expect(record.entry?.bytes == large)
        _ = try await backend.confirm(entry.metadata, fence: record.fence, releasing: nil)
        let leased = try await backend.lease(
            [Samples.key()], token: "t", until: Samples.now + .seconds(30), now: Samples.now)[0]
        #expect(leased.record.entry?.bytes == large)
        // Too late: nothing of it stays.
        #expect(try await backend.save(entry, fence: record.fence, releasing: nil) == .superseded)
        func largeKeys() async throws -> Int {
            let pattern = "*\(scratch.prefix)*:v:*"
            return try await run(scratch, RedisCommand("KEYS", pattern))[0].elements?.count ?? -1
        }
        #expect(try await largeKeys() == 1)
        _ = try await backend.save(Samples.entry(), fence: nil, releasing: nil)
        #expect(try await largeKeys() == 0)
        #expect(try await backend.read([Samples.key()])[0].entry?.bytes == Samples.entry().bytes)
        _ = try await backend.save(entry, fence: nil, releasing: nil)
        #expect(try await backend.remove(.key(Samples.key()), now: Samples.now) == 1)
        #expect(try await largeKeys() == 0)
        await scratch.closeAll()
    }

    @Test func `a large value that the server evicted before its entry was saved is no entry`() async throws {
        let scratch = try await Scratch()
        let backend = try scratch.open()
        var metadata = Samples.entry().metadata
        metadata.size = 3
        await #expect(throws: (any Error).self) {
            try await backend.write(
                metadata, fence: nil, releasing: nil, isConfirmation: false, bytes: [], name: "evicted")
        }
        #expect(try await backend.statistics().entries == 0)
        await scratch.closeAll()
    }

    @Test func `a save of a large value that is done twice, since its answer was lost, keeps the value`() async throws {
        let scratch = try await Scratch()
        let backend = try scratch.open()
        let fence = try await backend.read([Samples.key()])[0].fence
        var metadata = Samples.entry().metadata
        metadata.size = 3
        _ = try await run(scratch, RedisCommand("SET", space(scratch).large("name"), "abc", "PX", "60000"))
        func write() async throws -> SaveOutcome {
            try await backend.write(
                metadata, fence: fence, releasing: nil, isConfirmation: false, bytes: [], name: "name")
        }
        let first = try await write()
        #expect(try await write() == first)
        #expect(try await backend.read([Samples.key()])[0].entry?.bytes == Array("abc".utf8))
        await scratch.closeAll()
    }

    @Test func `leases of many entries with much in them don't go through the script's memory`() async throws {
        let scratch = try await Scratch()
        let backend = try scratch.open()
        let keys = (0..<30).map { Samples.key("\($0)") }
        let bytes = [UInt8](repeating: 7, count: 1_000_000)
        for key in keys { _ = try await backend.save(Samples.entry(key, bytes: bytes), fence: nil, releasing: nil) }
        let outcomes = try await backend.lease(
            keys, token: "t", until: Samples.now + .seconds(30), now: Samples.now)
        for outcome in outcomes {
            guard case .granted(let record) = outcome else {
                Issue.record("not granted")
                continue
            }
            #expect(record.entry?.bytes == bytes)
        }
        let (now, limit) = (String(Samples.now.milliseconds), String(RedisBackend.largeValue))
        var arguments = RedisCommand("t", now, now, limit)
        for key in keys { arguments.add(key.key) }
        let reply = try await backend.call(Scripts.lease, "people", arguments).elements ?? []
        #expect(reply.count == 61)
        let size = reply.reduce(0) { $0 + ($1.elements ?? []).reduce(0) { $0 + ($1.bytes?.count ?? 0) } }
        #expect(size > 1_000_000 && size < 3_000_000)
        await scratch.closeAll()
    }

    @Test func `what an earlier version knew of removals and purges holds, and is brought into the new form`()
        async throws
    {
        let scratch = try await Scratch()
        let backend = try scratch.open()
        let (space, base) = (space(scratch), space(scratch).base)
        let fence = try await backend.read([Samples.key()])[0].fence
        _ = try await backend.save(Samples.entry(Samples.key("there")), fence: nil, releasing: nil)
        let seen = try await backend.read([Samples.key()])[0].fence.number
        _ = try await run(scratch, RedisCommand("HSET", space.known, "ada", "\(seen + 1) -1 - "))
        _ = try await run(scratch, RedisCommand("ZADD", base + ":x", String(Samples.now.milliseconds), "ada"))
        _ = try await run(scratch, RedisCommand("ZADD", base + ":p", String(seen + 2), "told"))
        _ = try await run(scratch, RedisCommand("ZADD", base + ":pa", String(Samples.now.milliseconds), "told"))
        _ = try await run(
            scratch, RedisCommand("HSET", space.ledger, "seq", String(seen + 2), "last_purge", String(seen + 2)))
        func areRefused() async throws {
            let removed = try await backend.save(Samples.entry(), fence: Generation(seen), releasing: nil)
            #expect(removed == .superseded)
            let purged = try await backend.save(
                Samples.entry(Samples.key("tagged"), tags: ["old"]), fence: Generation(seen), releasing: nil)
            #expect(purged == .superseded)
        }
        #expect(fence.number < seen)
        try await areRefused()
        _ = try await backend.maintain(now: Samples.now)
        try await areRefused()
        #expect(try await run(scratch, RedisCommand("EXISTS", base + ":x", base + ":p", base + ":pa"))[0].integer == 0)
        let later = try await backend.read([Samples.key()])[0].fence
        #expect(try await backend.save(Samples.entry(), fence: later, releasing: nil) != .superseded)
        await scratch.closeAll()
    }

    @Test func `what is known of removals takes little memory, and no more than there is room for`() async throws {
        let scratch = try await Scratch()
        let backend = try scratch.open()
        let tail = String(repeating: "x", count: 8_000)
        for number in 0..<200 {
            _ = try await backend.remove(.key(Samples.key("\(number)\(tail)")), now: Samples.now)
            _ = try await backend.remove(.tag("\(number)\(tail)", cache: "people"), now: Samples.now)
        }
        let size = try await run(scratch, RedisCommand("MEMORY", "USAGE", space(scratch).marks))[0].integer ?? .max
        #expect(size < 100_000)
        #expect(try await run(scratch, RedisCommand("HLEN", space(scratch).known))[0].integer == 0)
        #expect(try await backend.statistics().tombstones == 400)
        await scratch.closeAll()
    }

    @Test(arguments: ["?", "", "1", "1 2 -", "x 1 - ", "99999999999999999999999 1 - ", "1 300 - \u{1}x", "5 -1 -"])
    func `what is known of a key and makes no sense hinders neither saving nor removing`(line: String) async throws {
        // Without an entry, a line that is well formed but for its tags could only be a lie.
        for isThere in line.hasPrefix("1 300") ? [true] : [true, false] {
            let scratch = try await Scratch()
            let backend = try scratch.open()
            let (space, now) = (space(scratch), Samples.now)
            func damage() async throws {
                _ = try await run(scratch, RedisCommand("HSET", space.known, "ada", line))
            }
            func begin() async throws {
                _ = try await backend.save(Samples.entry(tags: ["t"]), fence: nil, releasing: nil)
                if !isThere { _ = try await backend.remove(.key(Samples.key()), now: now) }
                try await damage()
            }
            try await begin()
            // The first try may be refused: nobody knows what was written since it began.
            var outcomes: [SaveOutcome] = []
            for _ in 0..<2 {
                let fence = try await backend.read([Samples.key()])[0].fence
                outcomes.append(
                    try await backend.save(Samples.entry(bytes: [2], tags: ["u"]), fence: fence, releasing: nil))
            }
            #expect(outcomes.last != .superseded)
            #expect(try await backend.read([Samples.key()])[0].entry?.bytes == [2])
            #expect(try await backend.statistics().entries == 1)
            try await damage()
            let count = try await backend.list(cache: nil, tag: nil, after: nil, limit: 9).count
            #expect(count == 1)
            _ = try await backend.markStale(.key(Samples.key()), now: now)
            try await damage()
            _ = try await backend.markStale(.tag("u", cache: "people"), now: now)
            try await damage()
            #expect(try await backend.remove(.key(Samples.key()), now: now) == 1)
            #expect(try await backend.statistics().entries == 0)
            try await begin()
            _ = try await backend.remove(.tag("t", cache: "people"), now: now)
            try await damage()
            _ = try await backend.remove(.cache("people"), now: now)
            try await damage()
            _ = try await backend.maintain(now: now + .days(30))
            #expect(try await backend.read([Samples.key()])[0].entry == nil)
            #expect(try await backend.statistics().entries == 0)
            await scratch.closeAll()
        }
    }

    @Test func `forgotten scripts are brought again`() async throws {
        let scratch = try await Scratch(try await aside { try RedisServer() })
        let backend = try scratch.open()
        _ = try await backend.save(Samples.entry(), fence: nil, releasing: nil)
        _ = try await run(scratch, RedisCommand("SCRIPT", "FLUSH"))
        _ = try await backend.save(Samples.entry(bytes: [2]), fence: nil, releasing: nil)
        #expect(try await backend.read([Samples.key()])[0].entry?.bytes == [2])
        // Also for what must not be done twice.
        for number in 0..<20 {
            _ = try await backend.enqueue(
                Samples.job(Samples.key("\(number)")), notBefore: Samples.now, now: Samples.now)
        }
        _ = try await run(scratch, RedisCommand("SCRIPT", "FLUSH"))
        let taken = try await withThrowingTaskGroup(of: [Delivery].self) { group in
            for _ in 0..<20 {
                group.addTask {
                    try await backend.dequeue(
                        caches: ["people"], limit: 1, worker: "w", until: Samples.now + .minutes(1), now: Samples.now)
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        #expect(Set(taken.map(\.job.key)).count == 20)
        await scratch.closeAll()
    }

    @Test func `a server that lost everything never gives an older generation`() async throws {
        let scratch = try await Scratch(try await aside { try RedisServer() })
        let backend = try scratch.open()
        guard case .saved(let first) = try await backend.save(Samples.entry(), fence: nil, releasing: nil) else {
            return
        }
        _ = try await run(scratch, RedisCommand("FLUSHALL"))
        guard case .saved(let second) = try await backend.save(Samples.entry(), fence: nil, releasing: nil) else {
            return
        }
        #expect(second > first)
        // The janitor tells which caches there are.
        _ = try await backend.maintain(now: Samples.now)
        #expect(try await backend.statistics().entries == 1)
        await scratch.closeAll()
    }
}
