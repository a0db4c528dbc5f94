public import Logging

/// Something whose keys can be refreshed by a worker: a ``Cache``.
public protocol Refreshable: Sendable {
    /// The cache's name, as in ``EntryKey/cache``.
    var name: String { get }

    /// Does one attempt at a job.
    func refresh(_ delivery: Delivery) async -> RefreshOutcome
}

/// How one attempt at a refresh ended.
public enum RefreshOutcome: Sendable {
    /// The entry is as new as it can be, or gone.
    case done
    /// The attempt failed; `retryAt`: when to try again; `nil`: the job becomes a dead letter.
    case failed(error: String, retryAt: Timestamp?)
    /// The origin could not be asked now; the attempt does not count.
    case notNow(until: Timestamp)
}

/// Takes jobs from a queue and has them done, several at a time, until it is stopped.
public final class RefreshWorker: Sendable {
    private struct Progress {
        var inHand: [JobID: Delivery] = [:]
        var isStopping = false
        var idle: Task<Void, Never>?
    }

    private let queue: any RefreshQueue
    private let caches: [String: any Refreshable]
    private let concurrency: Int
    private let name: String
    private let holdTime: Duration
    private let time: any TimeSource
    private let reachability: Reachability
    private let logger: Logger
    private let progress = Locked(Progress())
    private let room: Room

    /// - Parameters:
    ///   - queue: where the jobs are.
    ///   - caches: whose jobs to take.
    ///   - concurrency: how many jobs at a time; at least 1.
    ///   - name: for people who look at the queue; unique to the process.
    ///   - holdTime: when this process dies, its jobs are delivered to others after this time. Default: 30 seconds.
    public convenience init(
        queue: any RefreshQueue, caches: [any Refreshable], concurrency: Int, name: String,
        holdTime: Duration = .seconds(30), time: any TimeSource = SystemTime(), logger: Logger? = nil
    ) {
        let logger = logger ?? .silent
        self.init(
            queue: queue, caches: caches, concurrency: concurrency, name: name, holdTime: holdTime, time: time,
            reachability: Reachability("the refresh queue", time: time, logger: logger), logger: logger)
    }

