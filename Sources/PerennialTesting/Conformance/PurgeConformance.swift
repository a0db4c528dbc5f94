public import Perennial
internal import Synchronization

/// What must hold of purges between machines that share an engine: no reader gets anything from before a purge that was
/// done when it came, whoever purged, in whatever way, and whatever was under way meanwhile.
///
/// A machine learns of another's purge from the change feed, a moment later; then it holds there, too.
///
/// ```swift
/// @Test func `purges win`() async throws {
///     let server = try await start()
///     try await PurgeConformance.run(seed: 1, steps: 2_000, machines: (0..<2).map { _ in try server.open() })
/// }
/// ```
public enum PurgeConformance {
    /// Drives caches through a random interleaving of reads, refreshes, purges and changes at the origin.
    /// - Parameters:
    ///   - seed: the same seed tries the same steps; which task runs first is not decided by it.
    ///   - steps: how many.
    ///   - machines: at least two backends that share one engine, which is empty.
    ///   - lose: makes the engine lose everything that it has, now and then. Default: it does not.
    /// - Returns: how many reads, purges and answers of the origin there were.
    /// - Throws: ``ConformanceFailure`` when a reader gets what was purged; what the engine throws.
    @discardableResult
    public static func run(
        seed: UInt64, steps: Int, machines: [any Backend], lose: (@Sendable () async throws -> Void)? = nil
    ) async throws -> (reads: Int, purges: Int, answers: Int) {
        let world = PurgeWorld(seed: seed, machines: machines)
        for step in 0..<steps {
            do {
                try await world.step(losing: lose)
            } catch let failure as ConformanceFailure {
                throw ConformanceFailure(description: "seed \(seed), step \(step): \(failure.description)")
            }
        }
        try await world.end()
        return world.counts
    }
}

/// The caches, the origin and what is known of them, driven by one task.
private final class PurgeWorld: Sendable {
    private static let keys = ["a", "b", "c", "d"]
    /// Written after a purge: whoever has heard of it has heard of the purge.
    private static let marker = "marker"

    /// What the origin has, and who waits for it.
    private struct Origin {
        var versions: [String: Int] = [:]
        var waiting: [CheckedContinuation<Void, Never>] = []
        var isOpen = false
        var answers = 0
    }

    private struct State {
        var random: SeededGenerator
        var readers: [Task<Void, Never>] = []
        /// By machine and key: the oldest version that a reader who comes now may get.
        var floors: [[String: Int]]
        var reads = 0
        var purges = 0
        var failure: ConformanceFailure?
    }

    private let clock = ManualClock(now: Samples.now)
    private let origin = Mutex(Origin())
    private let state: Mutex<State>
    private let caches: [Cache<String, String>]
    /// By machine.
    private let heard: [HeardChanges]

    init(seed: UInt64, machines: [any Backend]) {
        state = Mutex(
            State(random: SeededGenerator(seed: seed), floors: Array(repeating: [:], count: machines.count)))
        let (clock, world) = (clock, Box())
        var policy = Policy.standard
        policy.limits = Limits(raising: .minutes(1), .minutes(10), .hours(1))
        policy.softTimeout = .seconds(5)
        let heard = machines.map { _ in HeardChanges() }
        self.heard = heard
        caches = zip(machines, heard).map { backend, heard in
            Cache(
                "people", policy: policy, backend: HeardBackend(backend, noting: heard), codec: .json,
                origin: OriginGuard(breaker: nil, time: clock),
                workers: 1, time: clock,
                answering: { key, context in
                    // A refresh may outlive the run.
                    guard let world = world.content else { throw CancellationError() }
                    return try await world.ask(key, context)
                })
        }
        world.set(self)
    }

    /// Lets the caches' closures find the world, which is made after them.
    private final class Box: Sendable {
        private let found = Mutex<(@Sendable () -> PurgeWorld?)?>(nil)
        var content: PurgeWorld? { found.withLock { $0 }?() }
        func set(_ world: PurgeWorld) { found.withLock { $0 = { [weak world] in world } } }
    }

    var counts: (reads: Int, purges: Int, answers: Int) {
        let answers = origin.withLock { $0.answers }
        return state.withLock { ($0.reads, $0.purges, answers) }
    }

    // MARK: The origin

    /// The version is read first; then the answer takes as long as the driver lets it.
    private func ask(_ key: String, _ context: FetchContext<String>) async throws -> Fetched<String> {
        let version = origin.withLock { origin in
            origin.answers += 1
            return origin.versions[key, default: 0]
        }
        await withCheckedContinuation { continuation in
            let isOpen = origin.withLock { origin in
                if !origin.isOpen { origin.waiting.append(continuation) }
                return origin.isOpen
            }
            if isOpen { continuation.resume() }
        }
        switch roll(10) {
        case 0: throw OriginFailure("the origin fails now and then")
        case 1 where context.previous?.value == "\(version)", 2 where context.previous?.value == "\(version)":
            return .notModified(tags: ["all", "tag of \(key)"])
        case 3 where version % 3 == 0: return .notStored("\(version)")
        default:
            return .value(
                "\(version)", tags: ["all", "tag of \(key)"], validator: Validator(etag: "\"\(version)\""))
        }
    }

    private func answerOne() {
        let waiter = origin.withLock { origin in
            origin.waiting.isEmpty ? nil : origin.waiting.remove(at: roll(origin.waiting.count))
        }
        waiter?.resume()
    }

    // MARK: The steps

