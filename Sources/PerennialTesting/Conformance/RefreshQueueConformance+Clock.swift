import Perennial

/// The clock of who calls was set back since the last call, or another machine's was ahead.
extension RefreshQueueConformance {
    private static let ahead = Samples.now + .days(365)

    /// As an engine asks for it whose clock shows `now`, whose workers hold jobs for 30 seconds.
    private static func correct(
        _ queue: any RefreshQueue, _ caches: [String] = ["people"], now: Timestamp = Samples.now
    ) async throws -> Int {
        try await queue.correctTimes(
            caches: caches, queuedAfter: now + .seconds(5), dueAfter: now + .days(1), heldAfter: now + .seconds(35),
            now: now)
    }

    static let clockChecks: [Check] = [
        Check("a job queued by a clock that was ahead is due at once, and counts as queued now") { queue in
            let job = Samples.job(generation: Generation(7), token: "t", at: ahead)
            _ = try await queue.enqueue(job, notBefore: ahead, now: ahead)
            try requireEqual(try await queue.take().count, 0, "the number of jobs due before")
            try requireEqual(try await correct(queue), 1, "the number corrected")
            let record = try await queue.jobs(state: nil, after: nil, limit: 10).first
            try requireEqual(record?.at, Samples.now, "the time")
            try requireEqual(record?.queuedAt, Samples.now, "queuedAt")
            try requireEqual(try await correct(queue), 0, "the number corrected a second time")
            let delivery = try await queue.takeOne()
            try requireEqual(delivery.job.key, job.key, "the key")
            try requireEqual(delivery.job.generation, job.generation, "the generation")
            try requireEqual(delivery.job.leaseToken, job.leaseToken, "the token")
            try requireEqual(delivery.attempt, 1, "the attempt")
            try await queue.complete([delivery])
            try requireEqual(try await queue.jobs(state: nil, after: nil, limit: 10), [], "what is left")
        },
        Check("a job that waits for its next attempt until long after is due at once, as that attempt") { queue in
            try await queue.enqueue(Samples.key())
            let first = try await queue.takeOne()
            try await queue.retry(first, at: ahead, error: "503")
            try requireEqual(try await correct(queue), 1, "the number corrected")
            let second = try await queue.takeOne()
            try requireEqual(second.attempt, 2, "the attempt")
            try requireEqual(second.job, first.job, "the job")
        },
        Check("a job in the hands of a worker that vanished is delivered again when it may hold no longer") { queue in
            let job = Samples.job(at: ahead)
            _ = try await queue.enqueue(job, notBefore: ahead, now: ahead)
            let lost = try await queue.takeOne(now: ahead)
            try requireEqual(try await correct(queue), 1, "the number corrected")
            let end = Samples.now + .seconds(35)
            let early = try await queue.take(now: Timestamp(milliseconds: end.milliseconds - 1))
            try requireEqual(early.count, 0, "the number of jobs before")
            let again = try await queue.takeOne(now: end)
            try requireEqual(again.isRedelivery, true, "isRedelivery")
            try require(again.receipt != lost.receipt, "both deliveries have the same receipt")
        },
        Check("a job in the hands of a worker that lives stays its own") { queue in
            _ = try await queue.enqueue(Samples.job(at: ahead), notBefore: ahead, now: ahead)
            let delivery = try await queue.takeOne(now: ahead)
            let mine = try await queue.extend([delivery], until: Samples.now + .seconds(30))
            try requireEqual(mine, [delivery], "the deliveries extended")
            _ = try await correct(queue)
            try requireEqual(try await queue.take().count, 0, "the number of jobs to take")
            try await queue.retry(delivery, at: Samples.now + .seconds(1), error: "503")
            let next = try await queue.takeOne(now: Samples.now + .seconds(1))
            try requireEqual(next.attempt, 2, "the attempt")
        },
        Check("a worker that vanished after its heartbeat by the right clock loses its job in time") { queue in
            _ = try await queue.enqueue(Samples.job(at: ahead), notBefore: ahead, now: ahead)
            let delivery = try await queue.takeOne(now: ahead)
            _ = try await queue.extend([delivery], until: Samples.now + .seconds(30))
            _ = try await correct(queue)
            _ = try await queue.takeOne(now: Samples.now + .seconds(30))
        },
        Check("what is right is left alone: waiting, held, dead, and other caches'") { queue in
            try await queue.enqueue(Samples.key("waits"), at: Samples.now + .hours(1))
            try await queue.enqueue(Samples.key("runs"))
            try await queue.enqueue(Samples.key("dead"))
            let running = try await queue.take()
            try requireEqual(running.count, 2, "the number of jobs taken")
            for delivery in running where delivery.job.key.key == "dead" {
                try await queue.bury(delivery, error: "x", now: ahead)
            }
            let place = Samples.job(Samples.key("there", cache: "places"), at: ahead)
            _ = try await queue.enqueue(place, notBefore: ahead, now: ahead)
            let before = try await queue.jobs(state: nil, after: nil, limit: 10)
            try requireEqual(try await correct(queue), 0, "the number corrected")
            try requireEqual(try await queue.jobs(state: nil, after: nil, limit: 10), before, "the jobs")
            try requireEqual(try await correct(queue, ["people", "places"]), 1, "the number, with that cache")
        },
        Check("many wrong jobs are right after some calls") { queue in
            let count = 1_500
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<count {
                    group.addTask {
                        let job = Samples.job(Samples.key("\(number)"), at: ahead)
                        _ = try await queue.enqueue(job, notBefore: ahead, now: ahead)
                    }
                }
                try await group.waitForAll()
            }
            var corrected = 0
            for _ in 0..<100 where corrected < count { corrected += try await correct(queue) }
            try requireEqual(corrected, count, "the number corrected")
            try requireEqual(try await correct(queue), 0, "the number left")
        },
    ]
}
