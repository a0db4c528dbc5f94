import Perennial
import PerennialEngines
import PerennialTesting
import TestServers
import Testing

/// What a Redis that has reached its `maxmemory` refuses, and what always goes through.
@Suite(.serialized) struct FullServerTests {
    private func start(_ policy: String, _ limit: String) async throws -> RedisServer {
        try await SharedEngine.redis.start(["--maxmemory", limit, "--maxmemory-policy", policy]) as! RedisServer
    }

    /// From now on there is no room for anything.
    private func fill(_ server: RedisServer) async throws {
        try await aside { try server.command(["config", "set", "maxmemory", "100kb"]) }
    }

    @Test func `a full server takes no entries, from those who hold leases neither, says so, and goes on being read`()
        async throws
    {
        let server = try await start("noeviction", "4mb")
        let open = try openBackend(server)
        let store = open.backend.store
        _ = try await store.save(Samples.entry(), fence: nil, releasing: nil)
        let keys = (0..<500).map { Samples.key("\($0)") }
        for outcome in try await store.lease(keys, token: "t", until: Samples.now + .minutes(1), now: Samples.now) {
            guard case .granted = outcome else { throw NotSeen() }
        }
        var (saved, refusals) = (0, [String]())
        for key in keys {
            do {
                let entry = Samples.entry(key, bytes: Array(repeating: 1, count: 20_000))
                _ = try await store.save(entry, fence: nil, releasing: "t")
                saved += 1
            } catch {
                refusals.append("\(error)")
            }
        }
        // Of 10 MB, what fits.
        #expect(saved < 200 && saved + refusals.count == 500)
        #expect(refusals.first?.contains("out of memory; raise maxmemory") == true)
        #expect(try await store.read([Samples.key()])[0].entry?.bytes == Samples.entry().bytes)
        // Who was refused holds no lease any more.
        _ = try await store.remove(.tag("none", cache: "people"), now: Samples.now)
        try await aside { try server.command(["config", "set", "maxmemory", "0"]) }
        let others = try await store.lease(keys, token: "u", until: Samples.now + .minutes(1), now: Samples.now)
        #expect(others.allSatisfy { if case .granted = $0 { true } else { false } })
        await open.close()
    }

