/// When to try again to open a connection: later after each failure, and not everybody at the same time.
package struct Reconnection: Sendable {
    /// The pause after the first failure; it doubles with each further one.
    package static let firstPause = Duration.milliseconds(50)
    /// The longest pause.
    package static let longestPause = Duration.seconds(2)

    private var failures = 0
    private var nextTry: ContinuousClock.Instant?

    package init() {}

    /// Whether a connection may be tried at `now`.
    package func mayTry(at now: ContinuousClock.Instant) -> Bool {
        nextTry.map { now >= $0 } ?? true
    }

    /// How long to wait at `now` before the next try.
    package func pause(at now: ContinuousClock.Instant) -> Duration {
        nextTry.map { max(.zero, $0 - now) } ?? .zero
    }

    /// - Parameter random: from 0 to 1; the pause is that part of its upper half.
    package mutating func failed(at now: ContinuousClock.Instant, random: Double) {
        let pause = min(Self.firstPause * (1 << min(failures, 10)), Self.longestPause)
        failures += 1
        nextTry = now + pause * (0.5 + random / 2)
    }

    package mutating func succeeded() {
        self = Reconnection()
    }
}
