import PerennialTesting
import Synchronization
import Testing

@testable import Perennial

@Suite struct OriginGuardTests {
    let clock = ManualClock()

    @Test func `those who wait are let in one after another, readers before refreshes`() async throws {
        let origin = OriginGuard(concurrency: 1, breaker: nil, time: clock)
        let gate = Gate()
        let order = Notes()
        let first = Task { try await origin.withPermit(.reader) { await gate.pass() } }
        try await eventually { gate.arrived == 1 }
        let refresh = Task { try await origin.withPermit(.refresh) { order.add("refresh") } }
        try await eventually { origin.status.waiting == 1 }
        let reader = Task { try await origin.withPermit(.reader) { order.add("reader") } }
        try await eventually { origin.status.waiting == 2 }
        gate.open()
        _ = try await (first.value, refresh.value, reader.value)
        #expect(order.all == ["reader", "refresh"])
        #expect(origin.status.running == 0)
    }

    @Test func `one who gives up while waiting takes no turn`() async throws {
        let origin = OriginGuard(concurrency: 1, breaker: nil, time: clock)
        let gate = Gate()
        let first = Task { try await origin.withPermit(.reader) { await gate.pass() } }
        try await eventually { gate.arrived == 1 }
        let second = Task { try await origin.withPermit(.reader) {} }
        try await eventually { origin.status.waiting == 1 }
        second.cancel()
        await #expect(throws: CancellationError.self) { try await second.value }
        gate.open()
        try await first.value
        try await origin.withPermit(.reader) {}
        #expect(origin.status.running == 0)
        #expect(origin.status.waiting == 0)
    }

    @Test func `those who wait for the rate are let in as time goes on`() async throws {
        let origin = OriginGuard(rate: try .init(perSecond: 10, burst: 1), breaker: nil, time: clock)
        let done = Notes()
        let tasks = (0..<5).map { _ in
            Task { try await origin.withPermit(.reader) { done.add("done") } }
        }
        try await eventually { done.all.count == 1 && origin.status.waiting == 4 }
        for expected in 2...5 {
            await clock.waitForSleepers()
            clock.advance(by: .milliseconds(101))
            try await eventually { done.all.count == expected }
        }
        for task in tasks { try await task.value }
    }

    @Test func `where there is a rate, a reader outlasts a short pause, and no long one`() async throws {
        let origin = OriginGuard(rate: try .init(perSecond: 10), breaker: nil, time: clock)
        let patience = OriginGuard.Patience(limit: .seconds(5), outlastsPauses: true)
        func ask(_ address: String, _ patience: OriginGuard.Patience?) async throws {
            try await origin.withPermit(.reader, for: .init(address: address), patience: patience) {}
        }
        func busy(for pause: Duration) async {
            _ = try? await origin.withPermit(.reader) {
                throw OriginFailure("busy", retryAfter: pause, scope: .origin)
            }
        }
        await busy(for: .seconds(2))
        let (began, one) = (clock.now, OriginGuard.Patience(limit: .seconds(1), outlastsPauses: true))
        let modest = OriginGuard.Patience(limit: .seconds(5), outlastsPauses: false)
        for impatient in [nil, one, modest] {
            await #expect(throws: OriginUnavailable.self) { try await ask("a", impatient) }
        }
        let patient = Task { try await ask("a", patience) }
        await clock.waitForSleepers()
        clock.advance(by: .seconds(2))
        try await patient.value
        #expect(clock.now - began == .seconds(2))
        await busy(for: .seconds(6))
        await #expect(throws: OriginUnavailable.self) { try await ask("a", patience) }
    }

    @Test func `a pause that begins while readers wait for their turn is outlasted, too`() async throws {
        let origin = OriginGuard(concurrency: 1, rate: try .init(perSecond: 10), breaker: nil, time: clock)
        let gate = Gate()
        let first = Task {
            try await origin.withPermit(.reader) {
                await gate.pass()
                throw OriginFailure("busy", retryAfter: .seconds(1), scope: .origin)
            }
        }
        try await eventually { gate.arrived == 1 }
        let patience = OriginGuard.Patience(limit: .seconds(5), outlastsPauses: true)
        let second = Task { try await origin.withPermit(.reader, for: .init(address: "b"), patience: patience) {} }
        try await eventually { origin.status.waiting == 1 }
        gate.open()
        await #expect(throws: OriginFailure.self) { try await first.value }
        try await eventually { origin.status.waiting == 0 }
        await clock.waitForSleepers()
        clock.advance(by: .seconds(1))
        try await second.value
    }

