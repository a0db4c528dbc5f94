public import Foundation
import Synchronization

/// A PostgreSQL server, with a cluster of its own. It does not run as root, so root runs it as `postgres`.
public final class PostgresServer: EngineServer {
    private let process: ServerProcess

    /// - Parameters:
    ///   - primary: follow this one, beginning with a copy of what it has, until ``promote()``; default: begin empty.
    ///   - options: as on its command line, like `-c fsync=off`.
    public init(standbyOf primary: PostgresServer? = nil, options: [String] = []) throws {
        let programs = try Self.programs()
        let folder = try temporaryFolder("postgres")
        if getuid() == 0 { try Self.run(["chown", "postgres", folder.path]) }
        let data = folder.appending(path: "data").path
        if let primary {
            try Self.run(
                Self.asUser + [
                    "\(programs)/pg_basebackup", "-D", data, "-h", "127.0.0.1", "-p", "\(primary.port)", "-U",
                    "postgres", "-R",
                    "-X", "stream", "-c", "fast", "--no-sync",
                ])
        } else {
            try Self.run(
                Self.asUser + [
                    "\(programs)/initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8",
                    "--locale=C.UTF-8",
                ])
        }
        let command = Self.asUser + ["\(programs)/postgres"]
        process = try ServerProcess(command[0], folder: folder) { folder, port in
            command.dropFirst() + [
                "-D", data, "-p", "\(port)", "-k", folder, "-c", "listen_addresses=127.0.0.1", "-c",
                "max_connections=200",
            ] + options
        }
        try start()
    }

    /// Makes a standby a primary.
    public func promote() throws {
        try Self.run(
            Self.asUser + ["\(Self.programs())/pg_ctl", "promote", "-D", folder.appending(path: "data").path, "-w"])
    }

    /// Debian has them in a folder of their own.
    private static func programs() throws -> String {
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: "/usr/lib/postgresql")) ?? []
        let found = versions.sorted { (Int($0) ?? 0) > (Int($1) ?? 0) }.map { "/usr/lib/postgresql/\($0)/bin" }
            .first { FileManager.default.isExecutableFile(atPath: "\($0)/initdb") }
        guard let found else {
            throw ServerFailure("there is no PostgreSQL server; install postgresql, or run scripts/setup test")
        }
        return found
    }

    static var asUser: [String] {
        getuid() == 0 ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] : []
    }

    private static func run(_ command: [String]) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = command
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw ServerFailure("\(command.joined(separator: " ")) ended with \(process.terminationStatus)")
        }
    }

    public var port: Int { process.port }
    public var folder: URL { process.folder }
    public var url: String { "postgres://postgres@127.0.0.1:\(port)/postgres" }

    public func start() throws {
        // What was killed can't have removed it.
        try? FileManager.default.removeItem(at: folder.appending(path: "data/postmaster.pid"))
        let output = process
        try process.start {
            output.output.contains(/ready to accept (read-only )?connections/) && isListening(process.port)
        }
    }

    public func kill() {
        let children = children()
        process.kill()
        for child in children { Foundation.kill(child, SIGKILL) }
        // The next start finds its memory in use until the last of them is gone.
        for child in children { while Foundation.kill(child, 0) == 0 { usleep(1_000) } }
    }

    public func pause() {
        process.pause()
        for child in children() { freeze(child) }
    }

    public func resume() {
        for child in children() { Foundation.kill(child, SIGCONT) }
        process.resume()
    }

    /// One for each connection, and those that work behind.
    private func children() -> [Int32] {
        guard let pid = process.pid,
            let text = try? String(contentsOfFile: "/proc/\(pid)/task/\(pid)/children", encoding: .utf8)
        else { return [] }
        return text.split(separator: " ").compactMap { Int32($0) }
    }
}
