import Foundation
import Logging
import Perennial
import PerennialEngines
import Synchronization
import TestServers

/// The engines that have servers, each with one of its own.
enum SharedEngine: String, CaseIterable, CustomStringConvertible {
    case redis, postgres, mongodb

    var description: String { rawValue }

    /// - Parameter options: of the server's command line.
    func start(_ options: [String] = []) async throws -> any EngineServer {
        try await aside {
            switch self {
            case .redis: try RedisServer(options: options)
            case .postgres: try PostgresServer(options: options)
            case .mongodb: try MongoServer(options: options)
            }
        }
    }
}

/// Opens the backend at a server's address.
func openBackend(_ server: any EngineServer, _ options: String = "") throws -> OpenEngine {
    try openEngine(EngineAddress(server.url + options), sizeLimit: nil, logger: .init(label: "test"))
}

/// An origin that counts who asks.
final class CountingOrigin: Sendable {
    private let asked = Atomic(0)
    var count: Int { asked.load(ordering: .relaxed) }

    func cache(_ backend: any Backend, workers: Int = 0, policy: Policy = .standard) -> Cache<String, String> {
        Cache("people", policy: policy, backend: backend, workers: workers) { [self] key, _ in
            "\(key) \(asked.add(1, ordering: .relaxed).newValue)"
        }
    }
}

struct NotSeen: Error {}

/// Waits until it is so, for half a minute at most.
func eventually(_ condition: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(30)
    while ContinuousClock.now < deadline {
        if try await condition() { return }
        try await Task.sleep(for: .milliseconds(10))
    }
    throw NotSeen()
}
