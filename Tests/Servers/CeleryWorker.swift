public import Foundation

/// Celery from PyPI, in the environment that `scripts/setup test` makes.
public enum Celery {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// A file of this project.
    public static func file(_ path: String) -> URL { root.appending(path: path) }

    fileprivate static func program(_ name: String) throws -> String {
        let path = file(".venv-celery/bin/\(name)").path
        guard FileManager.default.isExecutableFile(atPath: path) else {
            throw ServerFailure("there is no \(path); run scripts/setup test, which installs Celery")
        }
        return path
    }

    /// Runs a Python program to its end. Blocks its thread: see ``aside(_:)``.
    public static func python(_ arguments: [String], environment: [String: String]) throws {
        let process = Process()
        process.executableURL = URL(filePath: try program("python"))
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let output = Pipe()
        process.standardOutput = FileHandle.nullDevice
        process.standardError = output
        try process.run()
        let said = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw ServerFailure("python \(arguments.joined(separator: " ")): \(String(decoding: said, as: UTF8.self))")
        }
    }
}

/// A worker of Celery's, in Python.
public final class CeleryWorker: Sendable {
    private let process: ServerProcess

    /// - Parameters:
    ///   - file: the Python file with the application.
    ///   - environment: what the file reads from its environment.
    public init(_ file: URL, environment: [String: String]) throws {
        let celery = try Celery.program("celery")
        process = try ServerProcess("env") { folder, _ in
            environment.map { "\($0.key)=\($0.value)" } + [
                "PYTHONDONTWRITEBYTECODE=1", celery, "--workdir", file.deletingLastPathComponent().path, "-A",
                file.deletingPathExtension().lastPathComponent, "worker", "--pool", "solo", "--loglevel", "INFO",
                "--hostname", "\(UUID().uuidString)@test", "--without-gossip", "--without-mingle",
                "--without-heartbeat",
            ]
        }
        // It listens on no port; that it is there, it says.
        try process.start { [process] in process.output.contains(" ready.") }
    }

    /// What it has logged.
    public var output: String { process.output }

    /// Ends it at once, as `kill -9` does.
    public func kill() { process.kill() }
}
