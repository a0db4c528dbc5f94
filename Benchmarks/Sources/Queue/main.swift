@preconcurrency import Foundation
import Perennial
import PerennialPostgres
import PerennialRedis
import PerennialSQLite

// Refresh jobs a second through the durable queue of one SQLite file, with an origin that costs nothing; again with
// a million other jobs queued; and opening a file with a million entries. With --store only the first, on that server.
//
// queue [--store redis://…|postgres://…] [--jobs N] [--queued N] [--entries N] [--tasks N] [--workers N] [--bytes N]

func option(_ name: String, _ standard: Int) -> Int {
    let arguments = CommandLine.arguments
    guard let index = arguments.firstIndex(of: name), index + 1 < arguments.count else { return standard }
    return Int(arguments[index + 1]) ?? standard
}

let jobCount = option("--jobs", 100_000)
let queuedCount = option("--queued", 1_000_000)
let entryCount = option("--entries", 1_000_000)
let taskCount = option("--tasks", 64)
let workerCount = option("--workers", taskCount / 2)
let body = [UInt8](repeating: 120, count: option("--bytes", 1_000))
let limits = Limits(raising: .hours(1), .days(7), .days(7))
let time = SystemTime()

// Lines come out one by one, also through a pipe.
setlinebuf(stdout)

let folder = FileManager.default.temporaryDirectory.appendingPathComponent("perennial-queue-\(getpid())").path
try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)

func key(_ number: Int, cache: String = "benchmark") -> EntryKey {
    // Spread over the index, as real keys are.
    EntryKey(cache: cache, key: "https://api.example.com/\(String(UInt64(number) &* 0x9E37_79B9_7F4A_7C15, radix: 16))")
}

func entry(_ key: EntryKey, at: Timestamp) -> StoredEntry {
    StoredEntry(
        metadata: EntryMetadata(
            key: key, format: "json", savedAt: at, confirmedAt: at, limits: limits,
            validator: Validator(etag: "\"33a64df551425fcc55e4d42a148795d9f25f89d4\"")),
        bytes: body)
}

/// Memory of this process that is in use, in MB.
func residentMegabytes() -> Int {
    guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8),
        let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmRSS:") }),
        let kilobytes = Int(line.split(separator: " ").dropFirst().first ?? "")
    else { return -1 }
    return kilobytes / 1024
}

/// Runs `body` for each number, by as many tasks as there are, and gives the seconds it took.
func seconds(_ count: Int, tasks: Int = taskCount, _ body: @escaping @Sendable (Int) async throws -> Void) async throws
    -> Double
{
    let start = ContinuousClock.now
    try await withThrowingTaskGroup(of: Void.self) { group in
        for task in 0..<tasks {
            group.addTask {
                for number in stride(from: task, to: count, by: tasks) { try await body(number) }
            }
        }
        try await group.waitForAll()
    }
    return (ContinuousClock.now - start) / .seconds(1)
}

func line(_ what: String, _ figure: String) {
    print(what.padding(toLength: 62, withPad: " ", startingAt: 0) + figure)
}

func rate(_ count: Int, _ seconds: Double) -> String { "\(Int(Double(count) / seconds)) /s" }

/// Every entry grows stale, is claimed, taken, looked at, saved and done: by readers and workers at the same time.
func refreshAll(_ backend: any Backend) async throws -> Double {
    let done = Counter()
    let start = ContinuousClock.now
    try await withThrowingTaskGroup(of: Void.self) { group in
        for task in 0..<taskCount / 2 {
            group.addTask {
                for number in stride(from: task, to: jobCount, by: taskCount / 2) {
                    let now = time.now
                    let record = try await backend.store.read([key(number)])[0]
                    let job = RefreshJob(
                        key: key(number), generation: record.entry?.metadata.generation ?? .zero,
                        leaseToken: "\(number)-\(now.milliseconds)", queuedAt: now)
                    let outcome = try await backend.claimRefresh(job, leaseUntil: now + .seconds(60), now: now)
                    guard case .queued = outcome else { fatalError("claim \(number): \(outcome)") }
                }
            }
        }
        for worker in 0..<workerCount {
            group.addTask {
                while await done.value < jobCount {
                    let now = time.now
                    let deliveries = try await backend.queue.dequeue(
                        caches: ["benchmark"], limit: 16, worker: "\(worker)", until: now + .seconds(60), now: now)
                    if deliveries.isEmpty {
                        await backend.queue.waitForJobs(timeout: .milliseconds(20))
                        continue
                    }
                    // The look before fetching, then as many "fetches" at once as there are jobs.
                    let records = try await backend.store.read(deliveries.map(\.job.key))
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        for (delivery, record) in zip(deliveries, records) {
                            group.addTask {
                                let outcome = try await backend.store.save(
                                    entry(delivery.job.key, at: time.now), fence: record.fence,
                                    releasing: delivery.job.leaseToken)
                                guard case .saved = outcome else { fatalError("save: \(outcome)") }
                                try await backend.queue.complete([delivery])
                            }
                        }
                        try await group.waitForAll()
                    }
                    await done.add(deliveries.count)
                }
            }
        }
        try await group.waitForAll()
    }
    return (ContinuousClock.now - start) / .seconds(1)
}

actor Counter {
    var value = 0
    func add(_ count: Int) { value += count }
}

func fill(_ backend: any Backend, _ count: Int, cache: String = "benchmark") async throws {
    let now = time.now
    _ = try await seconds(count, tasks: 256) { number in
        _ = try await backend.store.save(entry(key(number, cache: cache), at: now), fence: nil, releasing: nil)
    }
}

