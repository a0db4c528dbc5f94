import Foundation
import Perennial

/// A refresh as a task message of Celery's protocol 2 in kombu's envelope: a JSON object in a Redis list.
///
/// Its arguments are `[CACHE, KEY]`, its keyword arguments `generation`, `lease` and `queued_at` (milliseconds since 1970), each of which
/// may be missing. What else other programs put into a message is kept when it is put back.
///
/// Sources: docs.celeryq.dev, "Message Protocol"; kombu's `transport/virtual` and `transport/redis`.
struct TaskMessage: Hashable, Sendable {
    private var fields: [String: JSON]
    private(set) var key: EntryKey
    /// The generation of the entry that was found stale; `nil`: the sender doesn't know the entry.
    private(set) var generation: Generation?
    private(set) var leaseToken: LeaseToken?
    private(set) var queuedAt: Timestamp?
    /// The task's id: the same for all its attempts.
    private(set) var id: String
    /// Names the message while it is in somebody's hands.
    private(set) var deliveryTag: String
    /// Not before then; `nil`: at once.
    private(set) var eta: Timestamp?
    /// Not after then; `nil`: always.
    private(set) var expires: Timestamp?
    /// How many attempts have failed.
    private(set) var retries: Int
    private(set) var exchange: String
    private(set) var routingKey: String
}

// MARK: Making

extension TaskMessage {
    /// A message that Celery's workers execute.
    /// - Parameter eta: `nil`: due at once.
    init(
        _ job: RefreshJob, task: String, queue: String, id: String, deliveryTag: String, eta: Timestamp? = nil,
        retries: Int = 0
    ) {
        var keywords: [String: JSON] = [
            "lease": .string(job.leaseToken), "queued_at": .integer(job.queuedAt.milliseconds),
        ]
        if job.generation != .unknown { keywords["generation"] = .integer(job.generation.number) }
        let arguments: JSON = .array([.string(job.key.cache), .string(job.key.key)])
        let embedded: JSON = .object([
            "callbacks": .null, "errbacks": .null, "chain": .null, "chord": .null,
        ])
        let body = JSON.array([arguments, .object(keywords), embedded]).bytes
        fields = [
            "body": .string(Data(body).base64EncodedString()),
            "content-type": .string("application/json"),
            "content-encoding": .string("utf-8"),
            "headers": .object([
                "task": .string(task), "id": .string(id), "root_id": .string(id), "parent_id": .null,
                "lang": .string("swift"), "origin": .string("perennial"), "shadow": .null,
                "eta": eta.map { .string(ISOTime.text($0)) } ?? .null, "expires": .null,
                "retries": .integer(Int64(retries)), "timelimit": .array([.null, .null]), "group": .null,
                "group_index": .null, "argsrepr": .string(String(decoding: arguments.bytes, as: UTF8.self)),
                "kwargsrepr": .string("{}"), "ignore_result": .bool(true), "replaced_task_nesting": .integer(0),
                "stamped_headers": .null, "stamps": .object([:]),
            ]),
            "properties": .object([
                "body_encoding": .string("base64"), "delivery_tag": .string(deliveryTag),
                "delivery_info": .object(["exchange": .string(""), "routing_key": .string(queue)]),
                "delivery_mode": .integer(2), "priority": .integer(0), "correlation_id": .string(id),
                "reply_to": .string(""),
            ]),
        ]
        key = job.key
        generation = job.generation == .unknown ? nil : job.generation
        leaseToken = job.leaseToken
        queuedAt = job.queuedAt
        self.id = id
        self.deliveryTag = deliveryTag
        self.eta = eta
        expires = nil
        self.retries = retries
        exchange = ""
        routingKey = queue
    }

    var bytes: [UInt8] { JSON.object(fields).bytes }

    /// What is behind the message in the hash `unacked`, where it lies as `[MESSAGE, "EXCHANGE", "ROUTING KEY"]`.
    var unackedTail: [UInt8] {
        [UInt8(ascii: ",")] + JSON.array([.string(exchange), .string(routingKey)]).bytes.dropFirst()
    }

    /// The same task once more, under another tag.
    func again(deliveryTag: String, eta: Timestamp?, retries: Int) -> TaskMessage {
        var message = self
        message.deliveryTag = deliveryTag
        message.eta = eta
        message.retries = retries
        message.set("headers", "eta", eta.map { .string(ISOTime.text($0)) } ?? .null)
        message.set("headers", "retries", .integer(Int64(retries)))
        message.set("properties", "delivery_tag", .string(deliveryTag))
        return message
    }

    /// The same message, marked as Celery marks what it puts back for a worker that vanished.
    func redelivered() -> TaskMessage {
        var message = self
        message.set("headers", "redelivered", .bool(true))
        var information = message.fields["properties"]?["delivery_info"]?.object ?? [:]
        information["redelivered"] = .bool(true)
        message.set("properties", "delivery_info", .object(information))
        return message
    }

