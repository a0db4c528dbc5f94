import Foundation
import PerennialMongoDB
import Synchronization
import TestServers

/// A part of the test's server that is empty, and the backends on it.
final class Scratch: Sendable {
    private static let shared = Mutex<MongoServer?>(nil)

    let server: MongoServer
    let database = "test_" + String(UInt32.random(in: .min ... .max), radix: 36)
    private let opened = Mutex<[MongoDBBackend]>([])

    /// - Parameter server: default: one that all tests share.
    init(_ server: MongoServer? = nil) async throws {
        if let server {
            self.server = server
        } else {
            self.server = try await aside {
                try Self.shared.withLock { shared in
                    let server = try shared ?? MongoServer()
                    shared = server
                    return server
                }
            }
        }
    }

    var url: String { "mongodb://127.0.0.1:\(server.port)/\(database)?timeout=30" }

    func open(sizeLimit: Int? = nil, options: String = "") throws -> MongoDBBackend {
        let backend = try MongoDBBackend(url: url + options, sizeLimit: sizeLimit)
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
