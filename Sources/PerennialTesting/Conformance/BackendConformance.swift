public import Perennial

/// What every ``Backend`` must do. Its store and its queue have suites of their own.
public enum BackendConformance {
    public typealias Check = ConformanceCheck<any Backend>

    private static let until = Samples.now + .minutes(1)

    /// All of them. Each wants an empty backend of its own.
    public static let checks: [Check] = [
        Check("a claim queues the job under its lease") { backend in
            let generation = try await backend.store.save(Samples.entry())
            let job = Samples.job(generation: generation, token: "mine")
            try await backend.claim(job, gives: .queued)
            let delivery = try await backend.queue.takeOne()
            try requireEqual(delivery.job, job, "the job")
            let other = try await backend.store.lease(Samples.key(), token: "other", until: until, now: Samples.now)
            try require(!other.isGranted, "the claim took no lease")
            let mine = try await backend.store.extendLease(
                Samples.key(), token: "mine", until: until, now: Samples.now)
            try require(mine, "the lease is not under the job's token")
        },
        Check("a second claim learns until when the first holds") { backend in
            let generation = try await backend.store.save(Samples.entry())
            try await backend.claim(Samples.job(generation: generation, token: "first"), gives: .queued)
            try await backend.claim(Samples.job(generation: generation, token: "second"), gives: .claimed)
            try requireEqual(try await backend.queue.counts()[.queued], 1, "the number of jobs")
        },
        Check("a claim meets a lease that somebody has for a fetch") { backend in
            let generation = try await backend.store.save(Samples.entry())
            _ = try await backend.store.lease(Samples.key(), token: "fetch", until: until, now: Samples.now)
            try await backend.claim(Samples.job(generation: generation), gives: .claimed)
            try requireEqual(try await backend.queue.counts()[.queued] ?? 0, 0, "the number of jobs")
        },
        Check("of 200 claims at once, one queues the job") { backend in
            let generation = try await backend.store.save(Samples.entry())
            let queued = try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in 0..<200 {
                    group.addTask {
                        let job = Samples.job(generation: generation, token: "token \(number)")
                        return try await backend.claim(job) == .queued
                    }
                }
                return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            try requireEqual(queued, 1, "the number of claims that queued a job")
            try requireEqual(try await backend.queue.counts()[.queued], 1, "the number of jobs")
        },
        Check("a claim of an entry that was written meanwhile gets the newer one, and no job") { backend in
            let old = try await backend.store.save(Samples.entry(bytes: [1]))
            try await backend.store.save(Samples.entry(bytes: [2]))
            let outcome = try await backend.claimRefresh(
                Samples.job(generation: old, token: "late"), leaseUntil: until, now: Samples.now)
            guard case .newer(let record) = outcome else {
                throw ConformanceFailure(description: "the outcome is \(outcome), should be the newer entry")
            }
            try requireEqual(record.entry?.bytes, [2], "the newer value")
            try requireEqual(try await backend.queue.counts()[.queued] ?? 0, 0, "the number of jobs")
            let free = try await backend.store.lease(Samples.key(), token: "next", until: until, now: Samples.now)
            try require(free.isGranted, "the claim kept the lease")
        },
        Check("a claim of an entry that was removed meanwhile learns so") { backend in
            let old = try await backend.store.save(Samples.entry())
            _ = try await backend.store.remove(.key(Samples.key()), now: Samples.now)
            let outcome = try await backend.claimRefresh(
                Samples.job(generation: old), leaseUntil: until, now: Samples.now)
            guard case .newer(let record) = outcome else {
                throw ConformanceFailure(description: "the outcome is \(outcome), should be that the entry is gone")
            }
            try requireEqual(record.entry, nil, "the entry")
        },
        Check("while the job of an earlier claim waits, a claim after its lease has ended queues no other") { backend in
            let generation = try await backend.store.save(Samples.entry())
            try await backend.claim(Samples.job(generation: generation, token: "first"), gives: .queued)
            try await backend.claim(
                Samples.job(generation: generation, token: "second"), now: until, gives: .claimed)
            try requireEqual(try await backend.queue.counts()[.queued], 1, "the number of jobs")
            let delivery = try await backend.queue.takeOne(now: until)
            try requireEqual(delivery.job.leaseToken, "first", "the token of the job")
            let first = try await backend.store.extendLease(
                Samples.key(), token: "first", until: until + .minutes(1), now: until)
            try require(first, "the waiting job's worker can't take up its lease")
        },
        Check("a claim replaces a dead letter") { backend in
            let generation = try await backend.store.save(Samples.entry())
            try await backend.claim(Samples.job(generation: generation, token: "first"), gives: .queued)
            try await backend.queue.bury(backend.queue.takeOne(), error: "x", now: Samples.now)
            try await backend.claim(Samples.job(generation: generation, token: "second"), now: until, gives: .queued)
            let counts = try await backend.queue.counts()
            try requireEqual(counts[.queued], 1, "the number of jobs")
            try requireEqual(counts[.dead] ?? 0, 0, "the number of dead letters")
        },
        Check("a claim, its delivery, the save and its end leave nothing behind") { backend in
            let generation = try await backend.store.save(Samples.entry())
            try await backend.claim(Samples.job(generation: generation, token: "a"), gives: .queued)
            let delivery = try await backend.queue.takeOne()
            let record = try await backend.store.read(Samples.key())
            let saved = try await backend.store.save(
                Samples.entry(bytes: [2]), fence: record.fence, releasing: delivery.job.leaseToken)
            let newer = try saved.generation()
            try await backend.queue.complete([delivery])
            try await backend.claim(Samples.job(generation: newer, token: "b"), gives: .queued)
        },
    ]
}

private enum ClaimKind {
    case queued, claimed, newer, notQueued
}

extension Backend {
    fileprivate func claim(_ job: RefreshJob, now: Timestamp = Samples.now) async throws -> ClaimKind {
        switch try await claimRefresh(job, leaseUntil: now + .minutes(1), now: now) {
        case .queued: .queued
        case .claimed: .claimed
        case .newer: .newer
        case .notQueued: .notQueued
        }
    }

    fileprivate func claim(_ job: RefreshJob, now: Timestamp = Samples.now, gives wanted: ClaimKind) async throws {
        try requireEqual(try await claim(job, now: now), wanted, "the outcome of the claim")
    }
}