    init(
        queue: any RefreshQueue, caches: [any Refreshable], concurrency: Int, name: String, holdTime: Duration,
        time: any TimeSource, reachability: Reachability, logger: Logger
    ) {
        self.queue = queue
        self.caches = Dictionary(caches.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        self.concurrency = max(1, concurrency)
        self.name = name
        self.holdTime = holdTime
        self.time = time
        self.reachability = reachability
        self.logger = logger
        room = Room(self.concurrency)
    }

    /// Works until ``stop(deadline:)`` is called or the task is cancelled, then hands back what is not finished.
    public func run() async {
        let heartbeat = Task { await beat() }
        let jobs = Task {
            await withDiscardingTaskGroup { group in
                while !isStopping {
                    await room.waitForRoom()
                    guard !isStopping else { break }
                    let deliveries = await take(room.free)
                    if deliveries.isEmpty {
                        await waitForJobs()
                    }
                    for delivery in deliveries {
                        room.enter()
                        group.addTask {
                            await self.work(on: delivery)
                            self.room.leave()
                        }
                    }
                }
            }
        }
        await withTaskCancellationHandler {
            await jobs.value
        } onCancel: {
            beginToStop()
            jobs.cancel()
        }
        heartbeat.cancel()
    }

    /// Does every job that is due, then returns.
    /// - Returns: how many deliveries were worked on.
    @discardableResult
    public func drain() async -> Int {
        var count = 0
        while !isStopping {
            let deliveries = await take(concurrency)
            if deliveries.isEmpty { break }
            count += deliveries.count
            await withDiscardingTaskGroup { group in
                for delivery in deliveries { group.addTask { await self.work(on: delivery) } }
            }
        }
        return count
    }

    /// Takes no more jobs, waits until those in hand are done or `deadline` has passed, and hands the rest back.
    public func stop(deadline: Duration = .seconds(10)) async {
        beginToStop()
        let finished = Task { await room.waitUntilEmpty() }
        let timer = Task {
            guard (try? await time.sleep(for: deadline)) != nil else { return }
            finished.cancel()
        }
        await withTaskCancellationHandler {
            await finished.value
        } onCancel: {
            finished.cancel()
        }
        timer.cancel()
        let left = progress.withLock { progress in
            defer { progress.inHand = [:] }
            return progress.inHand.values
        }
        for delivery in left {
            await conclude { try await self.queue.giveBack(delivery, at: self.time.now) }
        }
        if !left.isEmpty {
            logger.notice("handed back refreshes that were not finished", metadata: ["count": "\(left.count)"])
        }
    }

    private var isStopping: Bool { progress.withLock { $0.isStopping } }

    private func beginToStop() {
        let idle = progress.withLock { progress in
            progress.isStopping = true
            return progress.idle
        }
        idle?.cancel()
        room.open()
    }

    private func take(_ limit: Int) async -> [Delivery] {
        let now = time.now
        let deliveries =
            await reachability.attempt {
                try await queue.dequeue(
                    caches: Array(caches.keys), limit: limit, worker: name, until: now + holdTime, now: now)
            } ?? []
        progress.withLock { progress in
            for delivery in deliveries { progress.inHand[delivery.id] = delivery }
        }
        return deliveries
    }

    private func waitForJobs() async {
        let isReachable = reachability.failure == nil
        let idle = Task {
            // The queue wakes its workers by itself; the time-out is for jobs whose retry becomes due.
            if isReachable {
                await queue.waitForJobs(timeout: .seconds(1))
            } else {
                _ = try? await time.sleep(for: .seconds(1))
            }
        }
        let isStopping = progress.withLock { progress in
            progress.idle = idle
            return progress.isStopping
        }
        if isStopping { idle.cancel() }
        await idle.value
    }

    private func work(on delivery: Delivery) async {
        guard let cache = caches[delivery.job.key.cache] else { return }
        let outcome = await cache.refresh(delivery)
        // Handed back by stop(): it is no longer ours.
        guard progress.withLock({ $0.inHand.removeValue(forKey: delivery.id) }) != nil else { return }
        await conclude {
            switch outcome {
            case .done: try await self.queue.complete([delivery])
            case .failed(let error, let retryAt?): try await self.queue.retry(delivery, at: retryAt, error: error)
            case .failed(let error, nil): try await self.queue.bury(delivery, error: error, now: self.time.now)
            case .notNow(let until): try await self.queue.giveBack(delivery, at: until)
            }
        }
    }

    /// Tells the queue how a job ended. Where that fails, the job is delivered again and finds the newer entry.
    private func conclude(_ call: @escaping @Sendable () async throws -> Void) async {
        _ = await Task { await self.reachability.attempt { try await call() } }.value
    }

    /// Keeps the jobs in hand ours while they take long.
    private func beat() async {
        while (try? await time.sleep(for: holdTime / 3)) != nil {
            let inHand = progress.withLock { Array($0.inHand.values) }
            guard !inHand.isEmpty else { continue }
            let until = time.now + holdTime
            _ = await reachability.attempt { try await queue.extend(inHand, until: until) }
        }
    }
}

/// How many jobs a worker still has room for.
private final class Room: Sendable {
    private struct Progress {
        var free: Int
        var isOpen = false
        var waiters: [CheckedContinuation<Void, Never>] = []
        var emptyWaiters: [CheckedContinuation<Void, Never>] = []
    }

    private let size: Int
    private let progress: Locked<Progress>

    init(_ size: Int) {
        self.size = size
        progress = Locked(Progress(free: size))
    }

    var free: Int { progress.withLock { $0.free } }

    func enter() {
        progress.withLock { $0.free -= 1 }
    }

    func leave() {
        let (waiters, emptyWaiters) = progress.withLock { progress in
            progress.free += 1
            let isEmpty = progress.free == size
            defer {
                progress.waiters = []
                if isEmpty { progress.emptyWaiters = [] }
            }
            return (progress.waiters, isEmpty ? progress.emptyWaiters : [])
        }
        for waiter in waiters + emptyWaiters { waiter.resume() }
    }

    /// Lets everybody through from now on: the worker is stopping.
    func open() {
        let waiters = progress.withLock { progress in
            progress.isOpen = true
            defer { progress.waiters = [] }
            return progress.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    func waitForRoom() async {
        await withCheckedContinuation { continuation in
            let isFree = progress.withLock { progress in
                if progress.free > 0 || progress.isOpen { return true }
                progress.waiters.append(continuation)
                return false
            }
            if isFree { continuation.resume() }
        }
    }

    /// Returns when no job is in hand, or when the task is cancelled.
    func waitUntilEmpty() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isDone = progress.withLock { progress in
                    if progress.free == size || Task.isCancelled { return true }
                    progress.emptyWaiters.append(continuation)
                    return false
                }
                if isDone { continuation.resume() }
            }
        } onCancel: {
            let waiters = progress.withLock { progress in
                defer { progress.emptyWaiters = [] }
                return progress.emptyWaiters
            }
            for waiter in waiters { waiter.resume() }
        }
    }
}
