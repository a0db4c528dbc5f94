// One machine of a fleet, for the tests and benchmarks that need several processes on one store: reads, or works, or fills
// the store with work. Its origin writes down who asked when, in a file that all machines share.
import Foundation
import Logging
import Perennial
import PerennialEngines
import Synchronization

@main
struct Fleet {
    static func main() async throws {
        let arguments = Arguments(CommandLine.arguments)
        let engine = try openEngine(
            EngineAddress(arguments["store"]), sizeLimit: nil, logger: Logger(label: "fleet"))
        let backend = engine.backend
        let journal = Journal(path: arguments["journal"])
        switch arguments.command {
        case "seed":
            try await seed(backend, count: Int(arguments["count"])!, jobs: arguments["jobs", default: "yes"] == "yes")
        case "read": try await read(backend, journal, arguments)
        case "sweep": try await sweep(backend, journal, arguments)
        case "load": try await load(backend, journal, arguments)
        case "verify": try await verify(backend)
        case "work": try await work(backend, journal, arguments)
        case "check": try await check(backend)
        default: fatalError("fleet seed|read|sweep|load|verify|work|check --store ENGINE --journal J …")
        }
    }

    static func cache(
        _ backend: any Backend, _ journal: Journal, _ arguments: Arguments, workers: Int
    ) -> Cache<String, String> {
        var policy = Policy.standard
        policy.leaseTime = .milliseconds(Int64(arguments["lease", default: "30000"])!)
        let delay = Duration.milliseconds(Int64(arguments["delay", default: "0"])!)
        if let refreshAfter = Int64(arguments["refresh-after", default: ""]) {
            policy.limits = Limits(raising: .milliseconds(refreshAfter), .days(1), .days(7))
        }
        return Cache("fleet", policy: policy, backend: backend, workers: workers) { key, _ in
            journal.note("begin", key)
            if delay > .zero { try await Task.sleep(for: delay) }
            journal.note("end", key)
            return value(of: key, "fetched")
        }
    }

    /// Long enough to span pages, and with its key in it, so that damage shows.
    static func value(of key: String, _ kind: String) -> String {
        "\(kind) \(key) " + String(repeating: key, count: 40)
    }

