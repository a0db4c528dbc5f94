public import Perennial
import PerennialConnections
import Synchronization

extension RedisBackend: Backend {
    public var store: any Store { self }
    public var queue: any RefreshQueue { self }

    public func claimRefresh(_ job: RefreshJob, leaseUntil: Timestamp, now: Timestamp) async throws -> ClaimOutcome {
        let arguments = RedisCommand(
            job.key.key, String(job.generation.number), job.leaseToken, String(job.queuedAt.milliseconds),
            String(leaseUntil.milliseconds), String(now.milliseconds))
        let reply = try await call(Scripts.claim, job.key.cache, arguments).elements ?? []
        switch reply.first?.text {
        case "queued": return .queued
        case "claimed" where reply.count == 2:
            return .claimed(until: reply[1].integer.map { Timestamp(milliseconds: $0) } ?? leaseUntil)
        case "newer" where reply.count == 3:
            let entry = try await whole(found(reply[2], job.key), job.key, reads)
            return .newer(StoreRecord(entry: entry, fence: Generation(reply[1].integer ?? 0)))
        default: throw nonsense("a claim")
        }
    }
}

/// A job's name: its number within its cache, and the cache.
private struct JobName {
    let number: Int64
    let cache: String

    init(_ number: Int64, _ cache: String) {
        self.number = number
        self.cache = cache
    }

    init?(_ id: JobID) {
        guard let at = id.firstIndex(of: "@"), let number = Int64(id[..<at]) else { return nil }
        self.number = number
        cache = String(id[id.index(after: at)...])
    }

    var id: JobID { "\(number)@\(cache)" }
}

extension RedisBackend: RefreshQueue {
    public func enqueue(_ job: RefreshJob, notBefore: Timestamp, now: Timestamp) async throws -> Bool {
        let arguments = RedisCommand(
            job.key.key, String(job.generation.number), job.leaseToken, String(job.queuedAt.milliseconds),
            String(notBefore.milliseconds))
        return try await call(Scripts.enqueue, job.key.cache, arguments).integer == 1
    }

    public func dequeue(
        caches: [String], limit: Int, worker: String, until: Timestamp, now: Timestamp
    ) async throws -> [Delivery] {
        seenRings.store(bell.rings, ordering: .relaxed)
        served.withLock { $0.formUnion(caches) }
        if limit <= 0 { return [] }
        var taken: [(at: Int64, delivery: Delivery)] = []
        for (cache, share) in try await shares(of: Set(caches), limit: limit, now: now) {
            let arguments = RedisCommand(
                String(share), worker, String(until.milliseconds), String(now.milliseconds))
            // Not twice: the first time may have taken some.
            let replies = try await call(Scripts.dequeue, cache, arguments, canRepeat: false).elements ?? []
            for reply in replies {
                if isDropped(reply, cache) { continue }
                guard let parts = reply.elements, parts.count == 9, let key = parts[0].text,
                    let number = parts[1].integer, let generation = parts[2].integer, let token = parts[3].text,
                    let queuedAt = parts[4].integer, let failures = parts[5].integer, let receipt = parts[7].text
                else { throw nonsense("a request for jobs") }
                let job = RefreshJob(
                    key: EntryKey(cache: cache, key: key), generation: Generation(generation), leaseToken: token,
                    queuedAt: Timestamp(milliseconds: queuedAt))
                let delivery = Delivery(
                    id: JobName(number, cache).id, job: job, attempt: Int(failures) + 1, receipt: receipt,
                    isRedelivery: parts[6].text == "1")
                taken.append((parts[8].integer ?? 0, delivery))
            }
        }
        // Each cache's are in their order; the sort keeps that.
        return taken.enumerated().sorted { ($0.element.at, $0.offset) < ($1.element.at, $1.offset) }
            .map(\.element.delivery)
    }

