import Foundation
import PerennialRedis
import Synchronization
import TestServers

/// A part of the test's server that is empty, and the backends on it.
final class Scratch: Sendable {
    private static let shared = Mutex<RedisServer?>(nil)

    let server: RedisServer
    let prefix = UUID().uuidString
    private let opened = Mutex<[RedisBackend]>([])

    /// - Parameter server: default: one that all tests share.
    init(_ server: RedisServer? = nil) async throws {
        if let server {
            self.server = server
        } else {
            self.server = try await aside {
                try Self.shared.withLock { shared in
                    let server = try shared ?? RedisServer()
                    shared = server
                    return server
                }
            }
        }
    }

    var url: String { "\(server.url)?prefix=\(prefix)" }

    func open(sizeLimit: Int? = nil, options: String = "") throws -> RedisBackend {
        let backend = try RedisBackend(url: url + options, sizeLimit: sizeLimit)
        opened.withLock { $0.append(backend) }
        return backend
    }

    func closeAll() async {
        let all = opened.withLock { opened in
            defer { opened = [] }
            return opened
        }
        for backend in all { await backend.close() }
    }
}
