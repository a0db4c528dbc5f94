import Perennial

extension RefreshQueueConformance {
    static let viewChecks: [Check] = [
        Check("jobs are seen with their state, times and worker") { queue in
            try await queue.enqueue(Samples.key("waits"), at: Samples.now + .minutes(1))
            let job = Samples.job(Samples.key("runs"), at: Samples.now - .minutes(1))
            _ = try await queue.enqueue(job, notBefore: Samples.now, now: Samples.now)
            _ = try await queue.takeOne()
            let jobs = try await queue.jobs(state: nil, after: nil, limit: 10)
            try requireEqual(jobs.count, 2, "the number of jobs")
            let waits = jobs.first { $0.key.key == "waits" }
            try requireEqual(waits?.state, .queued, "the state")
            try requireEqual(waits?.at, Samples.now + .minutes(1), "the time")
            try requireEqual(waits?.worker, nil, "the worker")
            try requireEqual(waits?.error, nil, "the error")
            let runs = jobs.first { $0.key.key == "runs" }
            try requireEqual(runs?.state, .running, "the state")
            try requireEqual(runs?.at, Samples.now + .seconds(30), "the time")
            try requireEqual(runs?.queuedAt, Samples.now - .minutes(1), "queuedAt")
            try requireEqual(runs?.worker, "w", "the worker")
            try requireEqual(runs?.failures, 0, "the failures")
        },
        Check("jobs are listed page by page, each once, by state or all") { queue in
            for number in 0..<25 { try await queue.enqueue(Samples.key("\(number)")) }
            let taken = try await queue.take(10)
            for delivery in taken.prefix(4) { try await queue.bury(delivery, error: "x", now: Samples.now) }
            for (state, count) in [(nil, 25), (JobState.queued, 15), (.running, 6), (.dead, 4)] {
                let whole = try await queue.jobs(state: state, after: nil, limit: 100)
                try requireEqual(whole.count, count, "the number of jobs in state \(String(describing: state))")
                var paged: [JobRecord] = []
                while true {
                    let page = try await queue.jobs(state: state, after: paged.last?.id, limit: 4)
                    try require(page.count <= 4, "a page of 4 has \(page.count) jobs")
                    if page.isEmpty { break }
                    paged += page
                    try require(paged.count <= 25, "the pages don't end")
                }
                try requireEqual(paged, whole, "the jobs of all pages")
            }
        },
        Check("jobs are counted by state") { queue in
            try requireEqual(try await queue.counts().values.reduce(0, +), 0, "the number of jobs")
            for number in 0..<9 { try await queue.enqueue(Samples.key("\(number)")) }
            let taken = try await queue.take(6)
            try await queue.bury(taken[0], error: "x", now: Samples.now)
            try await queue.retry(taken[1], at: Samples.now, error: "x")
            try await queue.complete([taken[2]])
            try await queue.giveBack(taken[3], at: Samples.now)
            let counts = try await queue.counts()
            try requireEqual(counts[.queued] ?? 0, 5, "the number of queued jobs")
            try requireEqual(counts[.running] ?? 0, 2, "the number of running jobs")
            try requireEqual(counts[.dead] ?? 0, 1, "the number of dead letters")
            _ = try await queue.replay(nil, now: Samples.now)
            let after = try await queue.counts()
            try requireEqual(after[.queued] ?? 0, 6, "the number of queued jobs after a replay")
            try requireEqual(after[.dead] ?? 0, 0, "the number of dead letters after a replay")
        },
        Check("odd keys, caches and errors are kept") { queue in
            let names = ["", " ", "'", "\"", "\\", "%", "\n", "é😀", "a:b", String(repeating: "long/", count: 400)]
            for name in names {
                let job = Samples.job(Samples.key(name, cache: "odd" + name), token: name)
                _ = try await queue.enqueue(job, notBefore: Samples.now, now: Samples.now)
            }
            let taken = try await queue.take(100, caches: names.map { "odd" + $0 })
            try requireEqual(Set(taken.map(\.job.key.key)), Set(names), "the keys")
            for delivery in taken {
                try requireEqual(delivery.job.leaseToken, delivery.job.key.key, "the lease token")
                try await queue.bury(delivery, error: delivery.job.key.key, now: Samples.now)
            }
            for record in try await queue.jobs(state: .dead, after: nil, limit: 100) {
                try requireEqual(record.error, record.key.key, "the error")
            }
        },
    ]

    static let waitingChecks: [Check] = [
        Check("waiting ends when a job is added") { queue in
            _ = try await queue.take()
            try await withinAMinute("the end of waiting") {
                async let waiting: Void = queue.waitForJobs(timeout: .days(1))
                try await queue.enqueue(Samples.key())
                await waiting
            }
        },
        Check("waiting ends at once when a job was added since the last look") { queue in
            _ = try await queue.take()
            try await queue.enqueue(Samples.key())
            try await withinAMinute("the end of waiting") { await queue.waitForJobs(timeout: .days(1)) }
        },
        Check("waiting ends when the task is cancelled") { queue in
            _ = try await queue.take()
            let waiting = Task { await queue.waitForJobs(timeout: .days(1)) }
            waiting.cancel()
            try await withinAMinute("the end of waiting") { await waiting.value }
        },
        Check("waiting ends after its time") { queue in
            _ = try await queue.take()
            try await withinAMinute("the end of waiting") { await queue.waitForJobs(timeout: .milliseconds(1)) }
        },
    ]
}