    /// How many jobs to take from each cache, so that those due longest come first.
    private func shares(of caches: Set<String>, limit: Int, now: Timestamp) async throws -> [(String, Int)] {
        if caches.count <= 1 { return caches.map { ($0, limit) } }
        let names = caches.sorted()
        let replies = try await run(
            names.map { cache in
                RedisCommand(
                    "ZRANGEBYSCORE", space(cache).due, "-inf", String(now.milliseconds), "WITHSCORES", "LIMIT", "0",
                    String(limit))
            }, on: writes)
        var due: [(at: Double, cache: String)] = []
        for (cache, reply) in zip(names, replies) {
            let parts = reply.elements ?? []
            for index in stride(from: 1, to: parts.count, by: 2) {
                due.append((parts[index].text.flatMap { Double($0) } ?? 0, cache))
            }
        }
        let chosen = due.sorted { ($0.at, $0.cache) < ($1.at, $1.cache) }.prefix(limit)
        return Dictionary(grouping: chosen, by: \.cache).map { ($0.key, $0.value.count) }
    }

    public func extend(_ deliveries: [Delivery], until: Timestamp) async throws -> [Delivery] {
        try await settle("extend", deliveries, at: until)
    }

    public func complete(_ deliveries: [Delivery]) async throws {
        _ = try await settle("complete", deliveries, at: .distantPast)
    }

    public func retry(_ delivery: Delivery, at: Timestamp, error: String) async throws {
        _ = try await settle("retry", [delivery], at: at, error: error)
    }

    public func giveBack(_ delivery: Delivery, at: Timestamp) async throws {
        _ = try await settle("giveBack", [delivery], at: at)
    }

    public func bury(_ delivery: Delivery, error: String, now: Timestamp) async throws {
        _ = try await settle("bury", [delivery], at: now, error: error)
    }

    /// - Returns: those that were the current deliveries of their jobs.
    private func settle(
        _ what: String, _ deliveries: [Delivery], at: Timestamp, error: String = ""
    ) async throws -> [Delivery] {
        var current: Set<Delivery> = []
        for (cache, some) in Dictionary(grouping: deliveries, by: \.job.key.cache) {
            var arguments = RedisCommand(what, String(at.milliseconds), error)
            for delivery in some {
                arguments.add(delivery.job.key.key)
                arguments.add(JobName(delivery.id)?.number ?? -1)
                arguments.add(delivery.receipt)
            }
            let results = try await call(Scripts.settle, cache, arguments).elements ?? []
            for (delivery, result) in zip(some, results) {
                if result.integer == 1 { current.insert(delivery) }
                if result.integer == 2 { noteUnreadable(delivery.job.key) }
            }
        }
        return deliveries.filter(current.contains)
    }

    // MARK: Looking

    private static let stateNumbers: [JobState: String] = [.queued: "0", .running: "1", .dead: "2"]

    public func jobs(state: JobState?, after: JobID?, limit: Int) async throws -> [JobRecord] {
        let start = after.flatMap { JobName($0) }
        var found: [JobRecord] = []
        for cache in try await caches(on: browser) where found.count < limit {
            if let start, cache.utf8.lexicographicallyPrecedes(start.cache.utf8) { continue }
            var last: Int64? = cache == start?.cache ? start?.number ?? 0 : 0
            while let behind = last, found.count < limit {
                let arguments = RedisCommand(
                    String(behind), state.flatMap { Self.stateNumbers[$0] } ?? "", String(min(max(limit, 100), 1000)))
                var reply = (try await call(Scripts.jobs, cache, arguments, on: browser).elements ?? [])[...]
                last = reply.popFirst()?.integer
                found += reply.compactMap { isDropped($0, cache) ? nil : record($0, cache) }
            }
        }
        return Array(found.prefix(max(0, limit)))
    }

    /// Whether an answer is no more than the key of a job that makes no sense.
    private func isDropped(_ reply: RedisReply, _ cache: String) -> Bool {
        guard let parts = reply.elements, parts.count == 1, let key = parts[0].text else { return false }
        noteUnreadable(EntryKey(cache: cache, key: key))
        return true
    }

