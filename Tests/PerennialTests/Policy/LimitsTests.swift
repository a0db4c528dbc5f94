import Testing

@testable import Perennial

@Suite struct LimitsTests {
    @Test func `limits that fall are refused with a message that says which and what to do`() {
        #expect {
            try Limits(refreshAfter: .hours(2), expireAfter: .hours(1))
        } throws: { error in
            "\(error)".contains("expireAfter") && "\(error)".contains("at least as long")
        }
        #expect(throws: PolicyError.self) {
            try Limits(refreshAfter: .hours(1), expireAfter: .hours(2), staleIfError: .minutes(90))
        }
        #expect(throws: PolicyError.self) { try Limits(refreshAfter: .seconds(-1), expireAfter: .hours(2)) }
    }

    @Test func `equal limits are allowed`() throws {
        let limits = try Limits(refreshAfter: .zero, expireAfter: .zero, staleIfError: .zero)
        let freshness = Freshness(confirmedAt: Timestamp(milliseconds: 5), limits: limits)
        #expect(freshness.state(at: Timestamp(milliseconds: 5)) == .expired)
    }

    static let ages: [(Int64, State)] = [
        (0, .fresh), (3_599_999, .fresh), (3_600_000, .stale), (604_799_999, .stale), (604_800_000, .expired),
    ]

    @Test(arguments: ages) func `the state is a function of age`(age: Int64, expected: State) {
        let freshness = Freshness(confirmedAt: Timestamp(milliseconds: 1_000), limits: .standard)
        #expect(freshness.state(at: Timestamp(milliseconds: 1_000 + age)) == expected)
    }

    @Test func `an entry 25 hours old is 25 hours old`() {
        let freshness = Freshness(confirmedAt: Timestamp(milliseconds: 0), limits: .standard)
        #expect(freshness.age(at: Timestamp(milliseconds: 0) + .hours(25)) == .hours(25))
        #expect(freshness.state(at: Timestamp(milliseconds: 0) + .hours(25)) == .stale)
    }

    @Test func `an entry from the future is fresh and zero old`() {
        let freshness = Freshness(confirmedAt: Timestamp(milliseconds: 9_000), limits: .standard)
        #expect(freshness.age(at: Timestamp(milliseconds: 0)) == .zero)
        #expect(freshness.state(at: Timestamp(milliseconds: 0)) == .fresh)
    }

    @Test(arguments: [Timestamp(milliseconds: 500), .distantPast, .distantFuture])
    func `an entry marked stale is stale, by whatever clock that was done`(marked: Timestamp) {
        let freshness = Freshness(confirmedAt: Timestamp(milliseconds: 0), limits: .standard, markedStaleAt: marked)
        #expect(freshness.state(at: Timestamp(milliseconds: 0)) == .stale)
        #expect(freshness.state(at: Timestamp(milliseconds: 500)) == .stale)
        #expect(freshness.state(at: freshness.expiresAt) == .expired)
        // Also by a clock that is a little behind.
        #expect(freshness.state(at: Timestamp(milliseconds: -3_000)) == .stale)
    }

    @Test func `how long an entry has been stale counts from the mark`() {
        let marked = Timestamp(milliseconds: 1_800_000)
        let freshness = Freshness(confirmedAt: Timestamp(milliseconds: 0), limits: .standard, markedStaleAt: marked)
        #expect(freshness.staleAt == marked)
    }

    @Test func `what may not be served stale is asked for when its age can't be known`() throws {
        let limits = try Limits(refreshAfter: .hours(1), expireAfter: .hours(1))
        let freshness = Freshness(confirmedAt: Timestamp(milliseconds: 0) + .days(1), limits: limits)
        #expect(freshness.state(at: Timestamp(milliseconds: 0)) == .expired)
    }

    @Test func `an entry confirmed more than a minute ahead of now is stale until then, and no older than it says`() {
        let ahead = Timestamp(milliseconds: 0) + .days(365)
        let freshness = Freshness(confirmedAt: ahead, limits: .standard)
        #expect(freshness.state(at: Timestamp(milliseconds: 0)) == .stale)
        #expect(freshness.age(at: Timestamp(milliseconds: 0)) == .zero)
        #expect(freshness.isUsableOnError(at: Timestamp(milliseconds: 0)))
        #expect(freshness.state(at: ahead - .minutes(1) - .milliseconds(1)) == .stale)
        #expect(freshness.state(at: ahead - .minutes(1)) == .fresh)
        #expect(freshness.state(at: .distantPast) == .stale)
    }

    @Test func `an entry that is fresh for a short time only may be no further ahead than that, or five seconds`()
        throws
    {
        for (refreshAfter, tolerance) in [
            (Duration.zero, Duration.seconds(5)), (.seconds(2), .seconds(5)),
            (.seconds(20), .seconds(20)), (.forever, .seconds(60)),
        ] {
            let ahead = Timestamp(milliseconds: 1_700_000_000_000)
            let limits = try Limits(refreshAfter: refreshAfter, expireAfter: .forever)
            let freshness = Freshness(confirmedAt: ahead, limits: limits)
            #expect(!freshness.isAhead(of: ahead - tolerance))
            #expect(freshness.isAhead(of: ahead - tolerance - .milliseconds(1)))
        }
    }

    @Test func `limits without end never come`() throws {
        let limits = try Limits(refreshAfter: .forever, expireAfter: .forever)
        let freshness = Freshness(confirmedAt: Timestamp(milliseconds: 1_800_000_000_000), limits: limits)
        #expect(freshness.state(at: .distantFuture - .milliseconds(1)) == .fresh)
        #expect(limits.jittered(by: 1, random: 0.5) == limits)
    }

    @Test func `jitter only shortens the soft limit`() throws {
        let limits = try Limits(refreshAfter: .seconds(100), expireAfter: .seconds(200))
        #expect(limits.jittered(by: 0.1, random: 0) == limits)
        let jittered = limits.jittered(by: 0.1, random: 0.999)
        #expect(jittered.refreshAfter >= .seconds(90) && jittered.refreshAfter < .seconds(91))
        #expect(jittered.expireAfter == limits.expireAfter)
    }

    @Test func `limits computed from what an origin says never fail`() {
        let limits = Limits(raising: .seconds(60), .seconds(-5), .seconds(10))
        #expect(limits.refreshAfter == .seconds(60))
        #expect(limits.expireAfter == .seconds(60))
        #expect(limits.staleIfError == .seconds(60))
    }

    @Test func `times saturate`() {
        #expect(Timestamp.distantFuture + .days(1) == .distantFuture)
        #expect(Timestamp.distantPast - .days(1) == .distantPast)
        #expect(Duration.days(.max).milliseconds == .max)
        #expect(Duration.forever.milliseconds == .max)
    }
}
