import Testing

@testable import Perennial

@Suite struct RetryPolicyTests {
    @Test(arguments: [(1, 1), (2, 2), (3, 4), (4, 8), (9, 256), (10, 300), (1000, 300)])
    func `pauses double up to the maximum`(failures: Int, seconds: Int64) {
        let policy = RetryPolicy.standard
        #expect(policy.pause(afterFailures: failures, random: 0) == .milliseconds(seconds * 500))
        let longest = policy.pause(afterFailures: failures, random: 0.999_999)
        #expect(longest <= .seconds(seconds) && longest > .milliseconds(seconds * 990))
    }

    @Test func `Retry-After is obeyed, up to a day`() {
        let policy = RetryPolicy.standard
        #expect(policy.pause(afterFailures: 1, retryAfter: .seconds(90), random: 0.5) == .seconds(90))
        #expect(policy.pause(afterFailures: 1, retryAfter: .days(400), random: 0.5) == .days(1))
        #expect(policy.pause(afterFailures: 1, retryAfter: .seconds(-4), random: 0) == .milliseconds(500))
    }

    @Test func `settings out of range are refused`() {
        #expect(throws: PolicyError.self) { try RetryPolicy(attempts: 0) }
        #expect(throws: PolicyError.self) { try RetryPolicy(base: .seconds(10), maximum: .seconds(5)) }
        #expect(throws: PolicyError.self) { try Policy(jitter: 1.5) }
        #expect(throws: PolicyError.self) { try Policy(softTimeout: .seconds(31)) }
        #expect(throws: PolicyError.self) { try Policy(timeout: .zero) }
        #expect(throws: PolicyError.self) { try Policy(leaseTime: .milliseconds(1)) }
    }
}
