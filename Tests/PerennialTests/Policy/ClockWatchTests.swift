import Testing

@testable import Perennial

@Suite struct ClockWatchTests {
    private static let begin = ClockWatch.Reading(
        wall: Timestamp(milliseconds: 1_700_000_000_000), steady: Timestamp(milliseconds: 0))

    /// What is found in a look after `passed` of the steady clock, when the wall clock is off by `error` then.
    private func look(
        _ watch: inout ClockWatch, after passed: Duration, off error: Duration
    ) -> ClockWatch.Finding {
        let steady = Self.begin.steady + passed
        return watch.look(ClockWatch.Reading(wall: Self.begin.wall(at: steady) + error, steady: steady))
    }

    @Test func `a clock that goes on as it did is believed`() {
        var watch = ClockWatch(Self.begin)
        for second in stride(from: Int64(30), to: 100_000, by: 30) {
            // It may be a little slow or fast.
            let error = Duration.milliseconds(second % 3_000)
            let finding = look(&watch, after: .seconds(second), off: error)
            #expect(finding.setBy == .zero)
            #expect(finding.believed == Self.begin.wall + .seconds(second) + error)
        }
    }

    @Test func `one that was set forward is believed after an hour, and until then the time that it showed before`() {
        var watch = ClockWatch(Self.begin)
        let first = look(&watch, after: .seconds(30), off: .days(365))
        #expect(first.setBy == .days(365))
        #expect(first.believed == Self.begin.wall + .seconds(30))
        let second = look(&watch, after: .minutes(59), off: .days(365))
        #expect(second.setBy == .zero)
        #expect(second.believed == Self.begin.wall + .minutes(59))
        let third = look(&watch, after: .minutes(61), off: .days(365))
        #expect(third.setBy == .zero)
        #expect(third.believed == Self.begin.wall + .minutes(61) + .days(365))
    }

    @Test func `one that was set forward for half a minute does nothing`() {
        var watch = ClockWatch(Self.begin)
        #expect(look(&watch, after: .seconds(30), off: .days(365)).believed == Self.begin.wall + .seconds(30))
        let back = look(&watch, after: .seconds(60), off: .zero)
        #expect(back.setBy == .zero - .days(365))
        #expect(back.believed == Self.begin.wall + .seconds(60))
        // Set forward again much later, it has an hour to go again.
        #expect(look(&watch, after: .hours(5), off: .days(1)).believed == Self.begin.wall + .hours(5))
    }

    @Test func `one that was set back is believed at once`() {
        var watch = ClockWatch(Self.begin)
        let finding = look(&watch, after: .seconds(30), off: .zero - .days(365))
        #expect(finding.setBy == .zero - .days(365))
        #expect(finding.believed == Self.begin.wall + .seconds(30) - .days(365))
    }
}
