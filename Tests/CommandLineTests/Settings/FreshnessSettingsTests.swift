import Perennial
import PerennialHTTP
import Testing

@testable import perennial

/// Whose limits rule, and which they are.
struct FreshnessSettingsTests {
    @Test func `without limits the origin's headers rule`() throws {
        #expect(try mode() == .origin())
        #expect(try mode(staleIfError: .days(1)) == .origin(staleIfError: .days(1)))
    }

    @Test func `with a limit the operator's limits rule, and the other one has its default`() throws {
        #expect(try mode(refreshAfter: .minutes(5)) == policy(.minutes(5), .days(7), .days(7)))
        #expect(try mode(expireAfter: .days(1)) == policy(.hours(1), .days(1), .days(1)))
    }

    @Test func `a default gives way to what was given`() throws {
        #expect(try mode(expireAfter: .minutes(5)) == policy(.minutes(5), .minutes(5), .minutes(5)))
        #expect(try mode(refreshAfter: .days(30)) == policy(.days(30), .days(30), .days(30)))
        #expect(try mode(refreshAfter: .hours(2), staleIfError: .days(1)) == policy(.hours(2), .days(1), .days(1)))
    }

    @Test func `a rule that is named wins`() throws {
        #expect(try mode(rule: .policy) == policy(.hours(1), .days(7), .days(7)))
        #expect(try mode(rule: .origin, refreshAfter: .hours(1)) == .origin())
    }

    @Test func `a contradiction names both sides`() {
        #expect(
            throws: Failure(
                .usage, "--expire-after (1h) is shorter than --refresh-after (2h); make it at least as long")
        ) {
            try mode(refreshAfter: .hours(2), expireAfter: .hours(1))
        }
        #expect(throws: Failure.self) { try mode(expireAfter: .hours(2), staleIfError: .hours(1)) }
    }

    @Test func `a contradiction between environment and file is one of configuration`() {
        let failure = #expect(throws: Failure.self) {
            try checkOrder(
                Found(value: .hours(2), place: .environment, name: "PERENNIAL_REFRESH_AFTER"),
                Found(value: .hours(1), place: .file("a.yaml"), name: "“expire-after” in a.yaml"))
        }
        #expect(failure?.code == .configuration)
    }

    private func mode(
        rule: FreshnessRule? = nil, refreshAfter: Duration? = nil, expireAfter: Duration? = nil,
        staleIfError: Duration? = nil
    ) throws -> FreshnessMode {
        func found(_ name: String, _ value: Duration?) -> Found<Duration>? {
            value.map { Found(value: $0, place: .commandLine, name: name) }
        }
        return try freshnessMode(
            rule: rule, refreshAfter: found("--refresh-after", refreshAfter),
            expireAfter: found("--expire-after", expireAfter), staleIfError: found("--stale-if-error", staleIfError))
    }

    private func policy(_ soft: Duration, _ hard: Duration, _ error: Duration) -> FreshnessMode {
        .policy(Limits(raising: soft, hard, error))
    }
}
