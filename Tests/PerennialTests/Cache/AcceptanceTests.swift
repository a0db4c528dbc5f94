import PerennialTesting
import Testing

@testable import Perennial

/// Readers who decide by themselves what they take.
@Suite struct AcceptanceTests {
    private let nothing: Acceptance<String> = { _ in false }
    private let everything: Acceptance<String> = { _ in true }

    @Test func `what is accepted is served, also when it has expired, and nobody is asked`() async throws {
        let rig = Rig()
        let cache = rig.cache()
        _ = try await cache["a"]
        rig.clock.advance(by: .days(8))
        let answer = try await cache.lookup("a", accepting: everything)
        #expect(answer.value == "value of a")
        #expect(answer.state == .expired)
        #expect(answer.note == nil)
        // Another machine finds it in the store.
        let elsewhere = try await rig.cache().lookup("a", accepting: everything)
        #expect(elsewhere.source == .store)
        #expect(elsewhere.state == .expired)
        #expect(rig.origin.count == 1)
        #expect(try await rig.jobs().isEmpty)
    }

    @Test func `a stale one that is accepted is refreshed behind`() async throws {
        let rig = Rig()
        let cache = rig.cache()
        _ = try await cache["a"]
        rig.clock.advance(by: .hours(2))
        #expect(try await cache.lookup("a", accepting: everything).state == .stale)
        try await eventually { try await rig.jobs().count == 1 }
        #expect(rig.origin.count == 1)
    }

    @Test func `what is not accepted is asked for again, with what is there, and saved`() async throws {
        let rig = Rig()
        let cache = rig.cache()
        _ = try await cache["a"]
        rig.clock.advance(by: .minutes(5))
        rig.origin.answers { _, _ in .value("newer") }
        let answer = try await cache.lookup("a", accepting: nothing)
        #expect(answer.value == "newer")
        #expect(answer.source == .origin)
        #expect(answer.state == .fresh)
        #expect(rig.origin.reasons == [.missing, .notAccepted])
        #expect(rig.origin.lastPrevious?.value == "value of a")
        #expect(try await cache["a"] == "newer")
        #expect(try await rig.cache()["a"] == "newer")
        #expect(rig.origin.count == 2)
    }

    @Test func `readers who don't accept what is there share one question`() async throws {
        let gate = Gate()
        let rig = Rig()
        let cache = rig.cache()
        _ = try await cache["a"]
        rig.origin.answers { _, _ in
            await gate.pass()
            return .value("newer")
        }
        let values = try await withThrowingTaskGroup(of: String?.self) { group in
            for _ in 0..<100 { group.addTask { try await cache.lookup("a", accepting: nothing).value } }
            try await eventually { gate.arrived == 1 && cache.flights.count == 1 }
            // Who takes what is there does not wait.
            #expect(try await cache["a"] == "value of a")
            #expect(try await cache.values(for: ["a"]) == ["a": "value of a"])
            gate.open()
            return try await group.reduce(into: [:]) { $0[$1, default: 0] += 1 }
        }
        #expect(values["newer"] == 100)
        // Those who came when the first question was answered have asked another one.
        #expect(rig.origin.count < 100)
    }

    @Test func `a reader of a cold process does not wait for one who does not accept what the store has`() async throws
    {
        let gate = Gate()
        let rig = Rig()
        _ = try await rig.cache()["a"]
        let cold = rig.cache()
        rig.origin.answers { _, _ in
            await gate.pass()
            return .value("newer")
        }
        async let picky = cold.lookup("a", accepting: nothing)
        try await eventually { gate.arrived == 1 }
        #expect(try await cold.lookup("a").value == "value of a")
        gate.open()
        #expect(try await picky.value == "newer")
    }

    @Test func `a refresh in progress is joined, and its answer is new enough`() async throws {
        let gate = Gate()
        let rig = Rig()
        let cache = rig.cache()
        _ = try await cache["a"]
        rig.clock.advance(by: .hours(2))
        _ = try await cache["a"]
        try await eventually { try await rig.jobs().count == 1 }
        rig.origin.answers { _, _ in
            await gate.pass()
            return .value("refreshed")
        }
        let worker = rig.worker(cache)
        async let work = worker.drain()
        try await eventually { gate.arrived == 1 }
        async let picky = cache.lookup("a", accepting: nothing)
        #expect(try await cache["a"] == "value of a")
        gate.open()
        #expect(try await picky.value == "refreshed")
        _ = await work
    }

