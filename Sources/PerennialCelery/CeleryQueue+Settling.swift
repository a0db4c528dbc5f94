import Foundation
public import Perennial
import PerennialRedis

extension CeleryQueue: RefreshQueue {
    public func enqueue(_ job: RefreshJob, notBefore: Timestamp, now: Timestamp) async throws -> Bool {
        let message = newMessage(job, eta: notBefore > now ? notBefore : nil)
        var arguments = RedisCommand(
            job.key.cache, job.key.key, String(job.generation.number), job.leaseToken,
            String(job.queuedAt.milliseconds),
            String(notBefore.milliseconds), String(now.milliseconds))
        arguments.add(message.bytes)
        arguments.add(message.deliveryTag)
        arguments.add(message.unackedTail)
        return try await call(Scripts.enqueue, arguments).integer == 1
    }

    public func extend(_ deliveries: [Delivery], until: Timestamp) async throws -> [Delivery] {
        try await settle("extend", deliveries, at: until)
    }

    public func complete(_ deliveries: [Delivery]) async throws {
        _ = try await settle("complete", deliveries, at: .distantPast)
    }

    public func retry(_ delivery: Delivery, at: Timestamp, error: String) async throws {
        try await putBack("retry", delivery, at: at, failures: delivery.attempt, error: error)
    }

    public func giveBack(_ delivery: Delivery, at: Timestamp) async throws {
        try await putBack("giveBack", delivery, at: at, failures: delivery.attempt - 1)
    }

    public func bury(_ delivery: Delivery, error: String, now: Timestamp) async throws {
        _ = try await settle("bury", [delivery], at: now, error: error)
    }

    // MARK: Messages

    func newMessage(_ job: RefreshJob, eta: Timestamp?, retries: Int = 0) -> TaskMessage {
        TaskMessage(
            job, task: address.task, queue: address.queue, id: newName(), deliveryTag: newName(), eta: eta,
            retries: retries)
    }

    /// The message of a job's next attempt: as it was, but for its time.
    func again(_ message: [UInt8], _ job: RefreshJob, eta: Timestamp?, retries: Int) -> TaskMessage {
        guard case .task(let old) = TaskMessage.read(message, task: address.task) else {
            return newMessage(job, eta: eta, retries: retries)
        }
        return old.again(deliveryTag: newName(), eta: eta, retries: retries)
    }

    private func newName() -> String { UUID().uuidString.lowercased() }

    // MARK: Settling

    private func putBack(
        _ what: String, _ delivery: Delivery, at: Timestamp, failures: Int, error: String = ""
    ) async throws {
        let key = delivery.job.key
        let held = try await call(Scripts.message, RedisCommand(key.cache, key.key, delivery.receipt)).bytes
        guard let held else { return }
        let message = again(held, delivery.job, eta: at, retries: failures)
        _ = try await settle(what, [delivery], at: at, error: error, message: message)
    }

    /// - Returns: those that were the current deliveries of their jobs.
    private func settle(
        _ what: String, _ deliveries: [Delivery], at: Timestamp, error: String = "", message: TaskMessage? = nil
    ) async throws -> [Delivery] {
        if deliveries.isEmpty { return [] }
        var arguments = RedisCommand(
            what, String(at.milliseconds), error, String(address.visibilityTimeout.milliseconds))
        arguments.add(message?.bytes ?? [])
        arguments.add(message?.deliveryTag ?? "")
        for delivery in deliveries {
            arguments.add(delivery.job.key.cache)
            arguments.add(delivery.job.key.key)
            arguments.add(delivery.receipt)
        }
        let results = try await call(Scripts.settle, arguments).elements ?? []
        return zip(deliveries, results).filter { $0.1.integer == 1 }.map(\.0)
    }
}
