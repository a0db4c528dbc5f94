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

    @Test func `a key of another kind in an entry's place is an error, and others are read all the same`() async throws
    {
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

    @Test func `entries, leases and large values expire by themselves`() async throws {
        let scratch = try await Scratch()
        let backend = try scratch.open()
        let large = [UInt8](repeating: 7, count: 3_000_000)
        _ = try await backend.save(Samples.entry(bytes: large), fence: nil, releasing: nil)
        _ = try await backend.lease(
            [Samples.key()], token: "t", until: Samples.now + .seconds(30), now: Samples.now)
        let space = space(scratch)
        let name = try await run(scratch, RedisCommand("HGET", space.entry("ada"), "b"))[0].text ?? ""
        let lives = try await run(
            scratch, RedisCommand("PTTL", space.entry("ada")), RedisCommand("PTTL", space.large(name)),
            RedisCommand("PTTL", "\(space.base):l:ada")
        ).map { Duration.milliseconds($0.integer ?? -1) }
        // Useless after a week, and an hour more; a lease a minute longer than it was taken for.
        #expect(lives[0] > .days(7) && lives[0] <= .days(7) + .hours(1))
        #expect(lives[1] > .days(7) && lives[1] <= .days(7) + .hours(1))
        #expect(lives[2] > .seconds(30) && lives[2] <= .seconds(90))
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

    @Test func `forgotten scripts are brought again`() async throws {
        let scratch = try await Scratch(try await aside { try RedisServer() })
        let backend = try scratch.open()
        _ = try await backend.save(Samples.entry(), fence: nil, releasing: nil)
        _ = try await run(scratch, RedisCommand("SCRIPT", "FLUSH"))
        _ = try await backend.save(Samples.entry(bytes: [2]), fence: nil, releasing: nil)
        #expect(try await backend.read([Samples.key()])[0].entry?.bytes == [2])
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
