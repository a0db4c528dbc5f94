import PerennialTesting
import Testing

@testable import Perennial

@Suite struct ReadingTests {
    @Test func `an answer prints its value, its state and where it came from`() async throws {
        let rig = Rig()
        let cache = rig.cache()
        #expect(try await "\(cache.lookup("a"))" == "value of a (missing, from origin, 0.0 seconds old)")
        rig.clock.advance(by: .seconds(2))
        #expect(try await "\(cache.lookup("a"))" == "value of a (fresh, from memory, 2.0 seconds old)")
        rig.origin.answers { _, _ in .absent() }
        #expect(try await "\(cache.lookup("b"))" == "absent (missing, from origin, 0.0 seconds old)")
        rig.origin.answers { _, _ in .notStored() }
        #expect(try await "\(cache.lookup("c"))" == "not shared (from origin)")
    }

    @Test func `a missing key is fetched once and saved before it is returned`() async throws {
        let rig = Rig()
        let cache = rig.cache()
        let answer = try await cache.lookup("a")
        #expect(answer.value == "value of a")
        #expect(answer.state == .missing)
        #expect(answer.source == .origin)
        #expect(answer.age == .zero)
        // Another machine finds it in the store.
        let elsewhere = try await rig.cache().lookup("a")
        #expect(elsewhere.value == "value of a")
        #expect(elsewhere.source == .store)
        #expect(rig.origin.count == 1)
    }

    @Test func `a fresh value is served from memory and nobody is asked`() async throws {
        let rig = Rig()
        let cache = rig.cache()
        _ = try await cache["a"]
        rig.clock.advance(by: .minutes(59))
        let answer = try await cache.lookup("a")
        #expect(answer.state == .fresh)
        #expect(answer.source == .memory)
        #expect(answer.age == .minutes(59))
        #expect(rig.origin.count == 1)
        #expect(try await rig.jobs().isEmpty)
    }

    @Test func `10,000 concurrent readers of a cold key make one fetch`() async throws {
        let gate = Gate()
        let rig = Rig(
            origin: ScriptedOrigin { key, _ in
                await gate.pass()
                return .value(key)
            })
        let cache = rig.cache()
        let values = try await withThrowingTaskGroup(of: String?.self) { group in
            for _ in 0..<10_000 { group.addTask { try await cache["a"] } }
            try await eventually { gate.arrived == 1 }
            gate.open()
            return try await group.reduce(into: [:]) { $0[$1, default: 0] += 1 }
        }
        #expect(values == ["a": 10_000])
        #expect(rig.origin.count == 1)
    }

    @Test func `four machines with one cold key make one fetch`() async throws {
        let gate = Gate()
        let rig = Rig(
            origin: ScriptedOrigin { key, _ in
                await gate.pass()
                return .value(key)
            })
        let caches = (0..<4).map { _ in rig.cache() }
        let values = try await withThrowingTaskGroup(of: String?.self) { group in
            for cache in caches { for _ in 0..<100 { group.addTask { try await cache["a"] } } }
            try await eventually { gate.arrived == 1 }
            gate.open()
            // The other machines look again after a pause.
            let clock = rig.clock
            let ticking = Task {
                while !Task.isCancelled {
                    clock.advance(by: .milliseconds(25))
                    await Task.yield()
                }
            }
            defer { ticking.cancel() }
            return try await group.reduce(into: [:]) { $0[$1, default: 0] += 1 }
        }
        #expect(values == ["a": 400])
        #expect(rig.origin.count == 1)
    }

