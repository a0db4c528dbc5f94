/// Notices when the wall clock is set, by comparing it with the clock that nobody sets; and tells what time to go by
/// where a clock that was set forward by mistake would do harm that can't be undone. A pure value: who has it looks at
/// the clocks.
struct ClockWatch {
    /// What the two clocks showed at one moment.
    struct Reading {
        var wall: Timestamp
        var steady: Timestamp

        /// What the wall clock shows later, if nobody sets it.
        func wall(at steady: Timestamp) -> Timestamp { wall + (steady - self.steady) }
    }

    /// What was seen.
    struct Finding {
        /// How far the wall clock was set since the last look; zero if it was not, as far as can be told.
        var setBy = Duration.zero
        /// The time to go by: the wall clock's, unless it was set forward less than ``probation`` ago. Then what it
        /// would show otherwise.
        var believed: Timestamp
    }

    /// So far the two may part, for example when a time server corrects one of them, and nothing is said of it.
    static let tolerance = Duration.seconds(5)
    /// So long a clock that was set forward must go on before it is believed.
    static let probation = Duration.hours(1)

    private var last: Reading
    private var trusted: Reading
    private var aheadSince: Timestamp?

    init(_ now: Reading) {
        last = now
        trusted = now
    }

    mutating func look(_ now: Reading) -> Finding {
        defer { last = now }
        let difference = now.wall - last.wall(at: now.steady)
        let isSet = difference > Self.tolerance || difference < .zero - Self.tolerance
        let expected = trusted.wall(at: now.steady)
        if now.wall > expected + .minutes(1) {
            let since = aheadSince ?? now.steady
            aheadSince = since
            if now.steady - since < Self.probation {
                return Finding(setBy: isSet ? difference : .zero, believed: expected)
            }
        }
        aheadSince = nil
        trusted = now
        return Finding(setBy: isSet ? difference : .zero, believed: now.wall)
    }
}
