import Perennial
import PerennialEngines
import PerennialTesting
import TestServers
import Testing

/// Several machines on one engine see the same.
@Suite(.serialized) struct CoherenceTests {
    @Test(arguments: SharedEngine.allCases)
    func `what one machine removes, sets or expires, the memory tiers of the others notice`(
        engine: SharedEngine
    ) async throws {
        let server = try await engine.start()
        let machines = try (0..<4).map { _ in try openBackend(server) }
        let origin = CountingOrigin()
        let caches = machines.map { origin.cache($0.backend) }
        for cache in caches { for key in 0..<50 { _ = try await cache["\(key)"] } }
        #expect(origin.count == 50)
        var delays: [Duration] = []
        for key in 0..<50 {
            let began = ContinuousClock.now
            _ = try await caches[key % 4].remove("\(key)")
            for cache in caches { try await eventuallySoon { cache.peek("\(key)") == nil } }
            delays.append(.now - began)
        }
        delays.sort()
        print("\(engine), a removal seen by three others: median \(delays[25]), 49 of 50 within \(delays[48])")

        try await caches[0].set("set", to: "one")
        for cache in caches { _ = try await cache["set"] }
        try await caches[1].set("set", to: "two")
        for cache in caches { try await eventually { cache.peek("set")?.value == "two" } }
        _ = try await caches[2].markStale("set")
        for cache in caches { try await eventually { cache.peek("set")?.state == .stale } }
        _ = try await caches[3].removeAll()
        for cache in caches { try await eventually { cache.peek("set") == nil } }
        for cache in caches { await cache.shutdown() }
        for machine in machines { await machine.close() }
    }

    @Test(arguments: SharedEngine.allCases)
    func `no reader gets what any machine purged before it came, whatever was under way`(
        engine: SharedEngine
    ) async throws {
        let server = try await engine.start()
        let machines = try (0..<3).map { _ in try openBackend(server) }
        let counts = try await PurgeConformance.run(seed: 1, steps: 400, machines: machines.map(\.backend))
        #expect(counts.purges > 30)
        for machine in machines { await machine.close() }
    }

    private func eventuallySoon(_ condition: () -> Bool) async throws {
        for _ in 0..<3_000_000 {
            if condition() { return }
            await Task.yield()
        }
        throw NotSeen()
    }

    @Test(arguments: SharedEngine.allCases)
    func `of 200 claims from two machines at once, one queues the job, and the other machine is woken`(
        engine: SharedEngine
    ) async throws {
        let server = try await engine.start()
        let (here, there) = (try openBackend(server), try openBackend(server))
        guard
            case .saved(let generation) = try await here.backend.store.save(Samples.entry(), fence: nil, releasing: nil)
        else { throw NotSeen() }
        _ = try await there.backend.queue.dequeue(
            caches: ["people"], limit: 1, worker: "w", until: Samples.now, now: Samples.now)
        let woken = Task { await there.backend.queue.waitForJobs(timeout: .days(1)) }
        let queued = try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<200 {
                group.addTask {
                    let job = Samples.job(generation: generation, token: "\(number)")
                    let outcome = try await (number % 2 == 0 ? here : there).backend
                        .claimRefresh(job, leaseUntil: Samples.now + .minutes(1), now: Samples.now)
                    if case .queued = outcome { return true }
                    return false
                }
            }
            return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(queued == 1)
        await woken.value
        await here.close()
        await there.close()
    }

    @Test(arguments: SharedEngine.allCases)
    func `no work that began before a removal saves after it, however they meet`(engine: SharedEngine) async throws {
        let server = try await engine.start()
        let machines = try (0..<3).map { _ in try openBackend(server) }
        let key = Samples.key()
        // Each round, work begins on every machine, then a removal and all the saves meet. Whoever is first, nothing of
        // it is left: either the save came first and was removed, or it was refused.
        for round in 0..<60 {
            let selection: Selection =
                [.key(key), .tag("t", cache: "people"), .cache("people")][round % 3]
            if round % 2 == 0 {
                _ = try await machines[0].backend.store.save(Samples.entry(tags: ["t"]), fence: nil, releasing: nil)
            }
            var fences: [Generation] = []
            for machine in machines { fences.append(try await machine.backend.store.read([key])[0].fence) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (number, (machine, fence)) in zip(machines, fences).enumerated() {
                    group.addTask {
                        let entry = Samples.entry(bytes: [UInt8(number)], tags: ["t"])
                        _ = try await machine.backend.store.save(entry, fence: fence, releasing: nil)
                    }
                }
                group.addTask {
                    _ = try await machines[round % 3].backend.store.remove(selection, now: Samples.now)
                }
                try await group.waitForAll()
            }
            #expect(try await machines[0].backend.store.read([key])[0].entry == nil, "round \(round), \(selection)")
        }
        for machine in machines { await machine.close() }
    }
}
