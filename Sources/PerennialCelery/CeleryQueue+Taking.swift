import Logging
public import Perennial
import PerennialConnections
import PerennialRedis
import Synchronization

extension CeleryQueue {
    /// How many messages are looked at from the end that is taken from, and as many of the rest.
    private static let window = 100

    public func dequeue(
        caches: [String], limit: Int, worker: String, until: Timestamp, now: Timestamp
    ) async throws -> [Delivery] {
        seen.withLock { seen in
            seen.rings = bell.rings
            seen.caches.formUnion(caches)
        }
        let caches = Set(caches)
        if limit <= 0 || caches.isEmpty { return [] }
        var taken = try await take(caches, limit, worker, until, now, window: Self.window)
        var isNew = try await restore(taken.vanished)
        if isNew {
            // They lie where they are seen first now.
            let more = try await take(caches, limit - taken.jobs.count, worker, until, now, window: Self.window)
            taken.jobs += more.jobs
            taken.unknown = more.unknown
        }
        isNew = try await adopt(taken.unknown, caches, now)
        if isNew, taken.jobs.count < limit {
            taken.jobs += try await take(caches, limit - taken.jobs.count, worker, until, now, window: 0).jobs
        }
        return taken.jobs
    }

    private struct Taken {
        var jobs: [Delivery] = []
        var unknown: [[UInt8]] = []
        var vanished: [(tag: [UInt8], value: [UInt8])] = []
    }

    private func take(
        _ caches: Set<String>, _ limit: Int, _ worker: String, _ until: Timestamp, _ now: Timestamp, window: Int
    ) async throws -> Taken {
        var arguments = RedisCommand(
            String(now.milliseconds), String(until.milliseconds), worker, String(limit),
            String(address.visibilityTimeout.milliseconds), "\"\(address.task)\"", String(window))
        for cache in caches { arguments.add(cache) }
        // Not twice: the first time may have taken some.
        guard let parts = try await call(Scripts.take, arguments, canRepeat: false).elements, parts.count == 4,
            let jobs = parts[0].elements
        else { throw nonsense("a request for jobs") }
        seen.withLock { $0.length = parts[3].integer }
        return Taken(
            jobs: try jobs.map { job in
                guard let delivery = delivery(job) else { throw nonsense("a request for jobs") }
                return delivery
            },
            unknown: parts[1].elements?.compactMap(\.bytes) ?? [],
            vanished: parts[2].elements?.compactMap { pair in
                guard let pair = pair.elements, pair.count == 2, let tag = pair[0].bytes, let value = pair[1].bytes
                else { return nil }
                return (tag, value)
            } ?? [])
    }

    private func delivery(_ reply: RedisReply) -> Delivery? {
        guard let parts = reply.elements, parts.count == 9, let id = parts[0].text, let cache = parts[1].text,
            let key = parts[2].text, let generation = parts[3].integer, let token = parts[4].text,
            let queuedAt = parts[5].integer, let failures = parts[6].integer, let receipt = parts[8].text
        else { return nil }
        let job = RefreshJob(
            key: EntryKey(cache: cache, key: key), generation: Generation(generation), leaseToken: token,
            queuedAt: Timestamp(milliseconds: queuedAt))
        return Delivery(
            id: id, job: job, attempt: Int(clamping: failures) + 1, receipt: receipt,
            isRedelivery: parts[7].text == "1")
    }

    // MARK: What others have sent

    /// Makes jobs of what Python has sent for these caches, and dead letters of what makes no sense.
    /// - Returns: whether there may be new jobs.
    private func adopt(_ messages: [[UInt8]], _ caches: Set<String>, _ now: Timestamp) async throws -> Bool {
        var arguments = RedisCommand(String(now.milliseconds))
        var adopted: [(message: [UInt8], complaint: String?)] = []
        func add(
            _ what: String, _ message: [UInt8], _ job: RefreshJob, at: Timestamp, failures: Int = 0, tag: String = "",
            tail: [UInt8] = [], last: String, complaint: String? = nil
        ) {
            arguments.add(what)
            arguments.add(message)
            arguments.add(job.key.cache)
            arguments.add(job.key.key)
            arguments.add(job.generation.number)
            arguments.add(job.leaseToken)
            arguments.add(job.queuedAt.milliseconds)
            arguments.add(at.milliseconds)
            arguments.add(failures)
            arguments.add(tag)
            arguments.add(tail)
            arguments.add(last)
            adopted.append((message, complaint))
        }
        for bytes in messages {
            switch TaskMessage.read(bytes, task: address.task) {
            case .other: continue
            case .malformed(let reason, let key):
                let key = key ?? EntryKey(cache: "", key: "")
                let job = RefreshJob(key: key, generation: .unknown, leaseToken: "", queuedAt: now)
                add("malformed", bytes, job, at: now, last: "a malformed message: \(reason)", complaint: reason)
            case .task(let message):
                guard caches.contains(message.key.cache) else { continue }
                let job = RefreshJob(
                    key: message.key, generation: message.generation ?? .unknown,
                    leaseToken: message.leaseToken ?? "celery-\(message.id)", queuedAt: message.queuedAt ?? now)
                let isExpired = message.expires.map { now > $0 } ?? false
                add(
                    isExpired ? "expired" : "job", bytes, job, at: message.eta ?? now, failures: message.retries,
                    tag: message.deliveryTag, tail: message.unackedTail,
                    last: message.expires.map { String($0.milliseconds) } ?? "")
            }
        }
        if adopted.isEmpty { return false }
        let results = try await call(Scripts.adopt, arguments).elements ?? []
        for (message, result) in zip(adopted, results) where result.integer == 1 {
            guard let complaint = message.complaint else { continue }
            logger.warning(
                "a malformed task message was taken out of the queue and kept as a dead letter",
                metadata: [
                    "reason": "\(complaint)", "queue": "\(address.queue)", "bytes": "\(message.message.count)",
                ])
        }
        return results.contains { $0.integer == 1 }
    }

    /// Puts back what workers of Celery's have taken longer ago than the visibility time-out.
    /// - Returns: whether there was anything.
    private func restore(_ vanished: [(tag: [UInt8], value: [UInt8])]) async throws -> Bool {
        var arguments = RedisCommand()
        for (tag, value) in vanished {
            guard case .task(let message) = TaskMessage.read(unacked: value, task: address.task) else { continue }
            arguments.add(tag)
            arguments.add(value)
            arguments.add(message.redelivered().bytes)
        }
        if arguments.isEmpty { return false }
        _ = try await call(Scripts.restore, arguments)
        return true
    }
}
