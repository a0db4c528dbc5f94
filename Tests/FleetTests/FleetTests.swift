import Foundation
import TestServers
import Testing

/// Several processes on one store, of every engine.
@Suite(.serialized) struct FleetTests {
    private var environment: [String: String] { ProcessInfo.processInfo.environment }

    @Test(arguments: Engine.allCases)
    func `four processes with one cold key ask the origin once`(engine: Engine) async throws {
        let fleet = try await aside { try Fleet(engine) }
        let outcome = try await aside { try fleet.readTogether(readers: 1000, delay: 300, warm: false, workers: 0) }
        #expect(outcome.allSatisfy { $0.hasPrefix("answers 1000 different 1 ") }, "\(outcome)")
        #expect(try fleet.journal().filter { $0.what == "begin" }.count == 1)
        print("\(engine), one cold key, a fetch of 300 ms: \(outcome)")
    }

    @Test(arguments: Engine.allCases)
    func `a thousand readers of one stale key in each of four processes make one refresh`(engine: Engine) async throws {
        let fleet = try await aside { try Fleet(engine) }
        let outcome = try await aside {
            try fleet.run(["seed", "--count", "1", "--jobs", "no"])
            return try fleet.readTogether(readers: 1000, delay: 100, warm: true, workers: 2, patience: 1500)
        }
        #expect(outcome.allSatisfy { $0.hasPrefix("answers 1000 ") }, "\(outcome)")
        #expect(try fleet.journal().filter { $0.what == "begin" }.count == 1)
    }

    @Test(arguments: Engine.allCases)
    func `many stale keys read by four processes at once make one job and one request each`(engine: Engine)
        async throws
    {
        let count = engine.count(environment["FLEET_ENTRIES"].flatMap { Int($0) } ?? 2000)
        let fleet = try await aside { try Fleet(engine) }
        let outcome = try await aside {
            try fleet.run(["seed", "--count", "\(count)", "--jobs", "no"])
            return try fleet.together((0..<4).map { _ in ["sweep", "--count", "\(count)"] })
        }
        let words = outcome.map { $0.split(separator: " ").map(String.init) }
        #expect(words.allSatisfy { $0.count == 4 && $0[1] == "\(count)" }, "\(outcome)")
        #expect(words.reduce(0) { $0 + (Int($1.last ?? "") ?? 0) } == count, "jobs queued: \(outcome)")
        let asked = try fleet.journal().filter { $0.what == "begin" }.map(\.key)
        #expect(asked.count == count)
        #expect(Set(asked).count == count)
    }

    @Test(arguments: Engine.allCases)
    func `workers killed at random lose no job, do none twice at the same time, and damage no entry`(engine: Engine)
        async throws
    {
        let kills = environment["FLEET_KILLS"].flatMap { Int($0) } ?? 10
        let count = engine.count(environment["FLEET_ENTRIES"].flatMap { Int($0) } ?? 2000)
        let fleet = try await aside { try Fleet(engine) }
        let (report, state) = try await aside {
            try fleet.run(["seed", "--count", "\(count)"])
            return (try fleet.killWorkers(times: kills, workers: 4), try fleet.run(["check"]))
        }
        #expect(report.kills == kills)
        #expect(state == ["seeded 0 fetched \(count) damaged 0", "queued 0 running 0 dead 0"])
        let overlaps = try fleet.overlaps(endOfLife: report.endOfLife)
        #expect(overlaps.isEmpty)
        let fetches = try fleet.journal().filter { $0.what == "begin" }.count
        print("\(engine), kill -9 \(kills) times, \(count) entries: \(fetches) fetches")
    }

    @Test(arguments: Engine.allCases.filter(\.hasServer))
    func `a server killed and started again under load fails no reader and loses nothing that was confirmed`(
        engine: Engine
    ) async throws {
        let restarts = environment["FLEET_RESTARTS"].flatMap { Int($0) } ?? 3
        let fleet = try await aside { try Fleet(engine) }
        let (outcome, verified, state) = try await aside {
            let outcome = try fleet.loadWhileRestarting(times: restarts, keys: engine.count(2000))
            return (outcome, try fleet.verify(), try fleet.drain())
        }
        #expect(outcome.allSatisfy { $0.contains(" failed 0") && !$0.hasPrefix("reads 0 ") }, "\(outcome)")
        #expect(verified.hasSuffix(" lost 0"), "\(verified)")
        #expect(state == "queued 0 running 0 dead 0")
        print("\(engine), killed and started again \(restarts) times: \(outcome), \(verified)")
    }
}

/// What a fleet shares.
enum Engine: String, CaseIterable, CustomStringConvertible {
    case sqlite, redis, postgres, mongodb

    var description: String { rawValue }
    var hasServer: Bool { self != .sqlite }

