import Foundation
import Logging
import Perennial
import PerennialCelery
import PerennialRedis
import PerennialTesting
import Synchronization
import TestServers
import Testing

/// Together with Celery's own workers and senders, from PyPI.
@Suite(.serialized) struct InteropTests {
    let scratch: Scratch
    private static let tasks = Celery.file("Tests/PerennialCeleryTests/tasks.py")

    init() async throws {
        scratch = try await Scratch()
    }

    // MARK: Python

    private func worker(visibility: Double = 3600) async throws -> CeleryWorker {
        let environment = ["BROKER": scratch.brokerURL, "VISIBILITY": "\(visibility)"]
        return try await aside { try CeleryWorker(Self.tasks, environment: environment) }
    }

    /// Sends tasks as Python programs do.
    private func send(
        _ arguments: [[String]], _ options: String = "{}", task: String = "perennial.refresh"
    ) async throws {
        let list = String(decoding: try JSONEncoder().encode(arguments), as: UTF8.self)
        let words = [Self.tasks.path, "send", task, list, options]
        let environment = ["BROKER": scratch.brokerURL]
        try await aside { try Celery.python(words, environment: environment) }
    }

    /// What Celery's workers have done, in its order.
    private func done() async throws -> [[JSONValue]] {
        try await scratch.redis("LRANGE", "done", "0", "-1").elements?.map {
            try JSONDecoder().decode([JSONValue].self, from: Data($0.bytes ?? []))
        } ?? []
    }

    private func length() async throws -> Int64? { try await scratch.redis("LLEN", "celery").integer }

    /// Whether nothing is in the queue or in anybody's hands.
    private func isAllDone() async throws -> Bool {
        let counts = [
            try await scratch.redis("LLEN", "celery"), try await scratch.redis("HLEN", "unacked"),
            try await scratch.redis("ZCARD", "unacked_index"),
        ]
        return counts.allSatisfy { $0.integer == 0 }
    }

    // MARK: Perennial

    private func job(_ key: String, generation: Int64 = 7) -> RefreshJob {
        RefreshJob(
            key: Samples.key(key), generation: Generation(generation), leaseToken: "lease \(key)",
            queuedAt: SystemTime().now)
    }

    private func enqueue(_ queue: CeleryQueue, _ key: String) async throws -> Bool {
        let now = SystemTime().now
        return try await queue.enqueue(job(key), notBefore: now, now: now)
    }

    private func take(_ queue: CeleryQueue, _ limit: Int = 10, later: Duration = .zero, hold: Duration = .minutes(5))
        async throws -> [Delivery]
    {
        let now = SystemTime().now + later
        return try await queue.dequeue(caches: ["people"], limit: limit, worker: "w", until: now + hold, now: now)
    }

    // MARK: From Perennial to Celery

    @Test func `Celery's worker does what Perennial queues, and the key may have its next job`() async throws {
        let queue = try scratch.open()
        let names = ["ada", "", "é😀\n\"\\'", "https://api.example.com/a?b=1&c=%20 lang:de"]
        for name in names { #expect(try await enqueue(queue, name)) }
        let worker = try await worker()
        try await eventually { try await done().count == names.count }
        for (call, name) in zip(try await done(), names) {
            #expect(
                Array(call.prefix(5)) == [
                    .text("refresh"), .text("people"), .text(name), .number(7), .text("lease \(name)"),
                ])
        }
        try await eventually { try await isAllDone() }
        #expect(try await queue.jobs(state: nil, after: nil, limit: 10) == [])
        #expect(try await queue.counts().values.reduce(0, +) == 0)
        #expect(try await take(queue) == [])
        #expect(try await enqueue(queue, "ada"))
        try await eventually { try await done().count == names.count + 1 }
        try await aside { worker.kill() }
        await scratch.closeAll()
    }