    @Test
    func
        `when the origin fails everyone in the flight gets the same error, nothing is saved, and the next read tries again`()
        async throws
    {
        let gate = Gate()
        let rig = Rig(
            origin: ScriptedOrigin { _, _ in
                await gate.pass()
                throw Trouble(name: "down")
            })
        let cache = rig.cache()
        await withTaskGroup(of: (any Error)?.self) { group in
            for _ in 0..<100 {
                group.addTask {
                    do {
                        _ = try await cache["a"]
                        return nil
                    } catch { return error }
                }
            }
            try? await eventually { gate.arrived == 1 }
            gate.open()
            for await error in group { #expect(error as? Trouble == Trouble(name: "down")) }
        }
        #expect(rig.origin.count == 1)
        #expect(try await rig.backend.store.statistics().entries == 0)
        rig.origin.answers { _, _ in .value("up") }
        #expect(try await cache["a"] == "up")
    }

    @Test func `what the origin does not have is absent, remembered for a shorter time`() async throws {
        let rig = Rig(origin: ScriptedOrigin { _, _ in .absent() })
        let cache = rig.cache()
        #expect(try await cache["a"] == nil)
        await #expect(throws: Absent.self) { _ = try await cache.value(for: "a") }
        #expect(try await cache.lookup("a").isAbsent)
        #expect(rig.origin.count == 1)
        rig.clock.advance(by: .minutes(5))
        rig.origin.answers { _, _ in .value("born") }
        #expect(try await cache.value(for: "a") == "born")
    }

    @Test func `a stale value is served at once and one job is queued, however many readers and machines`() async throws
    {
        let rig = Rig()
        let caches = (0..<4).map { _ in rig.cache() }
        for cache in caches { _ = try await cache["a"] }
        rig.clock.advance(by: .minutes(61))
        await withTaskGroup(of: Void.self) { group in
            for cache in caches {
                for _ in 0..<1000 {
                    group.addTask {
                        let answer = cache.lookupInMemory("a")
                        #expect(answer?.state == .stale)
                        #expect(answer?.value == "value of a")
                    }
                }
            }
        }
        try await eventually {
            try await rig.jobs().count == 1 && caches.allSatisfy { $0.peek("a")?.isRefreshing == true }
        }
        #expect(caches.reduce(0) { $0 + $1.statistics.refreshesQueued } == 1)
        #expect(rig.origin.count == 1)
        rig.origin.answers { _, _ in .value("newer") }
        #expect(await rig.worker(caches[0]).drain() == 1)
        #expect(rig.origin.count == 2)
        #expect(rig.origin.reasons.last == .refresh(attempt: 1))
        // Every machine's memory learns of it.
        for cache in caches { try await eventually { cache.peek("a")?.value == "newer" } }
        #expect(try await rig.jobs().isEmpty)
    }

    @Test func `an expired value is fetched again before answering`() async throws {
        let rig = Rig()
        let cache = rig.cache()
        _ = try await cache["a"]
        rig.clock.advance(by: .days(7))
        #expect(cache.lookupInMemory("a") == nil)
        rig.origin.answers { _, _ in .value("new") }
        let answer = try await cache.lookup("a")
        #expect(answer.value == "new")
        #expect(answer.state == .expired)
        #expect(rig.origin.reasons == [.missing, .expired])
        #expect(rig.origin.lastPrevious?.value == "value of a")
    }

    @Test func `when the origin fails an expired value is served until staleIfError, marked so, and a retry is queued`()
        async throws
    {
        let rig = Rig()
        let cache = rig.cache()
        _ = try await cache["a"]
        rig.clock.advance(by: .days(8))
        rig.origin.fails()
        let answer = try await cache.lookup("a")
        #expect(answer.value == "value of a")
        #expect(answer.state == .expired)
        guard case .originFailed(let error)? = answer.note else {
            Issue.record("the answer is not marked")
            return
        }
        #expect(error is Trouble)
        #expect(try await rig.jobs(.queued).count == 1)
        // Until the retry nobody waits for the origin again.
        #expect(cache.lookupInMemory("a")?.note != nil)
        #expect(rig.origin.count == 2)
        rig.clock.advance(by: .seconds(1))
        rig.origin.answers { _, _ in .value("back") }
        #expect(await rig.worker(cache).drain() == 1)
        #expect(try await cache.lookup("a").value == "back")
        #expect(try await cache.lookup("a").state == .fresh)
    }

    @Test func `past staleIfError the reader gets the origin's error`() async throws {
        let rig = Rig()
        let cache = rig.cache()
        _ = try await cache["a"]
        rig.clock.advance(by: .days(30))
        rig.origin.fails()
        await #expect(throws: Trouble.self) { try await cache["a"] }
    }

    @Test func `past the soft time-out the reader gets the old value, and the fetch goes on and is saved`() async throws
    {
        let rig = Rig()
        let cache = rig.cache(Rig.policy(softTimeout: .seconds(2)))
        _ = try await cache["a"]
        rig.clock.advance(by: .days(8))
        let gate = Gate()
        rig.origin.answers { _, _ in
            await gate.pass()
            return .value("late")
        }
        async let reader = cache.lookup("a")
        try await eventually { gate.arrived == 1 }
        try await eventually {
            rig.clock.advance(by: .seconds(1))
            return cache.statistics.staleOnError == 1
        }
        let answer = try await reader
        #expect(answer.value == "value of a")
        guard case .originSlow? = answer.note else {
            Issue.record("the answer is not marked")
            return
        }
        gate.open()
        try await eventually { cache.peek("a")?.value == "late" }
        #expect(try await rig.cache()["a"] == "late")
        #expect(rig.origin.count == 2)
    }

    @Test func `the hard time-out ends a fetch that does not heed its cancellation`() async throws {
        let gate = Gate()
        let rig = Rig(
            origin: ScriptedOrigin { _, _ in
                await gate.pass()
                return .value("never")
            })
        let cache = rig.cache()
        let reader = Task { try await cache["a"] }
        try await eventually { gate.arrived == 1 }
        let ticking = Task {
            while !Task.isCancelled {
                rig.clock.advance(by: .seconds(1))
                await Task.yield()
            }
        }
        await #expect(throws: FetchTimeout(timeout: .seconds(30))) { try await reader.value }
        ticking.cancel()
        gate.open()
    }

    @Test func `a reader who gives up leaves the flight to the others, and its result is saved`() async throws {
        let gate = Gate()
        let rig = Rig(
            origin: ScriptedOrigin { key, _ in
                await gate.pass()
                return .value(key)
            })
        let cache = rig.cache()
        let first = Task { try await cache["a"] }
        try await eventually { gate.arrived == 1 }
        let second = Task { try await cache["a"] }
        first.cancel()
        await #expect(throws: CancellationError.self) { try await first.value }
        gate.open()
        #expect(try await second.value == "a")
        #expect(try await rig.cache()["a"] == "a")
        #expect(rig.origin.count == 1)
    }

    @Test func `when every reader gives up the result is saved all the same`() async throws {
        let gate = Gate()
        let rig = Rig(
            origin: ScriptedOrigin { key, _ in
                await gate.pass()
                return .value(key)
            })
        let cache = rig.cache()
        let only = Task { try await cache["a"] }
        try await eventually { gate.arrived == 1 }
        only.cancel()
        await #expect(throws: CancellationError.self) { try await only.value }
        gate.open()
        try await eventually { cache.peek("a")?.value == "a" }
    }

    @Test func `not modified keeps the value and its tags, and begins its age anew`() async throws {
        let rig = Rig(
            origin: ScriptedOrigin { _, _ in
                .value("kept", tags: ["x"], validator: Validator(etag: "\"1\""))
            })
        let cache = rig.cache()
        let first = try await cache.lookup("a")
        rig.clock.advance(by: .days(8))
        rig.origin.answers { _, context in
            #expect(context.previous?.validator?.etag == "\"1\"")
            return .notModified()
        }
        let answer = try await cache.lookup("a")
        #expect(answer.value == "kept")
        #expect(answer.age == .zero)
        #expect(answer.tags == ["x"])
        #expect(answer.savedAt == first.savedAt)
        #expect(try await rig.cache().lookup("a").value == "kept")
        #expect(try await rig.cache().lookup("a").age == .zero)
    }

    @Test func `a value may bring limits, tags, a validator and an age of its own`() async throws {
        let rig = Rig(
            origin: ScriptedOrigin { _, _ in
                .value(
                    "v", limits: Limits(raising: .seconds(10), .seconds(20), .seconds(30)), tags: ["b", "a", "b"],
                    validator: Validator(lastModified: "then"), age: .seconds(4))
            })
        let cache = rig.cache()
        let answer = try await cache.lookup("k")
        #expect(answer.age == .seconds(4))
        #expect(answer.tags == ["a", "b"])
        #expect(answer.validator == Validator(lastModified: "then"))
        rig.clock.advance(by: .seconds(6))
        #expect(try await cache.lookup("k").state == .stale)
        rig.clock.advance(by: .seconds(10))
        #expect(cache.peek("k")?.state == .expired)
    }

    @Test func `what may not be stored goes to the one who asked, and the others ask by themselves`() async throws {
        let gate = Gate()
        let rig = Rig(
            origin: ScriptedOrigin { key, _ in
                await gate.pass()
                return .notStored(key)
            })
        let cache = rig.cache()
        async let first = cache.lookup("a")
        try await eventually { gate.arrived == 1 }
        async let second = cache.lookup("a")
        gate.open()
        let answers = try await [first, second]
        #expect(answers.map(\.value) == ["a", "a"])
        #expect(rig.origin.count == 2)
        #expect(cache.peek("a") == nil)
        #expect(try await rig.backend.store.statistics().entries == 0)
    }

    @Test func `values are had together: one question for what is missing, stale ones refreshed behind`() async throws {
        let rig = Rig()
        let asked = ScriptedOrigin()
        let cache = rig.cache(
            batch: { keys, _ in
                var fetched: [String: Fetched<String>] = [:]
                for key in keys where key != "nobody" {
                    _ = try await asked.ask(
                        key, FetchContext(reason: .missing, previous: nil, deadline: .distantFuture))
                    fetched[key] = .value("batch \(key)")
                }
                return fetched
            })
        _ = try await cache["old"]
        rig.clock.advance(by: .hours(2))
        _ = try await cache["fresh"]
        let values = try await cache.values(for: ["old", "fresh", "new", "newer", "nobody", "new"])
        #expect(
            values == [
                "old": "value of old", "fresh": "value of fresh", "new": "batch new", "newer": "batch newer",
            ])
        #expect(cache.statistics.fetches == 3)
        try await eventually { try await rig.jobs().map(\.key.key) == ["old"] }
        #expect(try await cache.lookup("nobody").isAbsent)
        #expect(try await rig.cache()["newer"] == "batch newer")
    }

    @Test func `when a batch fails the values that are there are not lost`() async throws {
        let rig = Rig()
        let cache = rig.cache(batch: { _, _ in throw Trouble() })
        _ = try await cache["there"]
        await #expect {
            try await cache.values(for: ["there", "missing"])
        } throws: { error in
            guard let partial = error as? PartialFailure<String, String> else { return false }
            return partial.values == ["there": "value of there"] && partial.failures["missing"] is Trouble
        }
    }

    @Test func `keys without a batch fetch are fetched one by one`() async throws {
        let rig = Rig()
        let values = try await rig.cache().values(for: ["a", "b"])
        #expect(values == ["a": "value of a", "b": "value of b"])
        #expect(rig.origin.count == 2)
    }
}