    /// How many entries a test of so many has with this engine.
    func count(_ count: Int) -> Int {
        // SecantusDB, in MongoDB's place, grows slow with the collection.
        self == .mongodb ? min(count, 200) : count
    }

    /// A server that keeps what it has confirmed, even when it is killed.
    func start() throws -> (any EngineServer)? {
        switch self {
        case .sqlite: nil
        case .postgres: try PostgresServer()
        case .mongodb: try MongoServer(options: ["--sync-on-commit"])
        case .redis: try RedisServer(options: ["--appendonly", "yes", "--appendfsync", "always"])
        }
    }
}

/// A store for a fleet, its journal, and the processes that use them.
final class Fleet: Sendable {
    struct Line: Sendable {
        let what: String
        let key: String
        let pid: Int32
        let time: Int
    }

    let folder: URL
    private let program: URL
    private let server: (any EngineServer)?
    private let store: String

    init(_ engine: Engine) throws {
        // A process that has ended is found out by what it printed.
        signal(SIGPIPE, SIG_IGN)
        folder = try temporaryFolder("fleet")
        server = try engine.start()
        store = server?.url ?? "sqlite:\(folder.path)/cache.sqlite"
        let bundle = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
        program = bundle.appending(path: "fleet")
    }

    deinit {
        server?.kill()
        try? FileManager.default.removeItem(at: folder)
    }

    private func process(_ arguments: [String]) -> (Process, input: Pipe, output: Pipe) {
        let process = Process()
        process.executableURL = program
        process.arguments =
            [arguments[0], "--store", store, "--journal", journalPath]
            + arguments.dropFirst()
        let (input, output) = (Pipe(), Pipe())
        process.standardInput = input
        process.standardOutput = output
        return (process, input, output)
    }

    private var journalPath: String { folder.appending(path: "journal").path }

    /// Runs to the end; the lines that were printed.
    @discardableResult
    func run(_ arguments: [String], input text: String = "") throws -> [String] {
        let (process, input, output) = process(arguments)
        try process.run()
        try input.fileHandleForWriting.write(contentsOf: Data(text.utf8))
        try input.fileHandleForWriting.close()
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
        try together(
            (0..<4).map { _ in
                [
                    "read", "--key", "key-0", "--readers", "\(readers)", "--delay", "\(delay)", "--warm",
                    warm ? "yes" : "no", "--workers", "\(workers)", "--patience", "\(patience)",
                ]
            })
    }

    /// Starts processes, lets them begin at the same time once all are ready, and waits for their ends; what each said.
    func together(_ commands: [[String]]) throws -> [String] {
        let machines = commands.map { process($0) }
        for machine in machines { try machine.0.run() }
        for machine in machines { _ = machine.output.fileHandleForReading.readLine() }
        for machine in machines { machine.input.fileHandleForWriting.write(Data("go\n".utf8)) }
        return machines.map { machine in
            let text = String(decoding: machine.output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            machine.0.waitUntilExit()
            return text.trimmingCharacters(in: .whitespacesAndNewlines)
        }
    }

    /// Kills the server again and again while three processes read and set.
    func loadWhileRestarting(times: Int, keys: Int) throws -> [String] {
        let machines = (0..<3).map { _ in process(["load", "--count", "\(keys)", "--refresh-after", "500"]) }
        for machine in machines { try machine.0.run() }
        for machine in machines { _ = machine.output.fileHandleForReading.readLine() }
        for _ in 0..<times {
            usleep(UInt32.random(in: 500_000...1_500_000))
            server?.kill()
            usleep(UInt32.random(in: 100_000...700_000))
            try server?.start()
        }
        // Until those who read have noticed that it is back.
        usleep(2_000_000)
        for machine in machines { machine.input.fileHandleForWriting.write(Data("stop\n".utf8)) }
        return machines.map { machine in
            let text = String(decoding: machine.output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            machine.0.waitUntilExit()
            return text.trimmingCharacters(in: .whitespacesAndNewlines)
        }
    }

    /// Whether everything is there that was set for sure.
    func verify() throws -> String {
        let keys = try journal().filter { $0.what == "set" }.map(\.key)
        #expect(keys.count > 0)
        return try run(["verify"], input: keys.map { "\($0)\n" }.joined()).last ?? ""
    }

    /// Works until no job is left.
    func drain() throws -> String {
        let (worker, _, _) = process(["work", "--workers", "8"])
        try worker.run()
        defer {
            Foundation.kill(worker.processIdentifier, SIGKILL)
            worker.waitUntilExit()
        }
        let deadline = monotonicNow() + 120_000_000_000
        while monotonicNow() < deadline {
            if try run(["check"]).last == "queued 0 running 0 dead 0" { break }
            usleep(200_000)
        }
        return try run(["check"]).last ?? ""
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
