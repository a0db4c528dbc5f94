import Foundation
import Testing

/// Several processes on one file.
@Suite(.serialized) struct FleetTests {
    @Test func `four processes with one cold key ask the origin once`() async throws {
        let fleet = try FleetFiles()
        defer { fleet.remove() }
        let outcome = try await aside { try fleet.readTogether(readers: 1000, delay: 300, warm: false, workers: 0) }
        #expect(outcome == Array(repeating: "answers 1000 different 1", count: 4))
        #expect(try fleet.journal().filter { $0.what == "begin" }.count == 1)
    }

    @Test func `a thousand readers of one stale key in each of four processes make one refresh`() async throws {
        let fleet = try FleetFiles()
        defer { fleet.remove() }
        let outcome = try await aside {
            try fleet.run(["seed", "--count", "1", "--jobs", "no"])
            return try fleet.readTogether(readers: 1000, delay: 100, warm: true, workers: 2, patience: 1500)
        }
        #expect(outcome.allSatisfy { $0.hasPrefix("answers 1000 ") })
        #expect(try fleet.journal().filter { $0.what == "begin" }.count == 1)
    }

    @Test func `workers killed at random lose no job, do none twice at the same time, and damage no entry`()
        async throws
    {
        let kills = Int(ProcessInfo.processInfo.environment["FLEET_KILLS"] ?? "10")!
        let count = Int(ProcessInfo.processInfo.environment["FLEET_ENTRIES"] ?? "2000")!
        let fleet = try FleetFiles()
        defer { fleet.remove() }
        let (report, state) = try await aside {
            try fleet.run(["seed", "--count", "\(count)"])
            return (try fleet.killWorkers(times: kills, workers: 4), try fleet.run(["check"]))
        }
        #expect(report.kills == kills)
        #expect(state == ["seeded 0 fetched \(count) damaged 0", "queued 0 running 0 dead 0"])
        let overlaps = try fleet.overlaps(endOfLife: report.endOfLife)
        #expect(overlaps.isEmpty)
        print(
            "kill -9 \(kills) times, \(count) entries: \(try fleet.journal().filter { $0.what == "begin" }.count) fetches"
        )
    }
}

/// Runs what blocks its thread on one that nobody else needs.
private func aside<Result: Sendable>(_ work: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Swift.Result { try work() }) }
    }
}

/// A file for a fleet, its journal, and the processes that use them.
struct FleetFiles: Sendable {
    struct Line {
        let what: String
        let key: String
        let pid: Int32
        let time: Int
    }

    let folder: URL
    private let program: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "fleet-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let bundle = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
        program = bundle.appending(path: "fleet")
    }

    func remove() { try? FileManager.default.removeItem(at: folder) }

    private func process(_ arguments: [String]) -> (Process, input: Pipe, output: Pipe) {
        let process = Process()
        process.executableURL = program
        process.arguments =
            [arguments[0], "--file", folder.appending(path: "cache.sqlite").path, "--journal", journalPath]
            + arguments.dropFirst()
        let (input, output) = (Pipe(), Pipe())
        process.standardInput = input
        process.standardOutput = output
        return (process, input, output)
    }

    private var journalPath: String { folder.appending(path: "journal").path }

    /// Runs to the end; the lines that were printed.
    @discardableResult
    func run(_ arguments: [String]) throws -> [String] {
        let (process, _, output) = process(arguments)
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        return text.split(separator: "\n").map(String.init)
    }

    func journal() throws -> [Line] {
        guard let text = try? String(contentsOfFile: journalPath, encoding: .utf8) else { return [] }
        return text.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ").map(String.init)
            guard words.count == 4, let pid = Int32(words[2]), let time = Int(words[3]) else { return nil }
            return Line(what: words[0], key: words[1], pid: pid, time: time)
        }
    }

    /// Four processes that read `key-0` at the same time; what each said.
    func readTogether(
        readers: Int, delay: Int, warm: Bool, workers: Int, patience: Int = 0
    ) throws -> [String] {
        let machines = (0..<4).map { _ in
            process([
                "read", "--key", "key-0", "--readers", "\(readers)", "--delay", "\(delay)", "--warm",
                warm ? "yes" : "no",
                "--workers", "\(workers)", "--patience", "\(patience)",
            ])
        }
        for machine in machines { try machine.0.run() }
        for machine in machines { _ = machine.output.fileHandleForReading.readLine() }
        for machine in machines { machine.input.fileHandleForWriting.write(Data("go\n".utf8)) }
        return machines.map { machine in
            let text = String(decoding: machine.output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            machine.0.waitUntilExit()
            return text.trimmingCharacters(in: .whitespacesAndNewlines)
        }
    }

    /// Kills one of the workers again and again, then lets the others finish.
    func killWorkers(times: Int, workers: Int) throws -> (kills: Int, endOfLife: [Int32: Int]) {
        var endOfLife: [Int32: Int] = [:]
        func start() throws -> Process {
            let (process, _, _) = process(["work", "--lease", "1000", "--delay", "20", "--workers", "8"])
            try process.run()
            return process
        }
        func kill(_ process: Process) {
            Foundation.kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
            endOfLife[process.processIdentifier] = monotonicNow()
        }
        var random = SystemRandomNumberGenerator()
        var running = try (0..<workers).map { _ in try start() }
        for _ in 0..<times {
            usleep(UInt32.random(in: 20_000...200_000, using: &random))
            let victim = Int.random(in: 0..<workers, using: &random)
            kill(running[victim])
            running[victim] = try start()
        }
        let deadline = monotonicNow() + 120_000_000_000
        while monotonicNow() < deadline {
            if try run(["check"]).last == "queued 0 running 0 dead 0" { break }
            usleep(200_000)
        }
        for process in running { kill(process) }
        return (times, endOfLife)
    }

    /// Keys that two processes asked for at the same time.
    func overlaps(endOfLife: [Int32: Int]) throws -> [String] {
        var begun: [String: Line] = [:]
        var overlapping: [String] = []
        for line in try journal().sorted(by: { $0.time < $1.time }) {
            if line.what == "end" {
                if begun[line.key]?.pid == line.pid { begun[line.key] = nil }
                continue
            }
            // Still under way in another process, which was alive then?
            if let other = begun[line.key], endOfLife[other.pid].map({ line.time < $0 }) ?? true {
                overlapping.append(line.key)
            }
            begun[line.key] = line
        }
        return overlapping
    }

    private func monotonicNow() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int(time.tv_sec) * 1_000_000_000 + Int(time.tv_nsec)
    }
}

extension FileHandle {
    fileprivate func readLine() -> String {
        var line = Data()
        while let byte = try? read(upToCount: 1), let first = byte.first, first != UInt8(ascii: "\n") {
            line.append(first)
        }
        return String(decoding: line, as: UTF8.self)
    }
}