    @Test func `a reader whose turn does not come in time is refused, and takes none`() async throws {
        let origin = OriginGuard(concurrency: 1, breaker: nil, time: clock)
        let gate = Gate()
        let first = Task { try await origin.withPermit(.reader) { await gate.pass() } }
        try await eventually { gate.arrived == 1 }
        let patience = OriginGuard.Patience(limit: .seconds(3), outlastsPauses: true)
        let second = Task { try await origin.withPermit(.reader, patience: patience) {} }
        try await eventually { origin.status.waiting == 1 }
        await clock.waitForSleepers()
        clock.advance(by: .seconds(3))
        await #expect(throws: OriginUnavailable.self) { try await second.value }
        #expect(origin.status.waiting == 0)
        gate.open()
        try await first.value
        try await origin.withPermit(.reader, patience: patience) {}
        #expect(origin.status.running == 0)
    }

    @Test func `readers of cold keys get their values, although the origin asks for a pause on the way`() async throws {
        let (clock, asked, done) = (clock, Notes(), Notes())
        var policy = Rig.policy()
        policy.turnTimeout = .seconds(30)
        let cache = Cache<String, String>(
            "texts", policy: policy, codec: .json,
            origin: OriginGuard(rate: try .init(perSecond: 5), time: clock), workers: 0, time: clock,
            answering: { key, _ in
                if asked.add(key) == 6 {
                    throw OriginFailure("too many requests", retryAfter: .seconds(1), scope: .origin)
                }
                return .value("value of \(key)")
            })
        let readers = (0..<13).map { number in
            Task {
                defer { done.add("done") }
                return try? await cache["\(number)"]
            }
        }
        try await eventually { done.all.count == 5 }
        try await eventually {
            clock.advance(by: .milliseconds(1))
            return done.all.count == 13
        }
        var values: [String] = []
        for reader in readers { if let value = await reader.value { values.append(value) } }
        #expect(values.count == 12)
    }

