import Perennial
import PerennialConnections
import PerennialRedis

/// Where Celery's broker is, and what its tasks are called, from
/// `celery+redis://USER:PASSWORD@HOST:PORT/DATABASE?queue=NAME&task=NAME&visibility_timeout=SECONDS&timeout=SECONDS`.
struct CeleryAddress: Sendable {
    let redis: RedisAddress
    /// The list that messages lie in. Default: `celery`.
    let queue: String
    /// The task's name. Default: `perennial.refresh`.
    let task: String
    /// After so long Celery's workers take a message for given up. Default: 1 hour, as theirs.
    let visibilityTimeout: Duration

    /// - Throws: ``EngineURLError``.
    init(_ text: String) throws(EngineURLError) { try self.init(EngineURL(text)) }

    /// - Throws: ``EngineURLError``.
    init(_ url: EngineURL) throws(EngineURLError) {
        guard url.scheme == "celery+redis" || url.scheme == "celery+rediss" else {
            throw EngineURLError("\(url): this is no address of Celery's broker; write celery+redis://HOST")
        }
        guard url.scheme == "celery+redis" else {
            throw EngineURLError(
                "\(url): the installed hiredis has no TLS (that needs 1.0 or later); go through a tunnel, such as stunnel, and"
                    + " write celery+redis://")
        }
        redis = try RedisAddress(url, options: ["queue", "task", "visibility_timeout"])
        queue = url.option("queue") ?? "celery"
        guard !queue.isEmpty else {
            throw EngineURLError("\(url): the queue needs a name, like queue=celery")
        }
        task = url.option("task") ?? "perennial.refresh"
        // It is looked for in messages as it is written in them: without what JSON may escape.
        guard !task.isEmpty, task.utf8.allSatisfy({ Self.isTaskCharacter($0) }) else {
            throw EngineURLError(
                "\(url): the task's name must be letters, digits, dots, _ or -, like task=perennial.refresh")
        }
        visibilityTimeout = try url.seconds("visibility_timeout") ?? .hours(1)
    }

    private static func isTaskCharacter(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }
}
