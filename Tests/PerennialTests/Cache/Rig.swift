import Perennial
import PerennialTesting
import Synchronization

/// An origin that answers as the test says and counts who asked.
final class ScriptedOrigin: Sendable {
    typealias Script = @Sendable (String, FetchContext<String>) async throws -> Fetched<String>

    private struct Progress {
        var script: Script
        var questions: [(key: String, reason: FetchReason)] = []
        var previous: [Entry<String>?] = []
    }

    private let progress: Mutex<Progress>

    init(_ script: @escaping Script = { key, _ in .value("value of \(key)") }) {
        progress = Mutex(Progress(script: script))
    }

    func answers(_ script: @escaping Script) {
        progress.withLock { $0.script = script }
    }

    func fails(_ error: any Error = Trouble()) {
        answers { _, _ in throw error }
    }

    var count: Int { progress.withLock { $0.questions.count } }
    var reasons: [FetchReason] { progress.withLock { $0.questions.map(\.reason) } }
    var lastPrevious: Entry<String>? { progress.withLock { $0.previous.last ?? nil } }

    func ask(_ key: String, _ context: FetchContext<String>) async throws -> Fetched<String> {
        let script = progress.withLock { progress in
            progress.questions.append((key, context.reason))
            progress.previous.append(context.previous)
            return progress.script
        }
        return try await script(key, context)
    }
}

struct Trouble: Error, Equatable {
    var name = "trouble"
}

/// Holds those who come until it is opened.
final class Gate: Sendable {
    private struct Progress {
        var isOpen = false
        var inside = 0
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    private let progress = Mutex(Progress())

    var arrived: Int { progress.withLock { $0.inside } }

    func pass() async {
        await withCheckedContinuation { continuation in
            let isOpen = progress.withLock { progress in
                progress.inside += 1
                if !progress.isOpen { progress.waiters.append(continuation) }
                return progress.isOpen
            }
            if isOpen { continuation.resume() }
        }
    }

    func open() {
        let waiters = progress.withLock { progress in
            progress.isOpen = true
            defer { progress.waiters = [] }
            return progress.waiters
        }
        for waiter in waiters { waiter.resume() }
    }
}

/// What happened, in order.
final class Notes: Sendable {
    private let notes = Mutex<[String]>([])
    var all: [String] { notes.withLock { $0 } }

    /// - Returns: how many there are with it.
    @discardableResult
    func add(_ note: String) -> Int {
        notes.withLock { notes in
            notes.append(note)
            return notes.count
        }
    }
}

/// Lets other tasks run until `condition` holds.
func eventually(_ condition: () async throws -> Bool) async throws {
    for _ in 0..<2_000_000 {
        if try await condition() { return }
        await Task.yield()
    }
    throw Trouble(name: "what was waited for did not happen")
}

/// Caches on one backend, as several machines would have them, with one clock and one origin.
struct Rig {
    let clock: ManualClock
    let backend: any Backend
    let origin: ScriptedOrigin

    init(
        clock: ManualClock = ManualClock(), backend: (any Backend)? = nil, origin: ScriptedOrigin = ScriptedOrigin()
    ) {
        self.clock = clock
        self.backend = backend ?? InMemoryBackend()
        self.origin = origin
    }

    static func policy(
        refreshAfter: Duration = .hours(1), expireAfter: Duration = .days(7), staleIfError: Duration = .days(30),
        softTimeout: Duration? = nil
    ) -> Policy {
        var policy = Policy.standard
        policy.limits = Limits(raising: refreshAfter, expireAfter, staleIfError)
        policy.jitter = 0
        policy.softTimeout = softTimeout
        return policy
    }

    func cache(
        _ policy: Policy = Rig.policy(), workers: Int = 0, guarded: OriginGuard? = nil,
        backend: (any Backend)? = nil, codec: Codec<String> = .json, migrate: Migrate<String>? = nil,
        batch: BatchFetch<String, String>? = nil
    ) -> Cache<String, String> {
        let origin = origin
        return Cache(
            "texts", policy: policy, backend: backend ?? self.backend, codec: codec, migrate: migrate,
            origin: guarded ?? OriginGuard(breaker: nil, time: clock), workers: workers, time: clock, batch: batch,
            answering: { try await origin.ask($0, $1) })
    }

    /// A worker for these caches: `drain()` does what is due.
    func worker(_ cache: Cache<String, String>, name: String = "worker") -> RefreshWorker {
        RefreshWorker(queue: backend.queue, caches: [cache], concurrency: 4, name: name, time: clock)
    }

    func jobs(_ state: JobState? = nil) async throws -> [JobRecord] {
        try await backend.queue.jobs(state: state, after: nil, limit: 1000)
    }
}
