import Perennial
import PerennialTesting
import Testing

@Suite struct ManualClockTests {
    @Test func `the clock stands still until it is moved`() {
        let clock = ManualClock(now: Timestamp(milliseconds: 5))
        #expect(clock.now.milliseconds == 5)
        clock.advance(by: .milliseconds(3))
        #expect(clock.now.milliseconds == 8)
        clock.advance(by: .zero)
        #expect(clock.now.milliseconds == 8)
    }

    @Test func `a sleeper wakes when its time has come and not before`() async throws {
        let clock = ManualClock()
        let task = Task { try await clock.sleep(for: .seconds(5)) }
        await clock.waitForSleepers()
        clock.advance(by: .milliseconds(4999))
        #expect(clock.sleeperCount == 1)
        clock.advance(by: .milliseconds(1))
        try await task.value
        #expect(clock.sleeperCount == 0)
    }

    @Test @MainActor func `sleepers wake in the order of their times`() async throws {
        // On one actor, tasks go on in the order in which they are woken.
        let clock = ManualClock()
        var woken: [Int] = []
        let tasks = [3, 1, 2].map { second in
            Task { @MainActor in
                try await clock.sleep(for: .seconds(second))
                woken.append(second)
            }
        }
        await clock.waitForSleepers(3)
        clock.advance(by: .seconds(10))
        for task in tasks { try await task.value }
        #expect(woken == [1, 2, 3])
    }

    @Test func `a sleep of no time returns at once`() async throws {
        try await ManualClock().sleep(for: .zero)
        try await ManualClock().sleep(for: .seconds(-1))
    }

    @Test func `a cancelled sleeper throws and leaves`() async {
        let clock = ManualClock()
        let task = Task { try await clock.sleep(for: .forever) }
        await clock.waitForSleepers()
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(clock.sleeperCount == 0)
        let late = Task { try await clock.sleep(for: .seconds(1)) }
        late.cancel()
        await #expect(throws: CancellationError.self) { try await late.value }
    }
}

@Suite struct FaultyStoreTests {
    @Test func `operations fail as told, and work again when healed`() async throws {
        let store = FaultyStore()
        store.faults.fail(.read, with: InjectedFault("away"))
        await #expect(throws: InjectedFault("away")) { try await store.read([Samples.key()]) }
        _ = try await store.save(Samples.entry(), fence: nil, releasing: nil)
        store.faults.failEverything()
        await #expect(throws: InjectedFault.self) { try await store.statistics() }
        store.faults.heal()
        #expect(try await store.read([Samples.key()])[0].entry != nil)
        #expect(store.faults.calls(of: .read) == 2)
        #expect(store.faults.calls(of: .touch) == 0)
    }

    @Test func `a hanging operation goes on when healed`() async throws {
        let store = FaultyStore()
        store.faults.hang(.read)
        let task = Task { try await store.read([Samples.key()]).count }
        await store.faults.waitUntilHanging(.read)
        store.faults.heal()
        #expect(try await task.value == 1)
    }

    @Test func `a hanging operation ends when its task is cancelled`() async {
        let queue = FaultyQueue()
        queue.faults.hang(.dequeue)
        let task = Task { try await queue.counts() }
        _ = try? await task.value
        let hanging = Task {
            try await queue.dequeue(caches: [], limit: 1, worker: "w", until: Samples.now, now: Samples.now)
        }
        await queue.faults.waitUntilHanging(.dequeue)
        hanging.cancel()
        await #expect(throws: CancellationError.self) { try await hanging.value }
    }

    @Test(arguments: StoreConformance.checks)
    func `a healthy faulty store, used in turn, is a store`(_ check: StoreConformance.Check) async throws {
        try await check.run {
            let store = InMemoryStore(sizeLimit: check.sizeLimit)
            return AlternatingStore([FaultyStore(store), store])
        }
    }

    @Test(arguments: RefreshQueueConformance.checks)
    func `a healthy faulty queue, used in turn, is a queue`(_ check: RefreshQueueConformance.Check) async throws {
        try await check.run {
            let queue = InMemoryQueue()
            return AlternatingQueue([FaultyQueue(queue), queue])
        }
    }
}