    @Test func `a key's job is its only one while it is in the hands of Celery's worker`() async throws {
        let queue = try scratch.open("?task=perennial.hang")
        #expect(try await enqueue(queue, "ada"))
        let worker = try await worker()
        try await eventually { try await done().count == 1 }
        #expect(try await enqueue(queue, "ada") == false)
        #expect(try await take(queue) == [])
        let records = try await queue.jobs(state: .running, after: nil, limit: 10)
        #expect(records.map(\.worker) == ["celery"])
        #expect(try await queue.counts()[.running] == 1)

        // It dies; after the visibility time-out the job is anybody's.
        try await aside { worker.kill() }
        #expect(try await take(queue, later: .minutes(30)) == [])
        let again = try await take(queue, later: .hours(2))
        #expect(again.map(\.job.key.key) == ["ada"])
        #expect(again.first?.isRedelivery == true)
        try await queue.complete(again)
        #expect(try await isAllDone())
        #expect(try await enqueue(queue, "ada"))
        await scratch.closeAll()
    }

    @Test func `what a worker of Perennial's leaves when it dies is done by Celery's, and no sooner`() async throws {
        let queue = try scratch.open("?visibility_timeout=20")
        for name in ["lost", "held"] { #expect(try await enqueue(queue, name)) }
        let lost = try await take(queue, 1, hold: .seconds(1))
        let held = try await take(queue, 1, hold: .hours(1))
        #expect((lost + held).map(\.job.key.key) == ["lost", "held"])
        let worker = try await worker(visibility: 20)
        try await eventually { try await done().map { $0[2] } == [.text("lost")] }
        try await eventually { try await scratch.redis("HLEN", "unacked").integer == 1 }
        // The worker that was taken for dead comes back, too late.
        #expect(try await queue.extend(lost, until: SystemTime().now + .hours(1)) == [])
        try await queue.complete(lost)
        #expect(try await queue.extend(held, until: SystemTime().now + .hours(1)) == held)
        #expect(try await enqueue(queue, "lost"))
        #expect(try await enqueue(queue, "held") == false)
        try await queue.complete(held)
        try await eventually { try await isAllDone() }
        #expect(try await done().count == 2)
        try await aside { worker.kill() }
        await scratch.closeAll()
    }

    @Test func `a job that failed here is tried again by Celery's worker`() async throws {
        let queue = try scratch.open()
        try await send([["people", "ada"]])
        let delivery = try #require(try await take(queue).first)
        try await queue.retry(delivery, at: SystemTime().now + .seconds(1), error: "503")
        #expect(try await queue.jobs(state: .queued, after: nil, limit: 1).first?.failures == 1)
        let worker = try await worker()
        try await eventually { try await done().count == 1 }
        try await eventually { try await isAllDone() }
        try await aside { worker.kill() }
        await scratch.closeAll()
    }

    @Test func `dead letters that are replayed are done by Celery's worker`() async throws {
        let queue = try scratch.open()
        #expect(try await enqueue(queue, "ada"))
        try await queue.bury(try #require(try await take(queue).first), error: "x", now: SystemTime().now)
        #expect(try await isAllDone())
        let worker = try await worker()
        #expect(try await queue.replay(nil, now: SystemTime().now) == 1)
        try await eventually { try await done().count == 1 }
        try await eventually { try await isAllDone() }
        try await aside { worker.kill() }
        await scratch.closeAll()
    }

    // MARK: From Celery to Perennial

    @Test func `what Python sends is taken, noted as Celery notes it, and acknowledged`() async throws {
        let queue = try scratch.open()
        try await send([["people", "ada"], ["places", "oslo"], ["people", "bob"]])
        let taken = try await take(queue)
        #expect(taken.map(\.job.key.key) == ["ada", "bob"])
        #expect(taken.map(\.attempt) == [1, 1])
        #expect(taken.map(\.job.generation) == [.unknown, .unknown])
        #expect(try await length() == 1)
        #expect(try await scratch.redis("HLEN", "unacked").integer == 2)
        let score = try #require(
            try await scratch.redis("ZRANGE", "unacked_index", "0", "0", "WITHSCORES").elements?.last?.text)
        // When this worker's time has passed, the visibility time-out has.
        #expect(abs((Double(score) ?? 0) + 3600 - Date.now.timeIntervalSince1970 - 300) < 60)
        try await queue.complete(taken)
        #expect(try await scratch.redis("HLEN", "unacked").integer == 0)
        #expect(try await length() == 1)
        await scratch.closeAll()
    }

    @Test func `what is to come later comes later, and what has expired does not come`() async throws {
        let queue = try scratch.open()
        try await send([["people", "later"]], #"{"countdown": 3600}"#)
        try await send([["people", "gone"]], #"{"expires": 60}"#)
        try await send([["people", "both"]], #"{"countdown": 3600, "expires": 5400}"#)
        #expect(try await take(queue, later: .minutes(30)).map(\.job.key.key) == [])
        #expect(try await length() == 2)
        #expect(try await take(queue, later: .hours(2)).map(\.job.key.key) == ["later"])
        #expect(try await length() == 0)
        await scratch.closeAll()
    }

    @Test func `several tasks of a key are one job, and one more for those that came while it ran`() async throws {
        let queue = try scratch.open()
        try await send([["people", "ada"], ["people", "ada"], ["people", "ada"]])
        let first = try await take(queue)
        #expect(first.count == 1)
        #expect(try await length() == 0)
        try await send([["people", "ada"], ["people", "ada"]])
        #expect(try await take(queue) == [])
        try await queue.complete(first)
        let second = try await take(queue)
        #expect(second.count == 1)
        try await queue.complete(second)
        #expect(try await take(queue) == [])
        #expect(try await isAllDone())
        await scratch.closeAll()
    }

    @Test func `what a worker of Celery's leaves when it dies is done by Perennial's`() async throws {
        let queue = try scratch.open("?task=perennial.hang")
        let worker = try await worker()
        try await send([["people", "ada"]], task: "perennial.hang")
        try await eventually { try await done().count == 1 }
        try await aside { worker.kill() }
        #expect(try await take(queue) == [])
        let taken = try await take(queue, later: .hours(2))
        #expect(taken.map(\.job.key.key) == ["ada"])
        try await queue.complete(taken)
        #expect(try await isAllDone())
        await scratch.closeAll()
    }

    @Test func `waiting ends when Python sends a task`() async throws {
        let queue = try scratch.open()
        #expect(try await take(queue) == [])
        async let waiting: Void = queue.waitForJobs(timeout: .minutes(5))
        try await send([["people", "ada"]])
        await waiting
        #expect(try await take(queue).count == 1)
        await scratch.closeAll()
    }

    @Test func `a refresh that Python asks for is done, though the entry is fresh`() async throws {
        let queue = try scratch.open()
        let asked = Atomic(0)
        let cache = Cache<String, String>(
            "people", backend: MixedBackend(store: InMemoryStore(), queue: queue), workers: 1
        ) { key, _ in "\(key) \(asked.add(1, ordering: .relaxed).newValue)" }
        #expect(try await cache["ada"] == "ada 1")
        try await send([["people", "ada"]])
        try await eventually { try await cache["ada"] == "ada 2" }
        try await eventually { try await isAllDone() }
        #expect(asked.load(ordering: .relaxed) == 2)
        await cache.shutdown()
        await scratch.closeAll()
    }

    // MARK: Side by side

    @Test func `other tasks stay where they are, in their order`() async throws {
        let queue = try scratch.open()
        for number in 0..<150 {
            if number % 3 == 0 {
                #expect(try await enqueue(queue, "\(number)"))
            } else {
                try await scratch.redis("LPUSH", "celery", #"{"headers": {"task": "other"}, "number": \#(number)}"#)
            }
        }
        try await send([["people", "last"]])
        var taken: [Delivery] = []
        while true {
            let some = try await take(queue, 7)
            if some.isEmpty { break }
            taken += some
        }
        #expect(taken.map(\.job.key.key) == stride(from: 0, to: 150, by: 3).map { "\($0)" } + ["last"])
        try await queue.complete(taken)
        let left = try await scratch.redis("LRANGE", "celery", "0", "-1").elements?.compactMap(\.text) ?? []
        #expect(
            left
                == (0..<150).reversed().filter { $0 % 3 != 0 }.map {
                    #"{"headers": {"task": "other"}, "number": \#($0)}"#
                })
        await scratch.closeAll()
    }

    @Test func `tasks far behind those of others are found`() async throws {
        let queue = try scratch.open()
        for number in 0..<450 { try await scratch.redis("LPUSH", "celery", "other \(number)") }
        try await send([["people", "ada"]])
        var taken: [Delivery] = []
        for _ in 0..<10 where taken.isEmpty { taken = try await take(queue) }
        #expect(taken.map(\.job.key.key) == ["ada"])
        #expect(try await length() == 450)
        await scratch.closeAll()
    }

    @Test func `workers of both work on one queue, and every task is done once`() async throws {
        let queue = try scratch.open()
        for number in 0..<40 { #expect(try await enqueue(queue, "ours \(number)")) }
        try await send((0..<40).map { ["\($0)"] }, task: "other")
        try await send((0..<40).map { ["people", "python \($0)"] })
        let worker = try await worker()
        var here: [String] = []
        try await eventually {
            let taken = try await take(queue, 2)
            here += taken.map(\.job.key.key)
            try await queue.complete(taken)
            return try await isAllDone()
        }
        let there = try await done()
        #expect(there.filter { $0[0] == .text("other") }.map { $0[1] } == (0..<40).map { .text("\($0)") })
        let refreshed = here + there.filter { $0[0] == .text("refresh") }.compactMap { $0[2].text }
        #expect(refreshed.count == 80)
        #expect(Set(refreshed) == Set((0..<40).flatMap { ["ours \($0)", "python \($0)"] }))
        try await aside { worker.kill() }
        await scratch.closeAll()
    }

    // MARK: Malformed messages

    @Test func `malformed messages become dead letters before they harm a worker of either side`() async throws {
        let log = Log()
        let queue = try scratch.open(logger: Logger(label: "test") { _ in log })
        for (old, new, _) in MessageTests.malformed {
            try await scratch.redis("LPUSH", "celery", MessageTests.python.replacing(old, with: new))
        }
        try await scratch.redis("LPUSH", "celery", #""perennial.refresh" \#u{FF}"#)
        let count = MessageTests.malformed.count + 1
        try await send([["people", "ada"]])
        let taken = try await take(queue)
        #expect(taken.map(\.job.key.key) == ["ada"])
        #expect(try await length() == 0)
        let dead = try await queue.jobs(state: .dead, after: nil, limit: 100)
        #expect(dead.count == count)
        for (letter, (_, _, reason)) in zip(dead, MessageTests.malformed) {
            #expect(letter.error?.hasPrefix("a malformed message: ") == true)
            #expect(letter.error?.contains(reason) == true, "\(letter.error ?? "")")
        }
        #expect(log.count == count)
        #expect(try await queue.counts()[.dead] == count)

        // They are not put back, neither together nor alone.
        #expect(try await queue.replay(nil, now: SystemTime().now) == 0)
        #expect(try await queue.replay(dead[0].id, now: SystemTime().now) == 0)
        #expect(try await length() == 0)
        let worker = try await worker()
        #expect(try await enqueue(queue, "bob"))
        try await eventually { try await done().map { $0[2] } == [.text("bob")] }
        try await aside { worker.kill() }
        await scratch.closeAll()
    }
}

/// A value of what Celery's workers note.
private enum JSONValue: Hashable, Decodable {
    case text(String)
    case number(Int64)
    case nothing

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .nothing
        } else if let number = try? container.decode(Int64.self) {
            self = .number(number)
        } else {
            self = .text(try container.decode(String.self))
        }
    }

    var text: String? {
        if case .text(let text) = self { return text }
        return nil
    }
}

/// Counts warnings.
private final class Log: LogHandler {
    private let warnings = Atomic(0)
    var count: Int { warnings.load(ordering: .relaxed) }

    var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }
    var logLevel: Logger.Level {
        get { .warning }
        set {}
    }
    subscript(metadataKey _: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }

    func log(event: LogEvent) {
        if event.level == .warning { warnings.add(1, ordering: .relaxed) }
    }
}
