#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// Where the engine gets the time from. ``SystemTime`` outside tests; a manual clock inside them.
public protocol TimeSource: Sendable {
    /// The wall-clock time now. Called on every hit, so it should cost a few nanoseconds.
    var now: Timestamp { get }

    /// The time on a clock that nobody sets: for what this process waits for or remembers by itself. The wall-clock
    /// time may jump. Its zero is any moment; only differences mean something. Default: ``now``.
    var steady: Timestamp { get }

    /// Returns after `duration`.
    /// - Throws: `CancellationError` when the task is cancelled first.
    func sleep(for duration: Duration) async throws
}

extension TimeSource {
    public var steady: Timestamp { now }

    /// What both clocks show now.
    var reading: ClockWatch.Reading { ClockWatch.Reading(wall: now, steady: steady) }

    /// The wall-clock time at a moment of the steady clock, as far as it can be known now.
    func wallTime(of steady: Timestamp) -> Timestamp { now + (steady - self.steady) }

    /// The moment of the steady clock at a wall-clock time, as far as it can be known now.
    func steadyTime(of wall: Timestamp) -> Timestamp { steady + (wall - now) }
}

/// The machine's own clocks.
public struct SystemTime: TimeSource {
    public init() {}

    // The coarse clocks of Linux are right to 4 ms and cost a quarter of the exact ones.
    #if os(Linux)
        public var now: Timestamp { read(CLOCK_REALTIME_COARSE) }
        public var steady: Timestamp { read(CLOCK_MONOTONIC_COARSE) }
    #else
        public var now: Timestamp { read(CLOCK_REALTIME) }
        public var steady: Timestamp { read(CLOCK_MONOTONIC) }
    #endif

    private func read(_ clock: clockid_t) -> Timestamp {
        var time = timespec()
        clock_gettime(clock, &time)
        return Timestamp(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
    }

    public func sleep(for duration: Duration) async throws {
        try await sleepers.sleep(for: duration)
    }
}

private let sleepers = Sleepers(clock: ContinuousClock())
