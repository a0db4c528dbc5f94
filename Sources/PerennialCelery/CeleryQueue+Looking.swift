public import Perennial
import PerennialConnections
import PerennialRedis
import Synchronization

extension CeleryQueue {
    private static let stateNumbers: [JobState: String] = [.queued: "0", .running: "1", .dead: "2"]

    public func jobs(state: JobState?, after: JobID?, limit: Int) async throws -> [JobRecord] {
        var found: [JobRecord] = []
        var last: Int64? = after.map { Int64($0) ?? 0 } ?? 0
        while let behind = last, found.count < limit {
            let arguments = RedisCommand(
                String(behind), state.flatMap { Self.stateNumbers[$0] } ?? "", String(min(max(limit, 100), 1000)))
            var reply = (try await call(Scripts.jobs, arguments, on: browser).elements ?? [])[...]
            last = reply.popFirst()?.integer
            found += reply.compactMap(record)
        }
        return Array(found.prefix(max(0, limit)))
    }

    private func record(_ reply: RedisReply) -> JobRecord? {
        guard let parts = reply.elements, parts.count == 9, let id = parts[0].text, let cache = parts[1].text,
            let key = parts[2].text, let state = Self.stateNumbers.first(where: { $0.value == parts[3].text })?.key,
            let failures = parts[4].integer, let queuedAt = parts[5].integer, let at = parts[6].integer,
            let error = parts[7].text, let worker = parts[8].text
        else { return nil }
        return JobRecord(
            id: id, key: EntryKey(cache: cache, key: key), state: state, failures: Int(clamping: failures),
            queuedAt: Timestamp(milliseconds: queuedAt), at: Timestamp(milliseconds: at),
            error: failures > 0 || !error.isEmpty ? error : nil, worker: worker.isEmpty ? nil : worker)
    }

    public func replay(_ id: JobID?, now: Timestamp) async throws -> Int {
        if let id, Int64(id) == nil { return 0 }
        let page = 500
        var count = 0
        while true {
            let letters = try await call(Scripts.dead, RedisCommand(id ?? "", String(page)), on: browser).elements ?? []
            var arguments = RedisCommand(String(now.milliseconds))
            for letter in letters {
                guard let parts = letter.elements, parts.count == 8, let name = parts[0].bytes, let id = parts[1].bytes,
                    let old = parts[2].bytes, let generation = parts[3].integer, let token = parts[4].text,
                    let queuedAt = parts[5].integer, let cache = parts[6].text, let key = parts[7].text
                else { throw nonsense("a request for dead letters") }
                let job = RefreshJob(
                    key: EntryKey(cache: cache, key: key), generation: Generation(generation), leaseToken: token,
                    queuedAt: Timestamp(milliseconds: queuedAt))
                let message = again(old, job, eta: nil, retries: 0)
                arguments.add(name)
                arguments.add(id)
                arguments.add(message.bytes)
                arguments.add(message.deliveryTag)
            }
            if letters.isEmpty { return count }
            let replayed = Int(try await call(Scripts.replay, arguments, on: browser).integer ?? 0)
            count += replayed
            if id != nil || letters.count < page || replayed == 0 { return count }
        }
    }

    public func correctTimes(
        caches: [String], queuedAfter: Timestamp, dueAfter: Timestamp, heldAfter: Timestamp, now: Timestamp
    ) async throws -> Int {
        var arguments = RedisCommand(
            String(queuedAfter.milliseconds), String(dueAfter.milliseconds), String(heldAfter.milliseconds),
            String(now.milliseconds), "5000")
        for cache in Set(caches) { arguments.add(cache) }
        return Int(try await call(Scripts.correctTimes, arguments, on: browser).integer ?? 0)
    }

    public func counts() async throws -> [JobState: Int] {
        let counts = (try await call(Scripts.counts, RedisCommand(), on: browser).elements ?? []).compactMap(\.integer)
        guard counts.count == 3 else { throw nonsense("a request for counts") }
        return [.queued: Int(counts[0]), .running: Int(counts[1]), .dead: Int(counts[2])]
    }

    /// Python rings no bell: so often it is looked whether the queue has another length.
    private static let glance = Duration.milliseconds(250)

    public func waitForJobs(timeout: Duration) async {
        let begin = time.now
        let (rings, length, caches) = seen.withLock { seen in
            defer { seen.rings = bell.rings }
            return (seen.rings, seen.length, seen.caches)
        }
        let replies = try? await run(
            caches.map { cache in
                RedisCommand(
                    "ZRANGEBYSCORE", "\(base):due:\(cache)", "(\(begin.milliseconds)", "+inf", "WITHSCORES", "LIMIT",
                    "0",
                    "1")
            })
        let due = (replies ?? []).compactMap { $0.elements?.last?.text.flatMap { Double($0) } }.min()
        let end = min(begin + timeout, due.map { Timestamp(milliseconds: Int64(min($0, 4e15))) } ?? .distantFuture)
        while !Task.isCancelled, time.now < end, bell.rings <= rings {
            await bell.wait(after: rings, timeout: min(end - time.now, Self.glance), time: time)
            guard !Task.isCancelled, bell.rings <= rings else { return }
            let now = try? await run([RedisCommand("LLEN", address.queue)])[0].integer
            if let now, let length, now != length { return }
        }
    }
}
