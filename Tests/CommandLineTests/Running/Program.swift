import Foundation
import Synchronization

/// The built program, run as its users run it.
enum Program {
    struct Result {
        var code: Int32
        var output: String
        var errors: String

        var outputLines: [Substring] { output.split(separator: "\n") }
    }

    /// Where the build left it: beside the test bundle.
    static let path: String = {
        let bundle =
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
        return URL(fileURLWithPath: bundle).deletingLastPathComponent().appending(path: "perennial").path
    }()

    /// Runs it to its end. Of this process's environment it sees nothing but what it needs to run.
    static func run(_ arguments: [String], environment: [String: String] = [:], in folder: Folder) async throws
        -> Result
    {
        let process = make(arguments, environment: environment, in: folder)
        let output = folder.path(UUID().uuidString)
        let errors = folder.path(UUID().uuidString)
        process.standardOutput = try newFile(output)
        process.standardError = try newFile(errors)
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            process.terminationHandler = { _ in continuation.resume() }
            do { try process.run() } catch { continuation.resume(throwing: error) }
        }
        return Result(
            code: process.terminationStatus, output: try String(contentsOfFile: output, encoding: .utf8),
            errors: try String(contentsOfFile: errors, encoding: .utf8))
    }

    /// Runs it as on a terminal, which shows what it prints on either way.
    /// - Parameters:
    ///   - columns: how wide the terminal is.
    ///   - answer: what a person types.
    static func runOnTerminal(
        _ arguments: [String], columns: Int = 80, answer: String = "", environment: [String: String] = [:],
        in folder: Folder
    ) async throws -> Result {
        let words = ([path] + arguments).map { "'\($0)'" }.joined(separator: " ")
        let process = make([], environment: environment, in: folder)
        process.executableURL = URL(fileURLWithPath: "/usr/bin/script")
        process.arguments = ["-qec", "stty cols \(columns); exec \(words)", "/dev/null"]
        let output = folder.path(UUID().uuidString)
        process.standardOutput = try newFile(output)
        let input = Pipe()
        process.standardInput = input
        try input.fileHandleForWriting.write(contentsOf: Data(answer.utf8))
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            process.terminationHandler = { _ in continuation.resume() }
            do { try process.run() } catch { continuation.resume(throwing: error) }
        }
        try input.fileHandleForWriting.close()
        let shown = try String(contentsOfFile: output, encoding: .utf8).replacing("\r\n", with: "\n")
        return Result(code: process.terminationStatus, output: shown, errors: "")
    }

    static func newFile(_ path: String) throws -> FileHandle {
        try Data().write(to: URL(fileURLWithPath: path))
        return try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    }

    static func make(_ arguments: [String], environment: [String: String], in folder: Folder) -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        let kept = ["PATH", "HOME", "LD_LIBRARY_PATH", "TMPDIR"]
        process.environment = ProcessInfo.processInfo.environment.filter { kept.contains($0.key) }
            .merging(environment) { $1 }
        process.currentDirectoryURL = URL(fileURLWithPath: folder.path)
        process.standardInput = FileHandle.nullDevice
        return process
    }
}

/// A folder of one test, gone with it.
final class Folder: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "perennial-test-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    func path(_ name: String) -> String { "\(path)/\(name)" }
}

/// `perennial serve` or `worker`, running.
final class RunningProgram {
    private let process: Process
    private let log: String
    private let ended: AsyncStream<Int32>
    /// What it said when it was ready.
    private(set) var readyLine = ""

    /// Starts it and waits until it says that it is ready.
    init(_ arguments: [String], environment: [String: String] = [:], in folder: Folder) async throws {
        process = Program.make(arguments, environment: environment, in: folder)
        let pipe = Pipe()
        process.standardOutput = pipe
        log = folder.path("\(UUID().uuidString).log")
        process.standardError = try Program.newFile(log)
        let (ended, continuation) = AsyncStream.makeStream(of: Int32.self)
        self.ended = ended
        process.terminationHandler = {
            continuation.yield($0.terminationStatus)
            continuation.finish()
        }
        let (chunks, chunk) = AsyncStream.makeStream(of: Data.self)
        pipe.fileHandleForReading.readabilityHandler = { handle in
            let data = handle.availableData
            if data.isEmpty {
                handle.readabilityHandler = nil
                chunk.finish()
            } else {
                chunk.yield(data)
            }
        }
        try process.run()
        for await data in chunks {
            readyLine += String(decoding: data, as: UTF8.self)
            if let end = readyLine.firstIndex(of: "\n") {
                readyLine = String(readyLine[..<end])
                return
            }
        }
        throw NotReady(errors: (try? String(contentsOfFile: log, encoding: .utf8)) ?? "")
    }

    deinit {
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    }

    /// What it has said on standard error.
    var errors: String { (try? String(contentsOfFile: log, encoding: .utf8)) ?? "" }

    func send(_ signal: Int32) {
        kill(process.processIdentifier, signal)
    }

    var pid: Int32 { process.processIdentifier }

    /// The addresses in the ready line, in its order: the origin's, the gateway's, the admin's.
    var addresses: [String] {
        readyLine.split(whereSeparator: { " ,".contains($0) }).filter { $0.contains("://") }.map(String.init)
    }

    /// Sends a signal and waits for the end.
    /// - Returns: the exit code, or the number of the signal that ended it.
    func stop(_ signal: Int32) async -> Int32? {
        kill(process.processIdentifier, signal)
        for await code in ended { return code }
        return nil
    }

    struct NotReady: Error {
        var errors: String
    }
}
