import Foundation
import PerennialPostgres
import Synchronization
import TestServers

/// A part of the test's server that is empty, and the backends on it.
final class Scratch: Sendable {
    private static let shared = Mutex<PostgresServer?>(nil)

    let server: PostgresServer
    let schema = "test_" + String(UInt32.random(in: .min ... .max), radix: 36)
    private let opened = Mutex<[PostgresBackend]>([])

    /// - Parameter server: default: one that all tests share.
    init(_ server: PostgresServer? = nil) async throws {
        if let server {
            self.server = server
        } else {
            self.server = try await aside {
                try Self.shared.withLock { shared in
                    let server = try shared ?? PostgresServer(options: ["-c", "fsync=off"])
                    shared = server
                    return server
                }
            }
        }
    }

    var url: String { "\(server.url)?schema=\(schema)&timeout=20" }

    func open(sizeLimit: Int? = nil, options: String = "") throws -> PostgresBackend {
        let backend = try PostgresBackend(url: url + options, sizeLimit: sizeLimit)
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