/// The same through the engine: jobs that wait in the queue are done by a `RefreshWorker` for a `Cache`.
func refreshThroughEngine(_ backend: any Backend, cache name: String) async throws -> Double {
    let bytes = Codec<[UInt8]>(format: "bytes", encode: { $0 }, decode: { $0 })
    let cache = Cache<String, [UInt8]>(name, backend: backend, codec: bytes, workers: 0) { _, _ in .value(body) }
    let stale = time.now - .hours(2)
    _ = try await seconds(jobCount) { number in
        let key = key(number, cache: name)
        guard
            case .saved(let generation) = try await backend.store.save(
                entry(key, at: stale), fence: nil, releasing: nil)
        else { return }
        let now = time.now
        let job = RefreshJob(key: key, generation: generation, leaseToken: "seed-\(number)", queuedAt: now)
        _ = try await backend.claimRefresh(job, leaseUntil: now, now: now)
    }
    let worker = RefreshWorker(queue: backend.queue, caches: [cache], concurrency: taskCount, name: "benchmark")
    let start = ContinuousClock.now
    let work = Task { await worker.run() }
    while cache.statistics.refreshes < jobCount { try await Task.sleep(for: .milliseconds(5)) }
    let elapsed = (ContinuousClock.now - start) / .seconds(1)
    await worker.stop()
    await work.value
    let left = try await backend.queue.counts().values.reduce(0, +)
    precondition(cache.statistics.refreshes == jobCount && left == 0, "not every job was done, and once")
    return elapsed
}

/// Opens a filled file and reads from it.
func open(_ path: String) async throws {
    let start = ContinuousClock.now
    let backend = try SQLiteBackend(path: path)
    let first = try await backend.store.read([key(entryCount / 2)])[0]
    let took = (ContinuousClock.now - start) / .milliseconds(1)
    precondition(first.entry?.bytes == body, "the first hit is wrong")
    line("opening \(entryCount) entries and the first hit", String(format: "%.1f ms", took))
    let reads = try await seconds(200_000) { number in _ = try await backend.store.read([key(number * 7 % entryCount)])
    }
    line("reads of random keys among them", rate(200_000, reads))
    line("resident memory then", "\(residentMegabytes()) MB")
    await backend.close()
}

if let index = CommandLine.arguments.firstIndex(of: "--open") {
    try await open(CommandLine.arguments[index + 1])
    exit(0)
}

/// Refreshes, reads and saves on a store of its own.
/// - Returns: the best rate of refreshes, in jobs a second.
func measure(_ backend: any Backend) async throws -> Double {
    try await fill(backend, jobCount)
    var base = 0.0
    for run in 1...3 {
        let took = try await refreshAll(backend)
        base = max(base, Double(jobCount) / took)
        line("refresh jobs end to end, run \(run) (\(taskCount) tasks, \(body.count) bytes)", rate(jobCount, took))
    }
    for run in 1...3 {
        let took = try await refreshThroughEngine(backend, cache: "engine-\(run)")
        line("the same waiting jobs, through Cache and RefreshWorker, run \(run)", rate(jobCount, took))
    }
    let reads = try await seconds(jobCount * 2) { number in _ = try await backend.store.read([key(number % jobCount)]) }
    line("reads of one key (\(taskCount) tasks)", rate(jobCount * 2, reads))
    let saves = try await seconds(jobCount) { number in
        _ = try await backend.store.save(entry(key(number), at: time.now), fence: nil, releasing: nil)
    }
    line("saves (\(taskCount) tasks)", rate(jobCount, saves))
    return base
}

if let index = CommandLine.arguments.firstIndex(of: "--store") {
    let url = CommandLine.arguments[index + 1]
    if url.hasPrefix("redis:") {
        _ = try await measure(RedisBackend(url: url))
    } else {
        _ = try await measure(PostgresBackend(url: url))
    }
    exit(0)
}

// 1. A queue of its own.
do {
    let backend = try SQLiteBackend(path: folder + "/queue.sqlite")
    let base = try await measure(backend)

    // 2. Behind a million others, half of another cache and half of this one at a later time.
    if queuedCount > 0 {
        let now = time.now
        let filling = try await seconds(queuedCount, tasks: 256) { number in
            let cache = number % 2 == 0 ? "other" : "benchmark"
            let job = RefreshJob(
                key: key(number + 10_000_000, cache: cache), generation: .zero, leaseToken: "x", queuedAt: now)
            let due = cache == "other" ? now : now + .hours(1)
            guard try await backend.queue.enqueue(job, notBefore: due, now: now) else { fatalError("not queued") }
        }
        line("queueing \(queuedCount) other jobs", rate(queuedCount, filling))
        var best = 0.0
        for run in 1...3 {
            let took = try await refreshAll(backend)
            best = max(best, Double(jobCount) / took)
            line("refresh jobs behind \(queuedCount) others, run \(run)", rate(jobCount, took))
        }
        line("ratio to the queue of its own", String(format: "%.2f", best / base))
    }
    await backend.close()
}

// 3. A million entries.
if entryCount > 0 {
    let path = folder + "/entries.sqlite"
    let filling = try SQLiteBackend(path: path)
    let start = ContinuousClock.now
    try await fill(filling, entryCount)
    line("filling \(entryCount) entries", rate(entryCount, (ContinuousClock.now - start) / .seconds(1)))
    await filling.close()
    // In a process of its own, so that the memory is only what opening and reading needs.
    let reader = Process()
    reader.executableURL = URL(fileURLWithPath: CommandLine.arguments[0])
    reader.arguments = ["--open", path, "--entries", "\(entryCount)", "--bytes", "\(body.count)"]
    try reader.run()
    reader.waitUntilExit()
}
try? FileManager.default.removeItem(atPath: folder)