    @Test func `when the origin asks to be left alone those who wait are turned away at once`() async throws {
        let origin = OriginGuard(concurrency: 1, breaker: nil, time: clock)
        let gate = Gate()
        let first = Task {
            try await origin.withPermit(.reader) {
                await gate.pass()
                throw OriginFailure("busy", retryAfter: .seconds(60))
            }
        }
        try await eventually { gate.arrived == 1 }
        let second = Task { try await origin.withPermit(.reader) {} }
        try await eventually { origin.status.waiting == 1 }
        gate.open()
        await #expect(throws: OriginFailure.self) { try await first.value }
        await #expect {
            try await second.value
        } throws: {
            ($0 as? OriginUnavailable)?.retryAt == clock.now + .seconds(60)
        }
        #expect(origin.status.closedUntil == clock.now + .seconds(60))
    }

    @Test func `an origin that hangs until the time-out opens the breaker`() async throws {
        let origin = OriginGuard(breaker: try .init(minimum: 1, endpoints: 1), time: clock)
        let asking = Task {
            try await origin.withPermit(.reader) {
                try await clock.sleep(for: .days(1))
            }
        }
        await clock.waitForSleepers()
        asking.cancel()
        await #expect(throws: CancellationError.self) { try await asking.value }
        #expect(origin.status.closedUntil != nil)
    }

    @Test func `a mistake in the question says nothing about the origin's health`() async throws {
        let origin = OriginGuard(breaker: try .init(minimum: 1, endpoints: 1), time: clock)
        for _ in 0..<3 {
            await #expect(throws: OriginFailure.self) {
                try await origin.withPermit(.reader) { throw OriginFailure("no such field", isPermanent: true) }
            }
        }
    }

    @Test func `those who wait for an address that is left alone are turned away at once, and others wait on`()
        async throws
    {
        let origin = OriginGuard(concurrency: 1, time: clock)
        let gate = Gate()
        let first = Task {
            try await origin.withPermit(.reader, for: .init(address: "a")) {
                await gate.pass()
                throw OriginFailure("busy", retryAfter: .seconds(60))
            }
        }
        try await eventually { gate.arrived == 1 }
        let other = Gate()
        let ahead = Task { try await origin.withPermit(.reader, for: .init(address: "b")) { await other.pass() } }
        try await eventually { origin.status.waiting == 1 }
        let same = Task { try await origin.withPermit(.reader, for: .init(address: "a")) {} }
        try await eventually { origin.status.waiting == 2 }
        gate.open()
        await #expect(throws: OriginFailure.self) { try await first.value }
        // Whoever is before it in the queue is still being served.
        await #expect(throws: OriginUnavailable.self) { try await same.value }
        // One who comes now does not wait, either.
        await #expect(throws: OriginUnavailable.self) {
            try await origin.withPermit(.reader, for: .init(address: "a")) {}
        }
        other.open()
        try await ahead.value
    }

    @Test func `who is let in learns what its request has changed, and so does the guard's observer, once each`()
        async throws
    {
        let heard = Notes()
        let origin = OriginGuard(
            name: "https://api.test", breaker: try .init(addressMinimum: 2), time: clock,
            observer: { heard.add("\($0.origin ?? "?") \($0.address ?? "all"): \($0)") })
        let told = Notes()
        for _ in 0..<2 {
            await #expect(throws: OriginFailure.self) {
                try await origin.withPermit(.reader, for: .init(address: "a"), telling: { told.add("\($0)") }) {
                    throw OriginFailure("the origin answered 500")
                }
            }
        }
        #expect(
            told.all == [
                "an address is left alone for 5 s: 2 of 2 requests in 30 s failed; last: the origin answered 500"
            ])
        let status = origin.status
        #expect(status.state == .closed)
        #expect(status.reason == nil)
        #expect(status.addressCount == 1)
        #expect(status.addressOpenings == 1)
        #expect(status.openings == 0)
        #expect(status.addresses.map(\.address) == ["a"])
        #expect(status.addresses.first?.state == .open)
        #expect(status.addresses.first?.until == clock.now + .seconds(5))
        clock.advance(by: .seconds(5))
        #expect(origin.status.addresses.first?.state == .halfOpen)
        try await origin.withPermit(.reader, for: .init(address: "a"), telling: { told.add("\($0)") }) {}
        #expect(told.all.last == "an address is asked again: it works again")
        #expect(heard.all == told.all.map { "https://api.test a: \($0)" })
        #expect(origin.status.addressCount == 0)
    }

    @Test func `what is left alone is asked again at once when somebody says so`() async throws {
        let origin = OriginGuard(breaker: try .init(minimum: 1, endpoints: 1), time: clock)
        #expect(origin.reopen() == 0)
        await #expect(throws: OriginFailure.self) {
            try await origin.withPermit(.reader, for: .init(address: "a")) {
                throw OriginFailure("no route to host", retryAfter: .hours(1), scope: .origin)
            }
        }
        let status = origin.status
        #expect(status.state == .paused)
        #expect(status.closedUntil == clock.now + .minutes(10))
        #expect(status.reason?.contains("no route to host") == true)
        #expect(status.since == clock.now)
        #expect(status.openings == 1)
        #expect(!origin.reopen(address: "b"))
        #expect(origin.reopen() == 1)
        #expect(origin.status.state == .closed)
        try await origin.withPermit(.reader, for: .init(address: "a")) {}
    }

    @Test func `what an error is about decides what is left alone`() {
        func outcome(_ error: any Error) -> GuardState.Outcome.Health { GuardState.Outcome(of: error).health }
        #expect(outcome(Trouble()) == .fails(.address))
        #expect(outcome(OriginFailure("500")) == .fails(.address))
        #expect(outcome(OriginFailure("refused", scope: .origin)) == .fails(.origin))
        #expect(outcome(OriginFailure("404", scope: .request)) == .works)
        #expect(outcome(OriginFailure("a mistake", isPermanent: true)) == .unknown)
        #expect(outcome(CancellationError()) == .unknown)
        #expect(
            GuardState.Outcome(of: OriginFailure("429", retryAfter: .seconds(3), scope: .request)).retryAfter
                == .seconds(3))
    }
}
