public import Foundation

/// A redis-server.
public final class RedisServer: Sendable {
    private let process: ServerProcess

    /// - Parameters:
    ///   - options: as on its command line.
    ///   - port: default: a spare one.
    public init(options: [String] = [], port: Int? = nil) throws {
        process = try ServerProcess("redis-server", port: port) { folder, port in
            ["--port", "\(port)", "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no"] + options
        }
        try start()
    }

    public var port: Int { process.port }
    public var folder: URL { process.folder }
    public var url: String { "redis://127.0.0.1:\(port)/0" }

    public func start() throws {
        let port = process.port
        try process.start { isListening(port) }
    }

    /// Runs redis-cli.
    public func command(_ arguments: [String]) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["redis-cli", "-p", "\(port)"] + arguments
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
    }

    public func kill() { process.kill() }
    public func pause() { process.pause() }
    public func resume() { process.resume() }
}
