public import Foundation

/// SecantusDB, which speaks MongoDB's protocol: Debian has no mongod.
public final class MongoServer: EngineServer {
    private let process: ServerProcess

    /// - Parameters:
    ///   - options: as on its command line, like `--standalone`.
    ///   - folder: that of another which was killed, for what that had kept; default: a new one.
    public init(options: [String] = [], folder: URL? = nil) throws {
        guard FileManager.default.isExecutableFile(atPath: Self.program) else {
            throw ServerFailure("there is no SecantusDB at \(Self.program); run scripts/setup test")
        }
        process = try ServerProcess(Self.program, folder: folder) { folder, port in
            [
                "--host", "127.0.0.1", "--port", "\(port)", "--storage-path", "\(folder)/data", "--log-level",
                "WARNING",
                "--cache-size", "256M",
            ] + options
        }
        try start()
    }

    /// Where scripts/setup puts it.
    private static let program = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: ".venv-mongodb/bin/secantusd-py").path

    public var port: Int { process.port }
    public var folder: URL { process.folder }
    public var url: String { "mongodb://127.0.0.1:\(port)/perennial" }

    public func start() throws {
        let port = process.port
        try process.start { isListening(port) }
    }

    public func kill() { process.kill() }
    public func pause() { process.pause() }
    public func resume() { process.resume() }
}
