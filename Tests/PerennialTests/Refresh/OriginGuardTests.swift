import PerennialTesting
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
            clock.advance(by: .milliseconds(100))
            try await eventually { done.all.count == expected }
        }
        for task in tasks { try await task.value }
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
        let origin = OriginGuard(breaker: try .init(failures: 1), time: clock)
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
        let origin = OriginGuard(breaker: try .init(failures: 1), time: clock)
        for _ in 0..<3 {
            await #expect(throws: OriginFailure.self) {
                try await origin.withPermit(.reader) { throw OriginFailure("no such field", isPermanent: true) }
            }
        }
    }
}