    /// Stale entries, and a job for each if wanted.
    static func seed(_ backend: any Backend, count: Int, jobs: Bool) async throws {
        let now = SystemTime().now
        let codec = Codec<String>.json
        try await withThrowingTaskGroup { group in
            for number in 0..<count {
                group.addTask {
                    let key = EntryKey(cache: "fleet", key: "key-\(number)")
                    let metadata = EntryMetadata(
                        key: key, format: codec.format, savedAt: now - .hours(2), confirmedAt: now - .hours(2),
                        limits: .standard)
                    let entry = StoredEntry(metadata: metadata, bytes: try codec.encode(value(of: key.key, "seeded")))
                    guard case .saved(let generation) = try await backend.store.save(entry, fence: nil, releasing: nil)
                    else { fatalError("not saved") }
                    guard jobs else { return }
                    let job = RefreshJob(
                        key: key, generation: generation, leaseToken: "seed-\(number)", queuedAt: now)
                    guard case .queued = try await backend.claimRefresh(job, leaseUntil: now, now: now) else {
                        fatalError("not queued")
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    /// Waits for a line on standard input, then reads one key many times at once.
    static func read(_ backend: any Backend, _ journal: Journal, _ arguments: Arguments) async throws {
        let cache = cache(backend, journal, arguments, workers: Int(arguments["workers", default: "0"])!)
        let key = arguments["key"]
        if arguments["warm", default: "no"] == "yes" { _ = try await cache.lookup(key) }
        // A machine that has been up for a moment has its connections.
        _ = try await backend.store.statistics()
        _ = try await backend.store.read([EntryKey(cache: "fleet", key: "another")])
        try await backend.store.releaseLease(EntryKey(cache: "fleet", key: "another"), token: "none")
        print("ready")
        fflush(nil)
        _ = readLine()
        let began = ContinuousClock.now
        let expected = try await withThrowingTaskGroup(of: String?.self) { group in
            for _ in 0..<Int(arguments["readers"])! { group.addTask { try await cache[key] } }
            return try await group.reduce(into: [:]) { $0[$1, default: 0] += 1 }
        }
        let took = (ContinuousClock.now - began) / .milliseconds(1)
        // Refreshes that were queued behind get the time to show themselves.
        let patience = Duration.milliseconds(Int64(arguments["patience", default: "0"])!)
        try await Task.sleep(for: patience)
        print("answers", expected.values.reduce(0, +), "different", expected.count, "milliseconds", Int(took))
        await cache.shutdown()
    }

    /// Waits for a line on standard input, then reads every key once, and goes on refreshing until no job is left.
    static func sweep(_ backend: any Backend, _ journal: Journal, _ arguments: Arguments) async throws {
        let cache = cache(backend, journal, arguments, workers: Int(arguments["workers", default: "4"])!)
        let count = Int(arguments["count"])!
        print("ready")
        fflush(nil)
        _ = readLine()
        var keys = (0..<count).map { "key-\($0)" }[...]
        var answers = 0
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for key in keys.prefix(100) { group.addTask { try await cache[key] != nil } }
            keys = keys.dropFirst(100)
            while let isThere = try await group.next() {
                answers += isThere ? 1 : 0
                if let key = keys.popFirst() { group.addTask { try await cache[key] != nil } }
            }
        }
        var quiet = 0
        while quiet < 3 {
            try await Task.sleep(for: .milliseconds(100))
            let counts = try await backend.queue.counts()
            quiet = counts[.queued, default: 0] + counts[.running, default: 0] == 0 ? quiet + 1 : 0
        }
        print("answers", answers, "queued", cache.statistics.refreshesQueued)
        await cache.shutdown()
    }

    /// Reads and sets until a line comes on standard input; says how many reads failed. What was set for sure stands in the journal.
    static func load(_ backend: any Backend, _ journal: Journal, _ arguments: Arguments) async throws {
        let cache = cache(backend, journal, arguments, workers: 2)
        let count = Int(arguments["count"])!
        let isOver = Flag()
        print("ready")
        fflush(nil)
        // On a thread of its own, since it blocks.
        Thread.detachNewThread {
            _ = readLine()
            isOver.set()
        }
        let results = await withTaskGroup(of: (reads: Int, failures: [String]).self) { group in
            for reader in 0..<8 {
                group.addTask {
                    var (reads, failures) = (0, [String]())
                    while !isOver.isSet {
                        // Some of many keys, so that the memory tier does not have them all.
                        let key = "key-\((reads &* 7919 &+ reader &* 104_729) % count)"
                        do {
                            _ = try await cache[key]
                        } catch {
                            failures.append("\(error)")
                        }
                        reads += 1
                        if reads % 20 == 0 {
                            let own = "own-\(getpid())-\(reader)-\(reads)"
                            if (try? await cache.set(own, to: value(of: own, "fetched"))) != nil {
                                journal.note("set", own)
                            }
                        }
                        try? await Task.sleep(for: .milliseconds(2))
                    }
                    return (reads, failures)
                }
            }
            return await group.reduce(into: (0, [String]())) { all, one in
                all.0 += one.reads
                all.1 += one.failures
            }
        }
        print("reads", results.0, "failed", results.1.count, results.1.first ?? "")
        await cache.shutdown()
    }

    /// Looks for everything that the journal says was set.
    static func verify(_ backend: any Backend) async throws {
        var (found, lost) = (0, 0)
        while let key = readLine() {
            let entry = try await backend.store.read([EntryKey(cache: "fleet", key: key)])[0].entry
            if let entry, try Codec<String>.json.decode(entry.bytes) == value(of: key, "fetched") {
                found += 1
            } else {
                lost += 1
            }
        }
        print("found", found, "lost", lost)
    }

    /// Refreshes until it is killed.
    static func work(_ backend: any Backend, _ journal: Journal, _ arguments: Arguments) async throws {
        let cache = cache(backend, journal, arguments, workers: 0)
        let worker = RefreshWorker(
            queue: backend.queue, caches: [cache], concurrency: Int(arguments["workers", default: "8"])!,
            name: "fleet-\(ProcessInfo.processInfo.processIdentifier)", holdTime: cache.policy.leaseTime)
        await worker.run()
    }

    /// Reads every entry and says how many there are of each kind.
    static func check(_ backend: any Backend) async throws {
        var kinds: [String: Int] = [:]
        var after: EntryKey?
        while true {
            let page = try await backend.store.list(cache: "fleet", tag: nil, after: after, limit: 500)
            guard let last = page.last?.key else { break }
            after = last
            for record in try await backend.store.read(page.map(\.key)) {
                guard let entry = record.entry, let text = try? Codec<String>.json.decode(entry.bytes) else {
                    kinds["damaged", default: 0] += 1
                    continue
                }
                let key = entry.metadata.key.key
                let kind = ["seeded", "fetched"].first { text == value(of: key, $0) } ?? "damaged"
                kinds[kind, default: 0] += 1
            }
        }
        let jobs = try await backend.queue.counts()
        print("seeded", kinds["seeded"] ?? 0, "fetched", kinds["fetched"] ?? 0, "damaged", kinds["damaged"] ?? 0)
        print("queued", jobs[.queued] ?? 0, "running", jobs[.running] ?? 0, "dead", jobs[.dead] ?? 0)
    }
}

/// Set once.
final class Flag: Sendable {
    private let state = Atomic(false)
    var isSet: Bool { state.load(ordering: .relaxed) }
    func set() { state.store(true, ordering: .relaxed) }
}

/// `command --name value …`
struct Arguments: Sendable {
    let command: String
    private var values: [String: String] = [:]

    init(_ arguments: [String]) {
        command = arguments.count > 1 ? arguments[1] : ""
        for index in stride(from: 2, to: arguments.count - 1, by: 2) {
            values[String(arguments[index].dropFirst(2))] = arguments[index + 1]
        }
    }

    subscript(name: String) -> String {
        guard let value = values[name] else { fatalError("--\(name) is missing") }
        return value
    }

    subscript(name: String, default standard: String) -> String { values[name] ?? standard }
}

/// Lines "what key pid nanoseconds", appended in one write each, so that the lines of several processes don't mix.
struct Journal: Sendable {
    private let descriptor: Int32

    init(path: String) {
        descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        precondition(descriptor >= 0, "can't open \(path)")
    }

    func note(_ what: String, _ key: String) {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        let line = "\(what) \(key) \(getpid()) \(Int(time.tv_sec) * 1_000_000_000 + Int(time.tv_nsec))\n"
        line.withCString { _ = write(descriptor, $0, strlen($0)) }
    }
}
