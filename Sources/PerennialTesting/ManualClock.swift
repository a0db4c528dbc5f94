public import Perennial
import Synchronization

/// A clock that stands still until a test moves it.
///
/// ```swift
/// let clock = ManualClock()
/// let task = Task { try await clock.sleep(for: .seconds(5)) }
/// await clock.waitForSleepers()      // until the task sleeps; no polling
/// clock.advance(by: .seconds(5))     // the task goes on
/// ```
public final class ManualClock: TimeSource {
    private struct Sleeper {
        let wakesAt: Timestamp
        let continuation: CheckedContinuation<Void, any Error>
    }

    private struct Bed {
        var nextID = 0
        var sleepers: [Int: Sleeper] = [:]
        var watchers: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []

        /// Those who wait for as many sleepers as there are now.
        mutating func satisfiedWatchers() -> [CheckedContinuation<Void, Never>] {
            let count = sleepers.count
            defer { watchers.removeAll { $0.count <= count } }
            return watchers.filter { $0.count <= count }.map(\.continuation)
        }
    }

    // Written under the bed's lock only; read without it, since `now` is on the path of every hit.
    private let milliseconds: Atomic<Int64>
    private let steadyMilliseconds: Atomic<Int64>
    private let bed = Mutex(Bed())

    /// - Parameter now: the time to begin at; default: some day in November 2023.
    public init(now: Timestamp = Timestamp(milliseconds: 1_700_000_000_000)) {
        milliseconds = Atomic(now.milliseconds)
        steadyMilliseconds = Atomic(now.milliseconds)
    }

    public var now: Timestamp { Timestamp(milliseconds: milliseconds.load(ordering: .acquiring)) }
    public var steady: Timestamp { Timestamp(milliseconds: steadyMilliseconds.load(ordering: .acquiring)) }

    /// How many tasks sleep on this clock.
    public var sleeperCount: Int { bed.withLock { $0.sleepers.count } }

    /// Moves the time and wakes those whose time has come, the earliest first.
    /// - Parameter duration: zero or more.
    public func advance(by duration: Duration) {
        precondition(duration >= .zero, "a manual clock can't go back by \(duration)")
        let woken = bed.withLock { bed in
            let steady = self.steady + duration
            steadyMilliseconds.store(steady.milliseconds, ordering: .releasing)
            milliseconds.store((self.now + duration).milliseconds, ordering: .releasing)
            let due = bed.sleepers.filter { $0.value.wakesAt <= steady }
            for id in due.keys { bed.sleepers[id] = nil }
            return due.sorted { ($0.value.wakesAt, $0.key) < ($1.value.wakesAt, $1.key) }.map(\.value.continuation)
        }
        for continuation in woken { continuation.resume() }
    }

    /// Sets the wall-clock time, forwards or backwards, as an operator or a time server may. Nobody wakes, and
    /// ``steady`` stays.
    public func jump(by duration: Duration) {
        bed.withLock { _ in milliseconds.store((now + duration).milliseconds, ordering: .releasing) }
    }

    public func sleep(for duration: Duration) async throws {
        try Task.checkCancellation()
        if duration <= .zero { return }
        let id = bed.withLock { bed in
            bed.nextID += 1
            return bed.nextID
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let satisfied: [CheckedContinuation<Void, Never>]? = bed.withLock { bed in
                    // The handler below may have run already; then the continuation must not be kept.
                    if Task.isCancelled { return nil }
                    bed.sleepers[id] = Sleeper(wakesAt: steady + duration, continuation: continuation)
                    return bed.satisfiedWatchers()
                }
                guard let satisfied else { return continuation.resume(throwing: CancellationError()) }
                for watcher in satisfied { watcher.resume() }
            }
        } onCancel: {
            let sleeper = bed.withLock { $0.sleepers.removeValue(forKey: id) }
            sleeper?.continuation.resume(throwing: CancellationError())
        }
    }

    /// Returns when at least `count` tasks sleep on this clock at the same time.
    public func waitForSleepers(_ count: Int = 1) async {
        await withCheckedContinuation { continuation in
            let isSatisfied = bed.withLock { bed in
                if bed.sleepers.count >= count { return true }
                bed.watchers.append((count, continuation))
                return false
            }
            if isSatisfied { continuation.resume() }
        }
    }
}