    private func record(_ reply: RedisReply, _ cache: String) -> JobRecord? {
        guard let parts = reply.elements, parts.count == 8, let key = parts[0].text, let number = parts[1].integer,
            let state = Self.stateNumbers.first(where: { $0.value == parts[2].text })?.key,
            let failures = parts[3].integer, let queuedAt = parts[4].integer, let at = parts[5].integer
        else { return nil }
        func text(_ reply: RedisReply) -> String? { reply.text.flatMap { $0.isEmpty ? nil : $0 } }
        return JobRecord(
            id: JobName(number, cache).id, key: EntryKey(cache: cache, key: key), state: state,
            failures: Int(failures), queuedAt: Timestamp(milliseconds: queuedAt), at: Timestamp(milliseconds: at),
            error: failures > 0 ? parts[6].text : nil, worker: text(parts[7]))
    }

    public func replay(_ id: JobID?, now: Timestamp) async throws -> Int {
        var count = 0
        let name = id.flatMap { JobName($0) }
        if id != nil, name == nil { return 0 }
        let caches = if let name { [name.cache] } else { try await caches(on: bulk) }
        for cache in caches {
            while true {
                let arguments = RedisCommand(
                    String(now.milliseconds), name.map { String($0.number) } ?? "", "1000")
                let reply = try await call(Scripts.replay, cache, arguments, on: bulk).elements ?? []
                guard reply.count >= 2, let replayed = reply[0].integer else { throw nonsense("a replay") }
                count += Int(replayed)
                for key in reply.dropFirst(2).compactMap(\.text) { noteUnreadable(EntryKey(cache: cache, key: key)) }
                if reply[1].integer != 1 { break }
            }
        }
        return count
    }

    public func correctTimes(
        caches: [String], queuedAfter: Timestamp, dueAfter: Timestamp, heldAfter: Timestamp, now: Timestamp
    ) async throws -> Int {
        var count = 0
        for cache in Set(caches) {
            let arguments = RedisCommand(
                String(queuedAfter.milliseconds), String(dueAfter.milliseconds), String(heldAfter.milliseconds),
                String(now.milliseconds), "5000")
            count += Int(try await call(Scripts.correctTimes, cache, arguments, on: bulk).integer ?? 0)
        }
        return count
    }

    public func counts() async throws -> [JobState: Int] {
        let caches = try await caches(on: bulk)
        let replies = try await run(
            caches.flatMap { cache in
                let space = space(cache)
                return [
                    RedisCommand("ZCARD", space.due), RedisCommand("HGET", space.ledger, "running"),
                    RedisCommand("ZCARD", space.dead),
                ]
            }, on: bulk)
        var counts: [JobState: Int] = [:]
        for index in stride(from: 0, to: replies.count, by: 3) {
            let (alive, dead) = (Int(replies[index].integer ?? 0), Int(replies[index + 2].integer ?? 0))
            let running = min(alive, max(0, Int(replies[index + 1].integer ?? 0)))
            counts[.queued, default: 0] += alive - running
            counts[.running, default: 0] += running
            counts[.dead, default: 0] += dead
        }
        return counts
    }

    public func waitForJobs(timeout: Duration) async {
        let seen = seenRings.exchange(bell.rings, ordering: .relaxed)
        let now = time.now
        let caches = served.withLock { Array($0) }
        let replies = try? await run(
            caches.map { cache in
                RedisCommand(
                    "ZRANGEBYSCORE", space(cache).due, "(\(now.milliseconds)", "+inf", "WITHSCORES", "LIMIT", "0", "1")
            }, on: reads)
        let due = (replies ?? []).compactMap { $0.elements?.last?.text.flatMap { Double($0) } }.min()
        let wait = due.map { max(.zero, Timestamp(milliseconds: Int64(min($0, 4e15))) - now) }
        await bell.wait(after: seen, timeout: min(timeout, wait ?? timeout), time: time)
    }
}
