import Perennial
import PerennialRedis
import PerennialTesting
import Testing

@testable import PerennialCelery

/// What a job's record is worth when Celery's structures say something else.
@Suite struct RecordTests {
    private func take(_ queue: CeleryQueue, now: Timestamp = Samples.now) async throws -> [Delivery] {
        try await queue.dequeue(caches: ["people"], limit: 10, worker: "w", until: now + .seconds(30), now: now)
    }

    private func enqueue(_ queue: CeleryQueue, _ key: String = "ada") async throws -> Bool {
        try await queue.enqueue(Samples.job(Samples.key(key)), notBefore: Samples.now, now: Samples.now)
    }

    /// Takes the next message as BRPOP does.
    private func pop(_ scratch: Scratch) async throws -> (text: String, tag: String) {
        let text = try #require(try await scratch.redis("RPOP", "celery").text)
        guard case .task(let message) = TaskMessage.read(Array(text.utf8), task: "perennial.refresh") else {
            throw NotSeen()
        }
        return (text, message.deliveryTag)
    }

    @Test func `a message that is nowhere any more was done, and blocks nothing`() async throws {
        let scratch = try await Scratch()
        let queue = try scratch.open()
        for number in 0..<20 { #expect(try await enqueue(queue, "\(number)")) }
        for _ in 0..<20 { _ = try await pop(scratch) }
        #expect(try await queue.counts()[.queued] == 0)
        #expect(try await queue.jobs(state: nil, after: nil, limit: 100) == [])
        #expect(try await scratch.redis("HLEN", "perennial:celery:celery:perennial.refresh:tags").integer == 0)
        #expect(try await enqueue(queue, "0"))
        await scratch.closeAll()
    }

    @Test func `records of what Celery has done go by and by, though nobody looks`() async throws {
        let scratch = try await Scratch()
        let queue = try scratch.open()
        for number in 0..<40 {
            #expect(try await enqueue(queue, "\(number)"))
            _ = try await pop(scratch)
        }
        let left = try #require(
            try await scratch.redis("HLEN", "perennial:celery:celery:perennial.refresh:jobs").integer)
        #expect(left <= 2)
        await scratch.closeAll()
    }

    @Test func `what is half there blocks no key`() async throws {
        let scratch = try await Scratch()
        let queue = try scratch.open()
        #expect(try await enqueue(queue))
        let first = try await pop(scratch)
        try await scratch.redis("ZADD", "unacked_index", "4000000000", first.tag)
        #expect(try await enqueue(queue))

        let second = try await pop(scratch)
        try await scratch.redis("HSET", "unacked", second.tag, "[\(second.text), \"\", \"celery\"]")
        #expect(try await enqueue(queue) == false)
        let taken = try await take(queue, now: Samples.now + .minutes(1))
        #expect(taken.map(\.isRedelivery) == [true])
        try await queue.complete(taken)
        #expect(try await scratch.redis("HLEN", "unacked").integer == 0)
        await scratch.closeAll()
    }

    @Test func `a message that Celery has put back is the same job, written otherwise`() async throws {
        let scratch = try await Scratch()
        let queue = try scratch.open()
        #expect(try await enqueue(queue))
        let (text, _) = try await pop(scratch)
        let restored = text.replacing("\":", with: "\": ")
        #expect(restored != text)
        try await scratch.redis("RPUSH", "celery", restored)
        #expect(try await enqueue(queue) == false)
        let taken = try await take(queue)
        #expect(taken.map(\.job.leaseToken) == ["lease"])
        #expect(try await scratch.redis("LLEN", "celery").integer == 0)
        // Put back once more, under the hands of the worker: it is done nevertheless, and once.
        let tag = try #require(try await scratch.redis("HKEYS", "unacked").elements?.first?.text)
        try await scratch.redis("HDEL", "unacked", tag)
        try await scratch.redis("ZREM", "unacked_index", tag)
        try await scratch.redis("RPUSH", "celery", restored)
        #expect(try await queue.extend(taken, until: Samples.now + .minutes(2)) == taken)
        #expect(try await scratch.redis("LLEN", "celery").integer == 0)
        try await scratch.redis("HDEL", "unacked", tag)
        try await scratch.redis("ZREM", "unacked_index", tag)
        try await scratch.redis("RPUSH", "celery", restored)
        try await queue.complete(taken)
        #expect(try await scratch.redis("LLEN", "celery").integer == 0)
        #expect(try await queue.jobs(state: nil, after: nil, limit: 10) == [])
        await scratch.closeAll()
    }

    @Test func `a server that lost everything is a new queue`() async throws {
        let scratch = try await Scratch()
        let queue = try scratch.open()
        #expect(try await enqueue(queue))
        let old = try await take(queue)
        try await scratch.redis("FLUSHDB")
        #expect(try await enqueue(queue))
        try await queue.complete(old)
        try await queue.retry(old[0], at: Samples.now, error: "late")
        let new = try await take(queue)
        #expect(new.count == 1)
        #expect(new[0].receipt != old[0].receipt)
        #expect(new[0].attempt == 1)
        await scratch.closeAll()
    }

    @Test func `two tasks on one queue don't know of each other`() async throws {
        let scratch = try await Scratch()
        let (one, two) = (try scratch.open("?task=one"), try scratch.open("?task=two"))
        #expect(try await enqueue(one))
        #expect(try await enqueue(two))
        let taken = try await take(one)
        #expect(taken.count == 1)
        #expect(try await take(one) == [])
        #expect(try await take(two).count == 1)
        await scratch.closeAll()
    }

    @Test func `old dead letters end`() async throws {
        let scratch = try await Scratch()
        let queue = try scratch.open()
        for (name, day) in [("old", 0), ("newer", 20), ("new", 31)] {
            #expect(try await enqueue(queue, name))
            let now = Samples.now + .days(Int64(day))
            try await queue.bury(try #require(try await take(queue, now: now).first), error: "x", now: now)
        }
        let left = try await queue.jobs(state: .dead, after: nil, limit: 10).map(\.key.key)
        #expect(left == ["newer", "new"])
        await scratch.closeAll()
    }
}