    func step(losing lose: (() async throws -> Void)?) async throws {
        switch roll(20) {
        case 0..<9: read()
        case 9..<13: answerOne()
        case 13, 14:
            clock.advance(by: [.milliseconds(20), .seconds(1), .seconds(20), .minutes(2), .minutes(12)][roll(5)])
        case 15: change(Self.keys[roll(Self.keys.count)])
        case 16: acceptFromElsewhere()
        case 17 where lose != nil && roll(5) == 0: try await loseAll(lose!)
        default: try await purge()
        }
        for _ in 0..<roll(6) { await Task.yield() }
        try check()
    }

    /// Everything that is under way ends.
    func end() async throws {
        let waiting = origin.withLock { origin in
            origin.isOpen = true
            defer { origin.waiting = [] }
            return origin.waiting
        }
        for waiter in waiting { waiter.resume() }
        let ticking = Task { [clock] in
            while !Task.isCancelled {
                clock.advance(by: .milliseconds(100))
                await Task.yield()
            }
        }
        for reader in state.withLock({ $0.readers }) { await reader.value }
        for cache in caches { await cache.shutdown() }
        ticking.cancel()
        try check()
    }

    private func check() throws {
        if let failure = state.withLock({ $0.failure }) { throw failure }
    }

    private func roll(_ sides: Int) -> Int {
        state.withLock { Int($0.random.next() % UInt64(sides)) }
    }

    private func read() {
        let (machine, key) = (roll(caches.count), Self.keys[roll(Self.keys.count)])
        let mustAsk = roll(12) == 0
        let floor = state.withLock { state in
            state.reads += 1
            return state.floors[machine][key] ?? 0
        }
        let reader = Task { [self] in
            let answer: Answer<String>
            do {
                answer =
                    mustAsk
                    ? try await caches[machine].lookup(key, accepting: { _ in false })
                    : try await caches[machine].lookup(key)
            } catch {
                return
            }
            guard let version = answer.value.flatMap(Int.init), version < floor else { return }
            let failure = ConformanceFailure(
                description: """
                    machine \(machine) got version \(version) of '\(key)', from before a purge: at least \(floor) was due \
                    (\(answer.state) from \(answer.source), generation \(answer.generation), note \
                    \(answer.note.map { "\($0)" } ?? "none"))
                    """)
            state.withLock { $0.failure = $0.failure ?? failure }
        }
        state.withLock { state in
            state.readers.append(reader)
            if state.readers.count > 500 { state.readers.removeFirst(250) }
        }
    }

    /// Another program ends a refresh: it was given an entry, asks the origin, and hands in what it got.
    private func acceptFromElsewhere() {
        let (machine, key) = (roll(caches.count), Self.keys[roll(Self.keys.count)])
        guard let fence = caches[machine].peek(key)?.generation, fence != .zero else { return }
        let version = origin.withLock { $0.versions[key, default: 0] }
        let worker = Task { [self] in
            // What the store refuses or can't do is not what this is about.
            _ = try? await caches[machine].accept(
                .value("\(version)", tags: ["all", "tag of \(key)"]), for: key, fence: fence)
        }
        state.withLock { $0.readers.append(worker) }
    }

    private func change(_ key: String) {
        origin.withLock { $0.versions[key, default: 0] += 1 }
    }

    /// The origin changes, and one of the machines purges what it is about.
    private func purge() async throws {
        let key = Self.keys[roll(Self.keys.count)]
        let cache = caches[roll(caches.count)]
        let isEverything = roll(4) == 0
        for key in isEverything ? Self.keys : [key] where roll(3) > 0 { change(key) }
        let versions = origin.withLock { $0.versions }
        let here = caches.firstIndex { $0 === cache }!
        switch (isEverything, roll(2) == 0) {
        case (false, false): _ = try await cache.remove(key)
        case (false, true): _ = try await cache.remove(tag: "tag of \(key)")
        case (true, false): _ = try await cache.remove(tag: "all")
        case (true, true): _ = try await cache.removeAll()
        }
        func raise(_ machine: Int) {
            state.withLock { state in
                for key in isEverything ? Self.keys : [key] {
                    state.floors[machine][key] = max(state.floors[machine][key] ?? 0, versions[key] ?? 0)
                }
            }
        }
        state.withLock { $0.purges += 1 }
        raise(here)
        try await announce(from: cache)
        for machine in caches.indices where machine != here { raise(machine) }
    }

    private func loseAll(_ lose: () async throws -> Void) async throws {
        try await lose()
        try await announce(from: caches[0])
    }

    /// Returns when every machine has heard of all that was written before, and has done what follows from it.
    private func announce(from cache: Cache<String, String>) async throws {
        let misses = heard.map(\.missesBegun)
        guard let mark = try await cache.accept(.value(""), for: Self.marker, fence: nil) else {
            throw ConformanceFailure(description: "a write without a fence was refused")
        }
        for machine in caches.indices where caches[machine] !== cache {
            let heard = heard[machine]
            var tries = 0
            while heard.newest(Self.marker) < mark && heard.missesEnded <= misses[machine] {
                tries += 1
                if tries > 20_000 { throw ConformanceFailure(description: "a machine never heard of a write") }
                // Who could not read what it heard of tries again after a pause.
                if tries % 100 == 0 { clock.advance(by: .milliseconds(5)) }
                tries > 100 ? try await Task.sleep(for: .milliseconds(1)) : await Task.yield()
            }
        }
    }
}

/// A backend that notes which of its store's changes its cache has heard of.
private struct HeardBackend: Backend {
    let store: any Store
    private let backend: any Backend

    init(_ backend: any Backend, noting heard: HeardChanges) {
        store = FaultyStore(backend.store, heard: heard)
        self.backend = backend
    }

    var queue: any RefreshQueue { backend.queue }

    func claimRefresh(_ job: RefreshJob, leaseUntil: Timestamp, now: Timestamp) async throws -> ClaimOutcome {
        try await backend.claimRefresh(job, leaseUntil: leaseUntil, now: now)
    }
}
