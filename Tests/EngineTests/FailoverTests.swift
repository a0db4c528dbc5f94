import Logging
import Perennial
import PerennialEngines
import PerennialTesting
import TestServers
import Testing

/// Another server takes over, at the same address.
@Suite(.serialized) struct FailoverTests {
    /// A cache on what an address leads to.
    private func open(_ server: any EngineServer, through network: Network) throws -> OpenEngine {
        let url = server.url.replacing(":\(server.port)", with: ":\(network.port)") + "?timeout=2"
        return try openEngine(EngineAddress(url), sizeLimit: nil, logger: .init(label: "test"))
    }

    /// Readers go on while there is no primary, and all heals with the new one, which has what the old one had confirmed.
    private func check(
        _ old: any EngineServer, _ new: any EngineServer, confirmed: (OpenEngine) async throws -> Void,
        failOver: @escaping @Sendable (Network) throws -> Void, takeOver: @escaping @Sendable (Network) throws -> Void
    ) async throws {
        let network = try await aside { try Network(to: old.port) }
        let here = try open(old, through: network)
        let origin = CountingOrigin()
        let cache = origin.cache(here.backend)
        _ = try await cache["a"]
        let there = try openBackend(new)
        try await confirmed(there)

        try await aside { try failOver(network) }
        let source = try await cache.lookup("a").source
        #expect(source == .memory)
        try await eventually {
            let source = try await cache.lookup("meanwhile \(origin.count)").source
            #expect(source == .origin)
            return !cache.health.isComplete
        }

        try await aside { try takeOver(network) }
        try await eventually {
            _ = try await cache["probe \(origin.count)"]
            return cache.health.isComplete
        }
        _ = try await cache["later"]
        let keys = ["a", "later"].map { EntryKey(cache: "people", key: $0) }
        let records = try await there.backend.store.read(keys)
        #expect(records.allSatisfy { $0.entry != nil })
        await cache.shutdown()
        await here.close()
        await there.close()
        network.close()
    }

    private func seesA(_ engine: OpenEngine) async throws {
        try await eventually {
            try await engine.backend.store.read([EntryKey(cache: "people", key: "a")])[0].entry != nil
        }
    }

    @Test func `Redis: a primary that has become a replica is left for the new one`() async throws {
        let old = try await aside { try RedisServer() }
        let new = try await aside { try RedisServer(options: ["--replicaof", "127.0.0.1", "\(old.port)"]) }
        try await check(old, new, confirmed: seesA) { _ in
            try new.command(["replicaof", "no", "one"])
            try old.command(["replicaof", "127.0.0.1", "\(new.port)"])
        } takeOver: { network in
            network.lead(to: new.port)
        }
    }

    @Test func `PostgreSQL: a standby takes over from a primary that is gone`() async throws {
        let old = try await aside { try PostgresServer() }
        let before = try openBackend(old)
        _ = try await before.backend.store.statistics()
        let new = try await aside { try PostgresServer(standbyOf: old) }
        try await check(old, new, confirmed: seesA) { _ in
            old.kill()
        } takeOver: { network in
            try new.promote()
            network.lead(to: new.port)
        }
        await before.close()
    }

    @Test func `a pooler in transaction mode is refused with a word on what to do, one in session mode works`()
        async throws
    {
        let server = try await aside { try PostgresServer() }
        let direct = try openBackend(server)
        _ = try await direct.backend.store.save(Samples.entry(), fence: nil, releasing: nil)
        let pooler = try await aside { try PgBouncer(before: server, mode: "transaction") }
        let refused = try openEngine(EngineAddress(pooler.url), sizeLimit: nil, logger: .init(label: "test"))
        let error = await #expect(throws: (any Error).self) {
            for _ in 0..<20 {
                // Side by side, so that the pooler has to mix them.
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<8 { group.addTask { _ = try await refused.backend.store.read([Samples.key()]) } }
                    try await group.waitForAll()
                }
            }
        }
        #expect("\(try #require(error))".contains("use session mode"))
        await refused.close()

        let session = try await aside { try PgBouncer(before: server, mode: "session") }
        let works = try openEngine(EngineAddress(session.url), sizeLimit: nil, logger: .init(label: "test"))
        let record = try await works.backend.store.read([Samples.key()])[0]
        #expect(record.entry?.bytes == Samples.entry().bytes)
        await works.close()
        await direct.close()
    }
}
