import Perennial

extension RefreshQueueConformance {
    private static let after = Samples.now + .seconds(30)

    static let deliveryChecks: [Check] = [
        Check("a job is delivered as it was queued, for the first time, and not twice") { queue in
            let job = Samples.job(generation: Generation(42), token: "t/1", at: Samples.now - .minutes(3))
            let isNew = try await queue.enqueue(job, notBefore: Samples.now, now: Samples.now)
            try require(isNew, "the job was not queued")
            let delivery = try await queue.takeOne()
            try requireEqual(delivery.job, job, "the job")
            try requireEqual(delivery.attempt, 1, "the attempt")
            try requireEqual(delivery.isRedelivery, false, "isRedelivery")
            try requireEqual(try await queue.take().count, 0, "the number of jobs left to take")
        },
        Check("an empty queue delivers nothing") { queue in
            try requireEqual(try await queue.take().count, 0, "the number of jobs")
        },
        Check("a key has one job, whether it waits or runs; then it may have another") { queue in
            try require(try await queue.enqueue(Samples.key()), "the first was refused")
            try require(try await !queue.enqueue(Samples.key()), "a second was queued while one waits")
            try require(try await queue.enqueue(Samples.key(cache: "places")), "another cache's key was refused")
            let delivery = try await queue.takeOne()
            try require(try await !queue.enqueue(Samples.key()), "a second was queued while one runs")
            try await queue.complete([delivery])
            try require(try await queue.enqueue(Samples.key()), "a new one was refused after the job was done")
        },
        Check("a refused job changes nothing") { queue in
            let first = Samples.job(token: "first")
            _ = try await queue.enqueue(first, notBefore: Samples.now, now: Samples.now)
            _ = try await queue.enqueue(Samples.job(token: "second"), notBefore: Samples.now, now: Samples.now)
            try requireEqual(try await queue.takeOne().job, first, "the job")
        },
        Check("of 200 that queue one key at once, one does") { queue in
            let queued = try await withThrowingTaskGroup(of: Bool.self) { group in
                for _ in 0..<200 { group.addTask { try await queue.enqueue(Samples.key()) } }
                return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            try requireEqual(queued, 1, "the number of jobs queued")
        },
        Check("a job is not delivered before its time") { queue in
            try await queue.enqueue(Samples.key(), at: Samples.now + .seconds(5))
            let early = try await queue.take(now: Samples.now + .milliseconds(4999))
            try requireEqual(early.count, 0, "the number of jobs before their time")
            let due = try await queue.take(now: Samples.now + .seconds(5))
            try requireEqual(due.count, 1, "the number of jobs at their time")
        },
        Check("those due longest come first, and no more than asked for") { queue in
            for (name, second) in [("c", 3), ("a", 1), ("e", 5), ("b", 2), ("d", 4)] {
                try await queue.enqueue(Samples.key(name), at: Samples.now + .seconds(Int64(second)))
            }
            let first = try await queue.take(2, now: after).map(\.job.key.key)
            try requireEqual(first, ["a", "b"], "the first two")
            let rest = try await queue.take(10, now: after).map(\.job.key.key)
            try requireEqual(rest, ["c", "d", "e"], "the rest")
        },
        Check("those due longest come first across caches") { queue in
            for (name, second) in [("c", 3), ("a", 1), ("d", 4), ("b", 2)] {
                let key = Samples.key(name, cache: second % 2 == 0 ? "even" : "odd")
                try await queue.enqueue(key, at: Samples.now + .seconds(Int64(second)))
            }
            let keys = try await queue.take(3, now: after, caches: ["even", "odd"]).map(\.job.key.key)
            try requireEqual(keys, ["a", "b", "c"], "the order")
        },
        Check("only jobs of the caches asked for are delivered") { queue in
            for cache in ["a", "b", "c"] { try await queue.enqueue(Samples.key(cache: cache)) }
            try requireEqual(try await queue.take(caches: []).count, 0, "the number of jobs of no caches")
            let found = try await queue.take(caches: ["a", "c", "x"]).map(\.job.key.cache)
            try requireEqual(Set(found), ["a", "c"], "the caches")
            try requireEqual(found.count, 2, "the number of jobs")
        },
        Check("no job is delivered to two workers at once") { queue in
            for number in 0..<300 { try await queue.enqueue(Samples.key("\(number)")) }
            let taken = try await withThrowingTaskGroup(of: [JobID].self) { group in
                for _ in 0..<60 { group.addTask { try await queue.take(7).map(\.id) } }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            try requireEqual(taken.count, 300, "the number of deliveries")
            try requireEqual(Set(taken).count, 300, "the number of jobs")
        },
        Check("a job whose worker's time has passed is delivered again, as the same attempt") { queue in
            try await queue.enqueue(Samples.key())
            let first = try await queue.takeOne()
            let early = try await queue.take(now: after - .milliseconds(1))
            try requireEqual(early.count, 0, "the number of jobs before the worker's time has passed")
            let second = try await queue.takeOne(now: after)
            try requireEqual(second.id, first.id, "the id")
            try requireEqual(second.job, first.job, "the job")
            try requireEqual(second.attempt, 1, "the attempt")
            try requireEqual(second.isRedelivery, true, "isRedelivery")
            try require(second.receipt != first.receipt, "both deliveries have the same receipt")
        },
        Check("a heartbeat keeps a job with its worker") { queue in
            for name in ["a", "b"] { try await queue.enqueue(Samples.key(name)) }
            let deliveries = try await queue.take()
            let kept = try await queue.extend([deliveries[0]], until: after + .seconds(30))
            try requireEqual(kept, [deliveries[0]], "the deliveries that still belong to the worker")
            let redelivered = try await queue.take(now: after).map(\.job.key)
            try requireEqual(redelivered, [deliveries[1].job.key], "what is delivered again")
            let later = try await queue.take(now: after + .seconds(30)).map(\.job.key)
            try require(later.contains(deliveries[0].job.key), "the extended job was not delivered again in the end")
        },
        Check("a heartbeat tells which deliveries are lost or done") { queue in
            for name in ["lost", "done", "mine"] { try await queue.enqueue(Samples.key(name)) }
            let all = try await queue.take()
            func delivery(_ name: String) -> Delivery { all.first { $0.job.key.key == name }! }
            _ = try await queue.extend([delivery("mine")], until: after + .minutes(5))
            try await queue.complete([delivery("done")])
            _ = try await queue.take(now: after)
            let kept = try await queue.extend(all, until: after + .minutes(10))
            try requireEqual(kept, [delivery("mine")], "the deliveries that still belong to the worker")
        },
        Check("a completed job is gone; others stay") { queue in
            for name in ["a", "b", "c"] { try await queue.enqueue(Samples.key(name)) }
            let all = try await queue.take()
            try await queue.complete(Array(all.prefix(2)))
            let left = try await queue.jobs(state: nil, after: nil, limit: 10).map(\.key)
            try requireEqual(left, [all[2].job.key], "the jobs left")
            try await queue.complete([])
        },
        Check("a job can be completed after its worker's time while nobody else has it") { queue in
            try await queue.enqueue(Samples.key())
            try await queue.complete([queue.takeOne()])
            try requireEqual(try await queue.take(now: after).count, 0, "the number of jobs")
        },
    ]
}
