import PerennialTesting
import Synchronization
import Testing

@testable import Perennial

@Suite struct SleepersTests {
    private let clock = ManualClock()
    private let sleepers: Sleepers<HandClock>

    init() {
        sleepers = Sleepers(clock: HandClock(clock))
    }

    @Test func `everybody wakes when the time has come, the earliest first`() async throws {
        let woken = Woken()
        let tasks = [30, 5, 10, 5].map { seconds in
            Task { [sleepers] in
                try await sleepers.sleep(for: .seconds(seconds))
                woken.add(seconds)
            }
        }
        try await eventually { sleepers.count == 4 }
        for (seconds, expected) in [(4, []), (1, [5, 5]), (5, [5, 5, 10]), (19, [5, 5, 10]), (1, [5, 5, 10, 30])] {
            await clock.waitForSleepers()
            clock.advance(by: .seconds(seconds))
            try await eventually { woken.all == expected }
        }
        for task in tasks { try await task.value }
        #expect(sleepers.count == 0)
    }

    @Test func `a cancelled sleeper wakes at once, and nothing of it is left on the clock`() async throws {
        let first = Task { try await sleepers.sleep(for: .seconds(30)) }
        await clock.waitForSleepers()
        for _ in 0..<100 {
            let task = Task { try await sleepers.sleep(for: .seconds(31)) }
            try await eventually { sleepers.count == 2 }
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
        }
        // One watches for all.
        #expect(clock.sleeperCount == 1)
        first.cancel()
        await #expect(throws: CancellationError.self) { try await first.value }
        clock.advance(by: .seconds(30))
        try await eventually { clock.sleeperCount == 0 }
    }

    @Test func `whoever sleeps shorter than all is woken in time, and later ones after it`() async throws {
        let long = Task { try await sleepers.sleep(for: .seconds(30)) }
        await clock.waitForSleepers()
        for _ in 0..<10 {
            let short = Task { try await sleepers.sleep(for: .seconds(1)) }
            await clock.waitForSleepers(2)
            clock.advance(by: .seconds(1))
            try await short.value
        }
        // The one who watches for the long sleeper is there still, and no other.
        try await eventually { clock.sleeperCount == 1 }
        clock.advance(by: .seconds(20))
        try await long.value
    }

    @Test func `a task that is cancelled already does not sleep, nor does one for no time`() async throws {
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            try await sleepers.sleep(for: .seconds(1))
        }
        await #expect(throws: CancellationError.self) { try await task.value }
        try await sleepers.sleep(for: .zero)
        try await sleepers.sleep(for: .seconds(-1))
        #expect(clock.sleeperCount == 0)
    }

    @Test func `thousands sleep and are cancelled at once`() async throws {
        await withTaskGroup { group in
            for number in 0..<2_000 {
                group.addTask {
                    let task = Task { try await SystemTime().sleep(for: .milliseconds(number % 7)) }
                    if number % 2 == 0 { task.cancel() }
                    _ = await task.result
                }
            }
        }
    }
}

private final class Woken: Sendable {
    private let seconds = Mutex<[Int]>([])

    var all: [Int] { seconds.withLock { $0 } }

    func add(_ one: Int) { seconds.withLock { $0.append(one) } }
}

/// A clock for those who want a `Clock`, moved by a manual one.
private struct HandClock: Clock {
    struct Instant: InstantProtocol {
        let time: Timestamp

        func advanced(by duration: Duration) -> Instant { Instant(time: time + duration) }
        func duration(to other: Instant) -> Duration { other.time - time }
        static func < (left: Instant, right: Instant) -> Bool { left.time < right.time }
    }

    private let clock: ManualClock

    init(_ clock: ManualClock) {
        self.clock = clock
    }

    var now: Instant { Instant(time: clock.now) }
    var minimumResolution: Duration { .milliseconds(1) }

    func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        try await clock.sleep(for: deadline.time - clock.now)
    }
}
