import PerennialTesting
import Testing

@testable import Perennial

/// What holds for the origin guard's decisions whatever happens.
@Suite struct GuardPropertyTests {
    /// A guard that random things happen to.
    private struct Run {
        var state: GuardState
        var now = Timestamp(milliseconds: 1_700_000_000_000)
        var random: SeededGenerator
        var running: [GuardState.Permit] = []

        init(_ seed: UInt64, breaker: OriginGuard.Breaker? = .standard) {
            random = SeededGenerator(seed: seed)
            state = GuardState(breaker: breaker, longestRetryAfter: .minutes(2), addressLimit: 20, now: now)
        }

        mutating func pass() {
            let pauses: [Int64] = [0, 0, 0, 1, 50, 700, 3000, 20_000, 70_000]
            now = now + .milliseconds(pauses[random.below(pauses.count)])
        }

        /// Asks; what is let through goes on running, or ends at once.
        mutating func ask(_ address: String?, _ outcome: GuardState.Outcome) -> GuardState.Verdict {
            let verdict = state.request(address.map { .init(address: $0) }, at: now)
            if case .go(let permit) = verdict {
                if random.below(4) == 0 { running.append(permit) } else { _ = state.finished(permit, outcome, at: now) }
            }
            return verdict
        }

        mutating func endOne(_ outcome: GuardState.Outcome) {
            guard !running.isEmpty else { return }
            _ = state.finished(running.remove(at: random.below(running.count)), outcome, at: now)
        }

        mutating func anyOutcome() -> GuardState.Outcome {
            let retryAfter: Duration? = random.below(5) == 0 ? .seconds(Int64(random.below(400))) : nil
            return switch random.below(6) {
            case 0, 1: .success
            case 2: .neutral
            case 3: .failure(.origin, retryAfter: retryAfter)
            default: .failure(.address, retryAfter: retryAfter)
            }
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `an address is never refused because of one or two others`(_ seed: UInt64) {
        var run = Run(seed)
        let siblings = ["x", "y"]
        for step in 0..<1000 {
            run.pass()
            let sibling = siblings[run.random.below(2)]
            let retryAfter: Duration? = run.random.below(4) == 0 ? .seconds(60) : nil
            _ = run.ask(sibling, .failure(.address, retryAfter: retryAfter))
            if run.random.below(3) == 0, case .refuse(_, let why) = run.ask("good \(run.random.below(5))", .success) {
                Issue.record("step \(step): refused because \(why)")
                return
            }
            if run.random.below(8) == 0 { run.endOne(.success) }
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `honest answers, and what says nothing, leave nothing alone`(_ seed: UInt64) {
        var run = Run(seed)
        for _ in 0..<1000 {
            run.pass()
            let verdict = run.ask("\(run.random.below(4))", run.random.below(5) == 0 ? .neutral : .success)
            guard case .go = verdict else {
                Issue.record("refused")
                return
            }
            if run.random.below(3) == 0 { run.endOne(run.random.below(5) == 0 ? .neutral : .success) }
        }
        #expect(run.state.addresses.count == 0)
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `a refusal ends, nothing is left alone for longer than it may be, and by hand it ends at once`(_ seed: UInt64)
    {
        var run = Run(seed)
        for step in 0..<1000 {
            run.pass()
            let address = run.random.below(12) == 0 ? nil : "\(run.random.below(40))"
            if case .refuse(let until, let why) = run.ask(address, run.anyOutcome()) {
                #expect(until > run.now, "step \(step)")
                #expect(until - run.now <= .minutes(2), "step \(step)")
                #expect(!why.isEmpty)
                // Who comes when it was told to is asked in the end, if nobody else is.
                var later = run.state
                var at = until
                for _ in 0..<200 {
                    guard case .refuse(let next, _) = later.request(address.map { .init(address: $0) }, at: at) else {
                        break
                    }
                    #expect(next > at)
                    at = next
                }
                guard later.running > run.state.running else {
                    Issue.record("step \(step): refused for ever")
                    return
                }
                var byHand = run.state
                _ = byHand.reopen(at: run.now)
                guard case .go = byHand.request(address.map { .init(address: $0) }, at: run.now) else {
                    Issue.record("step \(step): refused although it was asked again by hand")
                    return
                }
            }
            if run.random.below(3) == 0 { run.endOne(run.anyOutcome()) }
            if run.random.below(400) == 0 { _ = run.state.reopen(at: run.now) }
            if run.random.below(100) == 0 {
                let address = "\(run.random.below(40))"
                _ = run.state.reopen({ $0 == address }, at: run.now)
            }
            #expect(run.state.running == run.running.count)
            #expect(run.state.addresses.count <= 20)
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `the window counts what happened in it`(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var now = Timestamp(milliseconds: 1_700_000_000_000)
        var window = FailureWindow(.seconds(30), at: now)
        var all: [(at: Timestamp, failed: Bool)] = []
        for _ in 0..<1000 {
            now = now + .milliseconds(Int64([0, 1, 100, 2500, 9000][random.below(5)]))
            if random.below(50) == 0 { now = now + .seconds(40) }
            let failed = random.below(2) == 0
            all.append((now, failed))
            window.add(.init(asked: 1, failed: failed ? 1 : 0), at: now)
            // The oldest of ten parts may be there in part.
            all.removeAll { $0.at <= now - .seconds(30) }
            let certain = all.filter { $0.at > now - .seconds(27) }
            #expect((certain.count...all.count).contains(window.total.asked))
            #expect((certain.count(where: \.failed)...all.count(where: \.failed)).contains(window.total.failed))
        }
    }
}

extension SeededGenerator {
    fileprivate mutating func below(_ limit: Int) -> Int { Int.random(in: 0..<limit, using: &self) }
}
