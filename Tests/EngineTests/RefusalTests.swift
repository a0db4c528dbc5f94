import Foundation
import Logging
import Perennial
import PerennialEngines
import PerennialTesting
import Synchronization
import TestServers
import Testing

/// What a server refuses is said once, with what to do, and nobody waits for it.
@Suite(.serialized) struct RefusalTests {
    /// What was logged, a line each.
    private final class Lines: Sendable {
        private let lines = Mutex<[String]>([])
        var all: [String] { lines.withLock { $0 } }
        var logger: Logger { Logger(label: "test") { [self] _ in Handler(lines: self) } }

        private struct Handler: LogHandler {
            let lines: Lines
            var metadata: Logger.Metadata = [:]
            var logLevel: Logger.Level = .trace

            subscript(metadataKey key: String) -> Logger.Metadata.Value? {
                get { metadata[key] }
                set { metadata[key] = newValue }
            }

            func log(event: LogEvent) {
                lines.lines.withLock { $0.append("\(event.level): \(event.message)") }
            }
        }
    }

    private func open(_ url: String, _ lines: Lines) throws -> OpenEngine {
        try openEngine(EngineAddress(url), sizeLimit: nil, logger: lines.logger)
    }

    @Test func `a Redis that may evict more than entries is warned of, once`() async throws {
        let server = try await aside { try RedisServer(options: ["--maxmemory-policy", "allkeys-lru"]) }
        let lines = Lines()
        let engine = try open(server.url, lines)
        try await eventually { !lines.all.isEmpty }
        try await aside {
            server.kill()
            try server.start()
        }
        try await eventually { (try? await engine.backend.store.statistics()) != nil }
        #expect(lines.all.count { $0.contains("maxmemory-policy allkeys-lru") } == 1)
        #expect(lines.all.first?.contains("set maxmemory-policy volatile-lru") == true)
        await engine.close()
    }

    @Test func `a Redis that evicts only entries is not warned of`() async throws {
        let server = try await aside { try RedisServer(options: ["--maxmemory-policy", "volatile-lru"]) }
        let lines = Lines()
        let engine = try open(server.url, lines)
        let changes = engine.backend.store.changes()
        let heard = Lines()
        let hearing = Task {
            for await _ in changes { return heard.logger.info("heard") }
        }
        try await eventually {
            _ = try await engine.backend.store.save(Samples.entry(), fence: nil, releasing: nil)
            return !heard.all.isEmpty
        }
        hearing.cancel()
        #expect(lines.all == [])
        await engine.close()
    }

    @Test func `rights that a user of Redis lacks are named, also where only listening needs them`() async throws {
        let server = try await aside { try RedisServer() }
        for (name, rights) in [("reader", "~* &* +@read +ping +script|load"), ("deaf", "~* resetchannels +@all")] {
            try await aside {
                try server.command(
                    ["acl", "setuser", name, "on", ">secret"] + rights.split(separator: " ").map(String.init))
            }
            let lines = Lines()
            let engine = try open(server.url.replacing("redis://", with: "redis://\(name):secret@"), lines)
            if name == "reader" {
                let error = try await #require(throws: (any Error).self) {
                    try await engine.backend.store.save(Samples.entry(), fence: nil, releasing: nil)
                }
                #expect("\(error)".contains("this user lacks a right") && "\(error)".contains("ACL SETUSER"))
                #expect(!"\(error)".contains("secret"))
            } else {
                try await eventually { !lines.all.isEmpty }
                #expect(lines.all.count == 1)
                #expect(
                    lines.all[0].contains("changes in Redis can't be heard") && lines.all[0].contains("ACL SETUSER"))
                try await aside { try server.command(["acl", "setuser", name, "&*"]) }
                try await eventually { lines.all.count == 2 }
                #expect(lines.all[1].contains("heard again"))
            }
            await engine.close()
        }
    }

    @Test func `a PostgreSQL without free connections, or rights, is named with what to do`() async throws {
        let server = try await aside {
            try PostgresServer(options: ["-c", "max_connections=4", "-c", "superuser_reserved_connections=0"])
        }
        let lines = Lines()
        let engine = try open(server.url, lines)
        let store = engine.backend.store
        let works: [@Sendable () async throws -> Void] = [
            { _ = try await store.read([Samples.key()]) },
            { _ = try await store.save(Samples.entry(), fence: nil, releasing: nil) },
            { _ = try await store.statistics() },
            { _ = try await store.list(cache: nil, tag: nil, after: nil, limit: 1) },
        ]
        // Seven are needed, so somebody is refused.
        try await eventually {
            let errors = await withTaskGroup(of: String?.self) { group in
                for work in works {
                    group.addTask {
                        do {
                            try await work()
                            return nil
                        } catch {
                            return "\(error)"
                        }
                    }
                }
                return await group.reduce(into: [String]()) { $0 += $1.map { [$0] } ?? [] }
            }
            return (errors + lines.all).contains {
                $0.contains("no free connection") && $0.contains("raise max_connections")
            }
        }
        await engine.close()
    }

    @Test func `a user of PostgreSQL who may make no schema is told what to do`() async throws {
        let server = try await aside { try PostgresServer() }
        try await aside {
            let process = Process()
            process.executableURL = URL(filePath: "/usr/bin/env")
            process.arguments = ["psql", server.url, "-q", "-c", "CREATE ROLE weak LOGIN"]
            try process.run()
            process.waitUntilExit()
        }
        let engine = try open(server.url.replacing("postgres@", with: "weak@"), Lines())
        let error = try await #require(throws: (any Error).self) {
            try await engine.backend.store.read([Samples.key()])
        }
        #expect("\(error)".contains("this user lacks a right") && "\(error)".contains("GRANT CREATE ON DATABASE"))
        await engine.close()
    }

    @Test(arguments: SharedEngine.allCases)
    func `two who use one store know it by one name, and other stores by others`(engine: SharedEngine) async throws {
        let (server, second) = (try await engine.start(), try await engine.start())
        let engines = [try openBackend(server), try openBackend(server), try openBackend(second)]
        var names: [String?] = []
        for engine in engines { names.append(try await engine.backend.store.identity()) }
        #expect(names[0] != nil && names[0] == names[1] && names[0] != names[2])
        for engine in engines { await engine.close() }
    }
}
