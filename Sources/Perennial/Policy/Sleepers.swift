internal import HeapModule

/// Tasks that sleep until a moment or until they are cancelled, which nearly all of them are: time-outs.
///
/// A cancelled `Task.sleep` leaves its timer and its task behind until the moment comes. For a time-out around each of thousands of
/// requests a second that would be hundreds of megabytes. Here one task sleeps for all; a cancelled sleeper leaves two numbers, for a while.
final class Sleepers<TheClock: Clock>: Sendable where TheClock.Duration == Duration {
    private struct Alarm: Comparable {
        let at: TheClock.Instant
        let id: Int

        static func < (left: Alarm, right: Alarm) -> Bool { (left.at, left.id) < (right.at, right.id) }
    }

    private struct Dormitory {
        var nextID = 0
        var alarms = Heap<Alarm>()
        var asleep: [Int: CheckedContinuation<Void, any Error>] = [:]
        /// When those wake who wake the others: the latest first.
        var watches: [TheClock.Instant] = []

        mutating func add(_ alarm: Alarm, _ continuation: CheckedContinuation<Void, any Error>) {
            asleep[alarm.id] = continuation
            // Those of the cancelled are dropped before they are many more than those of the others.
            if alarms.count > 2 * asleep.count + 1_000 {
                alarms = Heap(alarms.unordered.filter { asleep[$0.id] != nil })
            }
            alarms.insert(alarm)
        }

        /// - Returns: when somebody has to wake whom nobody would.
        mutating func nextWatch() -> TheClock.Instant? {
            while let first = alarms.min, asleep[first.id] == nil { alarms.removeMin() }
            guard let next = alarms.min?.at, watches.last.map({ next < $0 }) ?? true else { return nil }
            watches.append(next)
            return next
        }
    }

    private let clock: TheClock
    private let dormitory = Locked(Dormitory())

    init(clock: TheClock) {
        self.clock = clock
    }

    /// How many sleep now.
    var count: Int { dormitory.withLock { $0.asleep.count } }

    /// Returns after `duration`.
    /// - Throws: `CancellationError` when the task is cancelled first.
    func sleep(for duration: Duration) async throws {
        try Task.checkCancellation()
        if duration <= .zero { return }
        let at = clock.now.advanced(by: duration)
        let id = dormitory.withLock { dormitory in
            dormitory.nextID += 1
            return dormitory.nextID
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let (isCancelled, watch) = dormitory.withLock { dormitory -> (Bool, TheClock.Instant?) in
                    // The handler below may have run already; then the continuation must not be kept.
                    if Task.isCancelled { return (true, nil) }
                    dormitory.add(Alarm(at: at, id: id), continuation)
                    return (false, dormitory.nextWatch())
                }
                if isCancelled { continuation.resume(throwing: CancellationError()) }
                if let watch { keepWatch(until: watch) }
            }
        } onCancel: {
            dormitory.withLock { $0.asleep.removeValue(forKey: id) }?.resume(throwing: CancellationError())
        }
    }

    private func keepWatch(until watch: TheClock.Instant) {
        Task.detached { [self] in
            var watch = watch
            while true {
                // Of a task that nobody cancels.
                try? await clock.sleep(until: watch, tolerance: nil)
                let (woken, next) = wake(watch)
                for sleeper in woken { sleeper.resume() }
                guard let next else { return }
                watch = next
            }
        }
    }

    /// - Returns: those whose time has come, and until when to watch further; `nil`: others do that.
    private func wake(
        _ watch: TheClock.Instant
    ) -> (woken: [CheckedContinuation<Void, any Error>], next: TheClock.Instant?) {
        let now = max(clock.now, watch)
        return dormitory.withLock { dormitory in
            dormitory.watches.removeAll { $0 == watch }
            var woken: [CheckedContinuation<Void, any Error>] = []
            while let first = dormitory.alarms.min, first.at <= now {
                dormitory.alarms.removeMin()
                if let sleeper = dormitory.asleep.removeValue(forKey: first.id) { woken.append(sleeper) }
            }
            return (woken, dormitory.nextWatch())
        }
    }
}
