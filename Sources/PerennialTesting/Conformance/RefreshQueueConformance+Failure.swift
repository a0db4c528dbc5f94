import Perennial

extension RefreshQueueConformance {
    private static let after = Samples.now + .seconds(30)

    private static func onlyJob(_ queue: any RefreshQueue) async throws -> JobRecord? {
        let jobs = try await queue.jobs(state: nil, after: nil, limit: 10)
        try require(jobs.count <= 1, "there are \(jobs.count) jobs")
        return jobs.first
    }

    /// What a worker may do with a delivery that is no longer its own: nothing.
    private static let powerless: [(name: String, act: @Sendable (any RefreshQueue, Delivery) async throws -> Void)] = [
        ("completes", { queue, delivery in try await queue.complete([delivery]) }),
        ("retries", { queue, delivery in try await queue.retry(delivery, at: Samples.now, error: "late") }),
        ("gives back", { queue, delivery in try await queue.giveBack(delivery, at: Samples.now) }),
        ("buries", { queue, delivery in try await queue.bury(delivery, error: "late", now: Samples.now) }),
    ]

    static let failureChecks: [Check] =
        powerless.flatMap { name, act in
            [
                Check("a worker that \(name) a job that went to another changes nothing") { queue in
                    try await queue.enqueue(Samples.key())
                    let lost = try await queue.takeOne()
                    let current = try await queue.takeOne(now: after)
                    let before = try await onlyJob(queue)
                    try await act(queue, lost)
                    try requireEqual(try await onlyJob(queue), before, "the job")
                    try requireEqual(try await queue.take(now: after).count, 0, "the number of jobs to take")
                    try await queue.complete([current])
                    try requireEqual(try await onlyJob(queue), nil, "the job after its worker is done")
                },
                Check("a worker that \(name) a job that was done and queued anew changes nothing") { queue in
                    try await queue.enqueue(Samples.key())
                    let old = try await queue.takeOne()
                    try await queue.complete([old])
                    try await queue.enqueue(Samples.key())
                    let before = try await onlyJob(queue)
                    try await act(queue, old)
                    try requireEqual(try await onlyJob(queue), before, "the waiting job")
                    _ = try await queue.takeOne()
                    let running = try await onlyJob(queue)
                    try await act(queue, old)
                    try requireEqual(try await onlyJob(queue), running, "the running job")
                },
                Check("a worker that \(name) a job twice changes nothing the second time") { queue in
                    try await queue.enqueue(Samples.key())
                    let old = try await queue.takeOne()
                    try await queue.retry(old, at: Samples.now + .minutes(5), error: "first")
                    let before = try await onlyJob(queue)
                    try await act(queue, old)
                    try requireEqual(try await onlyJob(queue), before, "the job")
                },
            ]
        } + [
            Check("a retried job comes at its time as the next attempt, with its error to be seen") { queue in
                try await queue.enqueue(Samples.key())
                let first = try await queue.takeOne()
                try await queue.retry(first, at: Samples.now + .minutes(1), error: "503 from the origin")
                let record = try await onlyJob(queue)
                try requireEqual(record?.state, .queued, "the state")
                try requireEqual(record?.failures, 1, "the failures")
                try requireEqual(record?.error, "503 from the origin", "the error")
                try requireEqual(record?.at, Samples.now + .minutes(1), "the time")
                try requireEqual(record?.worker, nil, "the worker")
                let early = try await queue.take(now: Samples.now + .seconds(59))
                try requireEqual(early.count, 0, "the number of jobs before their time")
                let second = try await queue.takeOne(now: Samples.now + .minutes(1))
                try requireEqual(second.attempt, 2, "the attempt")
                try requireEqual(second.job, first.job, "the job")
                try requireEqual(second.isRedelivery, false, "isRedelivery")
            },
            Check("a job given back comes at its time as the same attempt") { queue in
                try await queue.enqueue(Samples.key())
                let first = try await queue.takeOne()
                try await queue.giveBack(first, at: Samples.now + .seconds(5))
                try requireEqual(try await onlyJob(queue)?.failures, 0, "the failures")
                try requireEqual(try await queue.take().count, 0, "the number of jobs before their time")
                let second = try await queue.takeOne(now: Samples.now + .seconds(5))
                try requireEqual(second.attempt, 1, "the attempt")
                try require(second.receipt != first.receipt, "both deliveries have the same receipt")
            },
            Check("a buried job is a dead letter: seen, and not delivered") { queue in
                try await queue.enqueue(Samples.key())
                let first = try await queue.takeOne()
                try await queue.retry(first, at: Samples.now, error: "first")
                let second = try await queue.takeOne()
                try await queue.bury(second, error: "last", now: Samples.now + .seconds(9))
                let record = try await onlyJob(queue)
                try requireEqual(record?.state, .dead, "the state")
                try requireEqual(record?.failures, 2, "the failures")
                try requireEqual(record?.error, "last", "the error")
                try requireEqual(record?.at, Samples.now + .seconds(9), "the time")
                try requireEqual(try await queue.take(now: after + .days(30)).count, 0, "the number of jobs to take")
            },
            Check("a new job replaces the key's dead letter, as a first attempt") { queue in
                try await queue.enqueue(Samples.key())
                let old = try await queue.takeOne()
                try await queue.bury(old, error: "last", now: Samples.now)
                let job = Samples.job(generation: Generation(9), token: "new", at: after)
                let isNew = try await queue.enqueue(job, notBefore: after, now: after)
                try require(isNew, "the new job was refused")
                let record = try await onlyJob(queue)
                try requireEqual(record?.state, .queued, "the state")
                try requireEqual(record?.failures, 0, "the failures")
                let delivery = try await queue.takeOne(now: after)
                try requireEqual(delivery.job, job, "the job")
                try requireEqual(delivery.attempt, 1, "the attempt")
            },
            Check("one dead letter is replayed: due at once, as a first attempt") { queue in
                for name in ["a", "b"] { try await queue.enqueue(Samples.key(name)) }
                for delivery in try await queue.take() { try await queue.bury(delivery, error: "x", now: Samples.now) }
                let dead = try await queue.jobs(state: .dead, after: nil, limit: 10)
                try requireEqual(dead.count, 2, "the number of dead letters")
                let count = try await queue.replay(dead[0].id, now: after)
                try requireEqual(count, 1, "the number replayed")
                let delivery = try await queue.takeOne(now: after)
                try requireEqual(delivery.job.key, dead[0].key, "the key")
                try requireEqual(delivery.attempt, 1, "the attempt")
                try requireEqual(try await queue.counts()[.dead], 1, "the number of dead letters left")
            },
            Check("all dead letters are replayed at once; other jobs are left alone") { queue in
                for name in ["a", "b"] { try await queue.enqueue(Samples.key(name)) }
                for delivery in try await queue.take() { try await queue.bury(delivery, error: "x", now: Samples.now) }
                try await queue.enqueue(Samples.key("waiting"), at: after + .days(1))
                let waiting = try await queue.jobs(state: .queued, after: nil, limit: 10)
                let count = try await queue.replay(nil, now: after)
                try requireEqual(count, 2, "the number replayed")
                let keys = try await queue.take(now: after).map(\.job.key.key)
                try requireEqual(Set(keys), ["a", "b"], "what is due")
                try requireEqual(
                    try await queue.jobs(state: .queued, after: nil, limit: 10), waiting, "the job that waits")
                try requireEqual(try await queue.replay(nil, now: after), 0, "the number replayed a second time")
            },
            Check("what is no dead letter can't be replayed") { queue in
                try await queue.enqueue(Samples.key(), at: after)
                let id = try await onlyJob(queue)?.id
                for id in [id, "987654321", "no such job", ""] where id != nil {
                    try requireEqual(try await queue.replay(id, now: Samples.now), 0, "the number replayed")
                }
                try requireEqual(try await queue.take().count, 0, "the number of jobs due")
            },
        ]
}