    @Test func `on a full server, purges make room, and all is as it was before`() async throws {
        let server = try await start("noeviction", "0")
        let open = try openBackend(server)
        let store = open.backend.store
        for number in 0..<50 {
            let entry = Samples.entry(Samples.key("\(number)"), bytes: Array(repeating: 1, count: 20_000), tags: ["t"])
            _ = try await store.save(entry, fence: nil, releasing: nil)
        }
        let leases = try await store.lease(
            [Samples.key("0"), Samples.key("1")], token: "t", until: Samples.now + .minutes(1), now: Samples.now)
        #expect(leases.count == 2)
        try await fill(server)
        await #expect(throws: (any Error).self) {
            try await store.save(Samples.entry(), fence: nil, releasing: nil)
        }
        try await store.touch([Samples.key("3")], now: Samples.now + .minutes(1))
        // A machine that comes now can purge, too.
        let late = try openBackend(server)
        #expect(try await late.backend.store.markStale(.key(Samples.key("0")), now: Samples.now) == 1)
        #expect(try await store.markStale(.tag("t", cache: "people"), now: Samples.now) == 50)
        #expect(try await store.markStale(.cache("people"), now: Samples.now) == 50)
        #expect(try await store.remove(.key(Samples.key("0")), now: Samples.now) == 1)
        #expect(try await store.remove(.key(Samples.key("none")), now: Samples.now) == 0)
        #expect(
            try await store.extendLease(
                Samples.key("1"), token: "t", until: Samples.now + .minutes(2), now: Samples.now))
        try await store.releaseLease(Samples.key("1"), token: "t")
        #expect(try await store.maintain(now: Samples.now).dead == 0)
        #expect(try await store.maintain(now: Samples.now + .days(30)).dead == 49)
        #expect(try await store.remove(.tag("t", cache: "people"), now: Samples.now) == 0)
        #expect(try await store.remove(.cache("people"), now: Samples.now) == 0)
        #expect(try await store.statistics().entries == 0)
        try await aside { try server.command(["config", "set", "maxmemory", "4mb"]) }
        for number in 0..<400 {
            let entry = Samples.entry(Samples.key("\(number)"), bytes: Array(repeating: 1, count: 20_000), tags: ["t"])
            do { _ = try await store.save(entry, fence: nil, releasing: nil) } catch { break }
        }
        #expect(try await store.remove(.cache("people"), now: Samples.now) > 0)
        _ = try await store.save(Samples.entry(), fence: nil, releasing: nil)
        await late.close()
        await open.close()
    }

    @Test func `on a full server, workers take, extend, finish, retry and bury, and the dead are replayed`()
        async throws
    {
        let server = try await start("noeviction", "0")
        let open = try openBackend(server)
        let queue = open.backend.queue
        let (now, until) = (Samples.now, Samples.now + .minutes(1))
        for number in 0..<10 {
            #expect(try await queue.enqueue(Samples.job(Samples.key("\(number)")), notBefore: now, now: now))
        }
        try await fill(server)
        await #expect(throws: (any Error).self) {
            try await queue.enqueue(Samples.job(Samples.key("new")), notBefore: now, now: now)
        }
        let taken = try await queue.dequeue(caches: ["people"], limit: 9, worker: "w", until: until, now: now)
        #expect(taken.count == 9)
        #expect(try await queue.extend(taken, until: until + .minutes(1)).count == 9)
        try await queue.complete(Array(taken[..<3]))
        try await queue.retry(taken[3], at: now, error: "no answer")
        try await queue.giveBack(taken[4], at: now)
        try await queue.bury(taken[5], error: "no answer", now: now)
        #expect(try await queue.counts() == [.queued: 3, .running: 3, .dead: 1])
        #expect(try await queue.replay(nil, now: now) == 1)
        let again = try await queue.dequeue(caches: ["people"], limit: 9, worker: "w", until: until, now: now)
        #expect(again.count == 4)
        try await queue.complete(again + taken[6...])
        #expect(try await queue.counts() == [.queued: 0, .running: 0, .dead: 0])
        await open.close()
    }

    @Test(arguments: ["volatile-ttl", "volatile-lru"])
    func `a server that evicts entries evicts no leases`(policy: String) async throws {
        let server = try await start(policy, "8mb")
        let open = try openBackend(server)
        let store = open.backend.store
        let keys = (0..<500).map { Samples.key("leased \($0)") }
        let until = Samples.now + .minutes(1)
        _ = try await store.lease(keys, token: "t", until: until, now: Samples.now)
        for number in 0..<2000 {
            let entry = Samples.entry(Samples.key("\(number)"), bytes: Array(repeating: 1, count: 10_000))
            _ = try await store.save(entry, fence: nil, releasing: nil)
        }
        let others = try await store.lease(keys, token: "u", until: until, now: Samples.now)
        #expect(others.count { if case .held = $0 { true } else { false } } == 500)
        await open.close()
    }

    @Test func `Redis that evicts entries loses nothing else`() async throws {
        let server = try await SharedEngine.redis.start(["--maxmemory", "8mb", "--maxmemory-policy", "volatile-lru"])
        let open = try openBackend(server)
        let (store, queue) = (open.backend.store, open.backend.queue)
        for number in 0..<50 {
            let job = Samples.job(Samples.key("\(number)"))
            #expect(try await queue.enqueue(job, notBefore: Samples.now, now: Samples.now))
        }
        for number in 0..<2000 {
            let entry = Samples.entry(
                Samples.key("\(number)"), bytes: Array(repeating: UInt8(number % 256), count: 10_000))
            _ = try await store.save(entry, fence: nil, releasing: nil)
        }
        let records = try await store.read((0..<2000).map { Samples.key("\($0)") })
        let left = records.compactMap(\.entry)
        #expect(left.count > 50 && left.count < 1500)
        for entry in left {
            let number = Int(entry.metadata.key.key)!
            #expect(entry.bytes == Array(repeating: UInt8(number % 256), count: 10_000))
        }
        #expect(try await queue.counts()[.queued] == 50)
        // What is gone is not counted, before the janitor comes and afterwards. Reading may have evicted some more.
        for isTidy in [false, true] {
            if isTidy { for _ in 0..<3 { _ = try await store.maintain(now: Samples.now) } }
            let still = try await store.read((0..<2000).map { Samples.key("\($0)") }).count { $0.entry != nil }
            #expect(try await store.statistics().entries == still, "\(isTidy)")
        }
        await open.close()
    }
}