    private mutating func set(_ part: String, _ name: String, _ value: JSON) {
        var object = fields[part]?.object ?? [:]
        object[name] = value
        fields[part] = .object(object)
    }
}

// MARK: Reading

extension TaskMessage {
    /// What a message in Celery's list is.
    enum Reading: Hashable, Sendable {
        case task(TaskMessage)
        /// Another task's, or in a form that only Celery reads: not to be touched.
        case other
        /// Names the task, and would harm a worker or can't be done. The key, if it could be read.
        case malformed(String, EntryKey?)
    }

    private struct Malformed: Error {
        let reason: String
        var key: EntryKey?

        init(_ reason: String, _ key: EntryKey? = nil) {
            self.reason = reason
            self.key = key
        }
    }

    /// - Parameters:
    ///   - bytes: a message that has the task's name in it.
    ///   - task: the name.
    static func read(_ bytes: [UInt8], task: String) -> Reading {
        guard let message = JSON(bytes) else { return .malformed("the message is no JSON", nil) }
        guard message["headers"]?["task"]?.string == task else { return .other }
        do {
            return try TaskMessage(message).map { .task($0) } ?? .other
        } catch {
            return .malformed(error.reason, error.key)
        }
    }

    /// What is in `unacked`: the message, the exchange, the routing key.
    static func read(unacked bytes: [UInt8], task: String) -> Reading {
        guard let message = JSON(bytes)?.array?.first else { return .other }
        return read(message.bytes, task: task)
    }

    /// - Returns: `nil` when only Celery can read it.
    private init?(_ message: JSON) throws(Malformed) {
        func text(_ value: JSON?, _ name: String, mayBeEmpty: Bool = false) throws(Malformed) -> String {
            guard let text = value?.string, mayBeEmpty || !text.isEmpty else {
                throw Malformed("\(name) is missing or no text")
            }
            return text
        }
        func time(_ name: String) throws(Malformed) -> Timestamp? {
            guard let value = message["headers"]?[name] else { return nil }
            guard let time = value.string.flatMap(ISOTime.read) else { throw Malformed("\(name) is no time") }
            return time
        }
        guard let fields = message.object, let headers = message["headers"] else { return nil }
        self.fields = fields
        id = try text(headers["id"], "the header id")
        guard let properties = message["properties"] else { throw Malformed("properties are missing") }
        deliveryTag = try text(properties["delivery_tag"], "delivery_tag")
        exchange = try text(properties["delivery_info"]?["exchange"], "exchange", mayBeEmpty: true)
        routingKey = try text(properties["delivery_info"]?["routing_key"], "routing_key", mayBeEmpty: true)
        let type = try text(message["content-type"], "content-type")
        let encoding = try text(message["content-encoding"], "content-encoding")
        guard type == "application/json", ["utf-8", "utf8", "us-ascii", "ascii"].contains(encoding.lowercased()),
            headers["compression"] == nil
        else { return nil }
        eta = try time("eta")
        expires = try time("expires")
        retries = Int(clamping: min(max(headers["retries"]?.integer ?? 0, 0), 1_000_000))
        let (arguments, keywords) = try Self.body(message["body"], properties["body_encoding"])
        let names = [arguments.first ?? keywords["cache"], arguments.dropFirst().first ?? keywords["key"]]
        guard let cache = names[0]?.string, let name = names[1]?.string else {
            throw Malformed("the arguments are not [CACHE, KEY]")
        }
        key = EntryKey(cache: cache, key: name)
        func given(_ name: String, _ index: Int) -> JSON? {
            let value = arguments.dropFirst(index).first ?? keywords[name]
            return value == .null ? nil : value
        }
        if let value = given("generation", 2) {
            guard let number = value.integer, number >= 0 else { throw Malformed("generation is no number", key) }
            generation = Generation(number)
        }
        if let value = given("lease", 3) {
            guard let token = value.string else { throw Malformed("lease is no text", key) }
            leaseToken = token
        }
        if let value = given("queued_at", 4) {
            guard let number = value.integer else { throw Malformed("queued_at is no number", key) }
            queuedAt = Timestamp(milliseconds: number)
        }
    }

    private static func body(
        _ body: JSON?, _ encoding: JSON?
    ) throws(Malformed) -> (arguments: [JSON], keywords: [String: JSON]) {
        guard let text = body?.string else { throw Malformed("the body is missing or no text") }
        var bytes = Array(text.utf8)
        if let encoding {
            guard encoding == .string("base64") else { throw Malformed("body_encoding is not base64") }
            guard let decoded = Data(base64Encoded: text, options: .ignoreUnknownCharacters) else {
                throw Malformed("the body is no base64")
            }
            bytes = Array(decoded)
        }
        guard let parts = JSON(bytes)?.array else { throw Malformed("the body is no JSON array") }
        guard parts.count == 3, let arguments = parts[0].array, let keywords = parts[1].object else {
            throw Malformed("the body is not [ARGUMENTS, KEYWORD ARGUMENTS, …]")
        }
        return (arguments, keywords)
    }
}
