internal import Logging
internal import Synchronization

extension Cache {
    /// Starts what runs behind: the change feed, the janitor, the workers. None of it keeps the cache alive.
    func startBackground(workers: Int) {
        let store = backend.store
        let changes = store.changes()
        let listener = Task { [weak self] in
            for await some in changes {
                guard let self else { return }
                await self.apply(some)
            }
        }
        let janitor = Task { [weak self, time] in
            var rounds = 0
            var clock = ClockWatch(time.reading)
            while (try? await time.sleep(for: .seconds(30))) != nil {
                guard let self else { return }
                let finding = clock.look(time.reading)
                self.noteClock(finding)
                await self.tidy(part: rounds % 10, of: 10, now: finding.believed)
                // Also now and then: another machine's clock may have been ahead.
                if rounds % 10 == 0 || finding.setBy < .zero { await self.correctQueue() }
                rounds += 1
                if rounds % 10 == 0 { await self.saveHotKeys() }
            }
        }
        background.withLock { $0.tasks += [listener, janitor] }
        guard workers > 0 else { return }
        let worker = RefreshWorker(
            queue: backend.queue, caches: [Weakly(self)], concurrency: workers,
            name: "\(name)-\(random.token().prefix(8))", holdTime: policy.leaseTime, time: time,
            reachability: queueCalls, logger: logger)
        let work = Task { await worker.run() }
        background.withLock { background in
            background.tasks.append(work)
            background.worker = worker
        }
    }

    /// Stops the workers of this process: waits until the refreshes in hand are done or `deadline` has passed, and
    /// hands the rest back to the queue. Meanwhile the store is told what is hot. Reading goes on to work; refreshes
    /// are queued for others.
    public func shutdown(deadline: Duration = .seconds(10)) async {
        let (worker, tasks) = background.withLock { background in
            defer { background = Background(isOver: true) }
            return (background.worker, background.tasks)
        }
        async let saved: Void = saveHotKeys()
        await worker?.stop(deadline: deadline)
        for task in tasks { task.cancel() }
        await saved
    }

    /// Other processes, or this one, wrote to the store: brings what the memory tier has up to date.
    private func apply(_ changes: [StoreChange]) async {
        var named: [Key: Generation] = [:]
        var alone: [(Key, Entry<Value>)] = []
        var hasMissed = false
        for change in changes {
            switch change {
            case .written(let entryKey, let generation):
                guard entryKey.cache == name, let key = Key(entryKey.key) else { continue }
                noteStanding(generation)
                flights.noteWrite(key, generation)
                if let entry = memory.peek(key), entry.generation < generation {
                    named[key] = max(named[key] ?? .zero, generation)
                }
            case .purged(let cache, let tag, let generation):
                guard cache == name else { continue }
                noteStanding(generation)
                flights.noteWrites(generation)
                memory.forEach { key, entry in
                    guard entry.generation < generation, tag.map({ entry.tags.contains($0) }) ?? true else { return }
                    if entry.generation == .zero { return alone.append((key, entry)) }
                    named[key] = max(named[key] ?? .zero, generation)
                }
            case .missed:
                flights.noteWrites(nil)
                hasMissed = true
            }
        }
        await drop(purged: alone)
        await reload(untilItWorks: Array(named.keys), wasWritten: true)
        // Flights that began meanwhile may have found what was there before.
        for (key, generation) in named { flights.noteWrite(key, generation) }
        guard hasMissed else { return }
        var all: [Key] = []
        memory.forEach { key, _ in all.append(key) }
        await reload(untilItWorks: all, wasWritten: false)
        for key in all { flights.noteWrite(key, nil) }
        // What only this process has may have been purged: the store knows.
        if !unsaved.isEmpty { Task { [weak self] in await self?.saveUnsaved() } }
    }

    /// What only this process has, and others purged: what began after the purge is saved, the rest is gone.
    private func drop(purged all: [(Key, Entry<Value>)]) async {
        if all.isEmpty { return }
        await saveUnsaved()
        guard unsaved.isEmpty else { return }
        for (key, entry) in all { memory.update(key) { $0 === entry ? .remove : .keep } }
    }

    /// What was removed elsewhere must not go on being served. The feed keeps what comes meanwhile.
    private func reload(untilItWorks keys: [Key], wasWritten: Bool) async {
        if keys.isEmpty { return }
        while await reading({ _ in try await reload(keys, wasWritten: wasWritten) }) == nil {
            guard (try? await time.sleep(for: .seconds(1))) != nil else { return }
        }
    }

    private func noteClock(_ finding: ClockWatch.Finding) {
        guard finding.setBy != .zero else { return }
        logger.warning(
            finding.setBy > .zero
                ? """
                the clock was set forward: entries are older than they were; what dies of that is removed once the \
                clock has gone on so for an hour
                """
                : """
                the clock was set back: entries confirmed later than it shows count as stale, jobs and leases of then \
                are taken up
                """,
            metadata: ["by": "\(finding.setBy)"])
    }

    /// Jobs of a clock that was ahead don't wait until this one is there, too.
    private func correctQueue() async {
        let now = time.now
        let count = await queueCalls.attempt {
            var sum = 0
            // Some thousands at a time. No pause between attempts is longer than a month.
            for _ in 0..<1_000 {
                let count = try await backend.queue.correctTimes(
                    caches: [name], queuedAfter: now + ClockWatch.tolerance, dueAfter: now + .days(30),
                    heldAfter: now + policy.leaseTime + ClockWatch.tolerance, now: now)
                sum += count
                if count == 0 { break }
            }
            return sum
        }
        if let count, count > 0 {
            logger.notice(
                "refreshes were queued by a clock that was ahead; they are due now", metadata: ["count": "\(count)"])
        }
    }

    /// Tells the store what of a part of the memory tier is in use, and lets it remove what is not. In parts, since
    /// each costs the store a write.
    /// - Parameter now: the time to go by.
    private func tidy(part: Int, of parts: Int, now: Timestamp) async {
        let keys = memory.takeUsed(part: part, of: parts).map(entryKey)
        _ = await writing { store in
            // In pieces, since other processes wait for the store meanwhile.
            for start in stride(from: 0, to: keys.count, by: 500) {
                try await store.touch(Array(keys[start..<min(start + 500, keys.count)]), now: now)
            }
            for _ in 0..<100 {
                if try await !store.maintain(now: now).isUnfinished { break }
            }
        }
        if storeName.withLock({ $0.name }) != nil { await learnStoreName() }
        // Without readers nobody else would notice that what failed works again.
        if storeReads.failure != nil {
            _ = await reading { try await $0.read([EntryKey(cache: name, key: "")]) }
        }
        if queueCalls.failure != nil {
            _ = await queueCalls.attempt { try await backend.queue.counts() }
        }
    }
}

/// Lets a worker know a cache without keeping it alive.
private final class Weakly<Key: Hashable & Sendable & LosslessStringConvertible, Value: Sendable>: Refreshable {
    private weak let cache: Cache<Key, Value>?
    let name: String

    init(_ cache: Cache<Key, Value>) {
        self.cache = cache
        name = cache.name
    }

    func refresh(_ delivery: Delivery) async -> RefreshOutcome {
        await cache?.refresh(delivery) ?? .notNow(until: delivery.job.queuedAt)
    }
}
