import Testing

@testable import Perennial

@Suite struct GuardStateTests {
    let start = Timestamp(milliseconds: 1_000_000)

    func state(
        concurrency: Int? = nil, rate: OriginGuard.Rate? = nil, breaker: OriginGuard.Breaker? = nil
    ) -> GuardState {
        GuardState(concurrency: concurrency, rate: rate, breaker: breaker, now: start)
    }

    @Test func `no more run at once than allowed`() {
        var state = state(concurrency: 2)
        #expect(state.request(at: start) == .go)
        #expect(state.request(at: start) == .go)
        #expect(state.request(at: start) == .wait(until: nil))
        state.finished(.success, at: start)
        #expect(state.request(at: start) == .go)
    }

    @Test func `the bucket refills at the rate and holds the burst at most`() throws {
        var state = state(rate: try .init(perSecond: 10, burst: 2))
        #expect(state.request(at: start) == .go)
        #expect(state.request(at: start) == .go)
        #expect(state.request(at: start) == .wait(until: start + .milliseconds(100)))
        #expect(state.request(at: start + .milliseconds(100)) == .go)
        let later = start + .hours(1)
        #expect(state.request(at: later) == .go)
        #expect(state.request(at: later) == .go)
        #expect(state.request(at: later) != .go)
    }

    @Test func `a clock set back adds no tokens and does not stop the bucket`() throws {
        var state = state(rate: try .init(perSecond: 10, burst: 1))
        #expect(state.request(at: start) == .go)
        let earlier = start - .hours(1)
        #expect(state.request(at: earlier) == .wait(until: earlier + .milliseconds(100)))
        #expect(state.request(at: earlier + .milliseconds(100)) == .go)
    }

    @Test func `Retry-After closes the origin for everybody until then`() {
        var state = state()
        #expect(state.request(at: start) == .go)
        state.finished(.failure(retryAfter: .seconds(30)), at: start)
        guard case .refuse(let until, _) = state.request(at: start + .seconds(29)) else {
            Issue.record("was let through")
            return
        }
        #expect(until == start + .seconds(30))
        #expect(state.request(at: start + .seconds(30)) == .go)
    }

    @Test func `the breaker opens, lets one try, and opens for longer when that fails`() throws {
        var state = state(breaker: try .init(failures: 3, pause: .seconds(5), maximum: .seconds(8)))
        for _ in 0..<3 {
            #expect(state.request(at: start) == .go)
            state.finished(.failure(retryAfter: nil), at: start)
        }
        guard case .refuse(let until, _) = state.request(at: start) else {
            Issue.record("was let through")
            return
        }
        #expect(until == start + .seconds(5))
        #expect(state.request(at: until) == .go)
        if case .go = state.request(at: until) { Issue.record("two at once tried the origin") }
        state.finished(.failure(retryAfter: nil), at: until)
        guard case .refuse(let longer, _) = state.request(at: until) else {
            Issue.record("was let through")
            return
        }
        #expect(longer == until + .seconds(8))
        #expect(state.request(at: longer) == .go)
        state.finished(.success, at: longer)
        #expect(state.request(at: longer) == .go)
        #expect(state.request(at: longer) == .go)
    }

    @Test func `a success between failures keeps the breaker closed`() throws {
        var state = state(breaker: try .init(failures: 2))
        for _ in 0..<10 {
            #expect(state.request(at: start) == .go)
            state.finished(.failure(retryAfter: nil), at: start)
            #expect(state.request(at: start) == .go)
            state.finished(.success, at: start)
        }
    }

    @Test func `a probe that never ends does not close the origin for ever`() throws {
        var state = state(breaker: try .init(failures: 1, pause: .seconds(5)))
        #expect(state.request(at: start) == .go)
        state.finished(.failure(retryAfter: nil), at: start)
        let later = start + .seconds(5)
        #expect(state.request(at: later) == .go)
        if case .go = state.request(at: later + .seconds(59)) { Issue.record("two at once tried the origin") }
        #expect(state.request(at: later + .seconds(60)) == .go)
    }

    @Test func `a cancelled probe lets the next one try`() throws {
        var state = state(breaker: try .init(failures: 1, pause: .seconds(5)))
        #expect(state.request(at: start) == .go)
        state.finished(.failure(retryAfter: nil), at: start)
        let later = start + .seconds(5)
        #expect(state.request(at: later) == .go)
        state.finished(.neutral, at: later)
        #expect(state.request(at: later) == .go)
    }
}