    @Test func `a job that nobody works on holds nobody up`() async throws {
        let rig = Rig()
        let cache = rig.cache()
        _ = try await cache["a"]
        rig.clock.advance(by: .hours(2))
        _ = try await cache["a"]
        try await eventually { try await rig.jobs().count == 1 }
        rig.origin.answers { _, _ in .value("newer") }
        #expect(try await cache.lookup("a", accepting: nothing).value == "newer")
        #expect(try await rig.cache()["a"] == "newer")
        // The job finds that there is nothing left to do.
        _ = await rig.worker(cache).drain()
        #expect(rig.origin.count == 2)
        #expect(try await rig.jobs().isEmpty)
    }

    @Test func `what was written by hand meanwhile stays`() async throws {
        let gate = Gate()
        let rig = Rig()
        let cache = rig.cache()
        _ = try await cache["a"]
        rig.origin.answers { _, _ in
            await gate.pass()
            return .value("late")
        }
        async let picky = cache.lookup("a", accepting: nothing)
        try await eventually { gate.arrived == 1 }
        try await cache.set("a", to: "by hand")
        gate.open()
        _ = try await picky
        #expect(try await cache["a"] == "by hand")
        #expect(try await rig.cache()["a"] == "by hand")
    }

    @Test func `when the origin fails the reader gets what it accepts then, and no job is queued for what is fresh`()
        async throws
    {
        let rig = Rig()
        let cache = rig.cache()
        _ = try await cache["a"]
        rig.origin.fails()
        let answer = try await cache.lookup("a") { $0.note != nil }
        #expect(answer.value == "value of a")
        #expect(answer.state == .fresh)
        guard case .originFailed(let error)? = answer.note else { throw Trouble(name: "no note") }
        #expect(error is Trouble)
        await #expect(throws: Trouble.self) { try await cache.lookup("a", accepting: nothing) }
        #expect(try await cache["a"] == "value of a")
        #expect(try await rig.jobs().isEmpty)
    }

    @Test func `when the origin fails, a reader may accept what the limits would not`() async throws {
        let rig = Rig()
        let cache = rig.cache(Rig.policy(staleIfError: .days(7)))
        _ = try await cache["a"]
        rig.clock.advance(by: .days(8))
        rig.origin.fails()
        await #expect(throws: Trouble.self) { try await cache["a"] }
        #expect(try await cache.lookup("a") { $0.note != nil }.state == .expired)
    }

    @Test func `the soft time-out is not for a reader who does not accept what is there`() async throws {
        let gate = Gate()
        let rig = Rig()
        let cache = rig.cache(Rig.policy(softTimeout: .seconds(1)))
        _ = try await cache["a"]
        rig.clock.advance(by: .days(8))
        rig.origin.answers { _, _ in
            await gate.pass()
            return .value("newer")
        }
        async let picky = cache.lookup("a", accepting: nothing)
        async let plain = cache.lookup("a")
        try await eventually { gate.arrived == 1 }
        try await eventually {
            rig.clock.advance(by: .seconds(1))
            return cache.statistics.staleOnError == 1
        }
        #expect(try await plain.value == "value of a")
        gate.open()
        #expect(try await picky.value == "newer")
    }

    @Test func `who wants what is stored alone asks nobody`() async throws {
        let rig = Rig()
        #expect(await rig.cache().lookupStored("a", accepting: everything)?.value == nil)
        _ = try await rig.cache()["a"]
        let cold = rig.cache()
        let answer = try #require(await cold.lookupStored("a", accepting: everything))
        #expect(answer.value == "value of a")
        #expect(answer.source == .store)
        #expect(cold.statistics.storeHits == 1)
        #expect(await cold.lookupStored("a", accepting: nothing)?.value == nil)
        rig.clock.advance(by: .days(8))
        #expect(await cold.lookupStored("a", accepting: { $0.state != .expired })?.value == nil)
        #expect(rig.origin.count == 1)
    }
}
