import Foundation
import Logging
import Perennial
import PerennialCelery
import PerennialConnections
import PerennialRedis
import Synchronization
import TestServers

/// An empty database of the test's server, since Celery's own keys have one name for all queues; and the queues on it.
final class Scratch: Sendable {
    private static let shared = Mutex<(server: RedisServer, last: Int)?>(nil)

    let server: RedisServer
    let database: Int
    private let opened = Mutex<[CeleryQueue]>([])

    init() async throws {
        (server, database) = try await aside {
            try Self.shared.withLock { shared in
                var (server, last) = try shared ?? (RedisServer(options: ["--databases", "2000"]), 0)
                last += 1
                shared = (server, last)
                return (server, last)
            }
        }
    }

    private var broker: String { "redis://127.0.0.1:\(server.port)/\(database)" }
    /// As Python's Celery wants it.
    var brokerURL: String { broker }
    var url: String { "celery+\(broker)" }

    func open(_ options: String = "", logger: Logger = Logger(label: "test")) throws -> CeleryQueue {
        let queue = try CeleryQueue(url: url + options, logger: logger)
        opened.withLock { $0.append(queue) }
        return queue
    }

    func closeAll() async {
        let all = opened.withLock { opened in
            defer { opened = [] }
            return opened
        }
        for queue in all { await queue.close() }
    }

    /// Asks the server itself.
    @discardableResult
    func redis(_ words: String...) async throws -> RedisReply {
        let url = broker
        return try await aside {
            let connection = try RedisConnection(RedisAddress(EngineURL(url), options: []))
            defer { connection.close() }
            var command = RedisCommand()
            for word in words { command.add(word) }
            return try connection.run(command)
        }
    }
}

struct NotSeen: Error {}

/// Waits until it is so, for a minute at most.
func eventually(_ condition: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(60)
    while ContinuousClock.now < deadline {
        if try await condition() { return }
        try await Task.sleep(for: .milliseconds(20))
    }
    throw NotSeen()
}
