public import Foundation

/// A PgBouncer before a PostgreSQL server. Like that, it does not run as root.
public final class PgBouncer: Sendable {
    private let process: ServerProcess

    /// - Parameter mode: `session` or `transaction`.
    public init(before server: PostgresServer, mode: String) throws {
        let folder = try temporaryFolder("pgbouncer")
        let program = PostgresServer.asUser + ["/usr/sbin/pgbouncer"]
        let users = folder.appending(path: "users")
        try "\"postgres\" \"\"\n".write(to: users, atomically: true, encoding: .utf8)
        let file = folder.appending(path: "pgbouncer.ini")
        process = try ServerProcess(program[0], folder: folder) { _, _ in program.dropFirst() + [file.path] }
        let settings = """
            [databases]
            * = host=127.0.0.1 port=\(server.port)
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = \(process.port)
            unix_socket_dir =
            auth_type = trust
            auth_file = \(users.path)
            pool_mode = \(mode)
            """
        try settings.write(to: file, atomically: true, encoding: .utf8)
        let port = process.port
        try process.start { isListening(port) }
    }

    public var url: String { "postgres://postgres@127.0.0.1:\(process.port)/postgres" }
}
