import Perennial
import PerennialConnections
import PerennialTesting
import TestServers
import Testing

@testable import PerennialRedis

/// A job that makes no sense is dropped, and counted; the others go on.
@Suite struct DamagedJobTests {
    /// Text, nothing, a number, an array that ends too early, one that is too short, one with another array in it, and one whose
    /// numbers are none.
    static let lines: [[UInt8]] = [
        Array("?".utf8), [], [0xc1], [0x9b, 0x01], [0x93, 0x01, 0x02, 0x03],
        [0x9b] + Array(repeating: 0x90, count: 11),
        [0x9b] + Array(repeating: 0xa1, count: 1) + [0x78]
            + Array(repeating: 0xa0, count: 10),
    ]

    private let now = Samples.now
    private let until = Samples.now + .minutes(1)

    /// Three jobs, and what overwrites the second.
    private func begin() async throws -> (Scratch, RedisBackend, damage: @Sendable ([UInt8]) async throws -> Void) {
        let scratch = try await Scratch()
        let backend = try scratch.open()
        for name in ["a", "b", "c"] {
            _ = try await backend.enqueue(Samples.job(Samples.key(name)), notBefore: now, now: now)
        }
        let (url, base) = (scratch.url, KeySpace(prefix: scratch.prefix, cache: "people").base)
        return (
            scratch, backend,
            { line in
                try await aside {
                    let connection = try RedisConnection(RedisAddress(EngineURL(url), options: ["prefix"]))
                    defer { connection.close() }
                    var command = RedisCommand("HSET", "\(base):j", "b")
                    command.add(line)
                    _ = try connection.run(command)
                }
            }
        )
    }

    private func take(_ backend: RedisBackend) async throws -> [Delivery] {
        try await backend.dequeue(caches: ["people"], limit: 10, worker: "w", until: until, now: now)
    }

    private func names(_ deliveries: [Delivery]) -> [String] { deliveries.map(\.job.key.key) }

    @Test(arguments: lines) func `queued, it hinders none of the others`(line: [UInt8]) async throws {
        let (scratch, backend, damage) = try await begin()
        try await damage(line)
        #expect(try await backend.jobs(state: nil, after: nil, limit: 9).map(\.key.key) == ["a", "c"])
        let taken = try await take(backend)
        #expect(names(taken) == ["a", "c"])
        #expect(backend.unreadableCount > 0)
        #expect(try await backend.counts() == [.queued: 0, .running: 2, .dead: 0])
        #expect(try await backend.enqueue(Samples.job(Samples.key("b")), notBefore: now, now: now))
        #expect(names(try await take(backend)) == ["b"])
        await scratch.closeAll()
    }

    @Test(arguments: lines) func `it is queued anew when somebody asks for that`(line: [UInt8]) async throws {
        let (scratch, backend, damage) = try await begin()
        try await damage(line)
        #expect(try await backend.enqueue(Samples.job(Samples.key("b")), notBefore: now, now: now))
        #expect(names(try await take(backend)) == ["a", "c", "b"])
        #expect(try await backend.counts() == [.queued: 0, .running: 3, .dead: 0])
        await scratch.closeAll()
    }

    @Test(arguments: lines) func `running, it hinders none of the others`(line: [UInt8]) async throws {
        let (scratch, backend, damage) = try await begin()
        let taken = try await take(backend)
        #expect(taken.count == 3)
        try await damage(line)
        #expect(names(try await backend.extend(taken, until: until)) == ["a", "c"])
        #expect(backend.unreadableCount > 0)
        try await damage(line)
        try await backend.complete(taken)
        #expect(try await backend.counts() == [.queued: 0, .running: 0, .dead: 0])
        #expect(try await backend.enqueue(Samples.job(Samples.key("b")), notBefore: now, now: now))
        _ = try await backend.maintain(now: now)
        #expect(try await backend.counts() == [.queued: 1, .running: 0, .dead: 0])
        await scratch.closeAll()
    }

    @Test(arguments: lines) func `dead, it hinders none of the others`(line: [UInt8]) async throws {
        let (scratch, backend, damage) = try await begin()
        for delivery in try await take(backend) { try await backend.bury(delivery, error: "no answer", now: now) }
        try await damage(line)
        #expect(try await backend.jobs(state: .dead, after: nil, limit: 9).map(\.key.key) == ["a", "c"])
        #expect(try await backend.replay(nil, now: now) == 2)
        #expect(backend.unreadableCount > 0)
        #expect(try await backend.counts() == [.queued: 2, .running: 0, .dead: 0])
        #expect(names(try await take(backend)) == ["a", "c"])
        await scratch.closeAll()
    }
}
