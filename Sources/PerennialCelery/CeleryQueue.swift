public import Logging
public import Perennial
package import PerennialConnections
internal import PerennialRedis
import Synchronization

/// Refresh jobs as Celery's tasks on Redis: its workers, in Python, do what Perennial queues, and Perennial's workers do what
/// Python sends. Both may work on one queue at the same time.
///
/// ```swift
/// let queue = try CeleryQueue(url: "celery+redis://broker.internal/0?queue=celery")
/// let backend = MixedBackend(store: store, queue: queue)
/// ```
///
/// A task's arguments are `[CACHE, KEY]`, its keyword arguments `generation`, `lease` and `queued_at` (milliseconds since 1970). Python may
/// leave these out; then the key is refreshed unless the origin has confirmed it since the task was seen.
///
/// The address is `celery+redis://USER:PASSWORD@HOST:PORT/DATABASE`. Options behind `?`:
/// - `queue` (text, default: `celery`): the name of the queue.
/// - `task` (letters, digits, `.`, `_`, `-`; default: `perennial.refresh`): the name of the task.
/// - `visibility_timeout` (seconds, default: 3600): as Celery's workers have it in `broker_transport_options`; it must be the same.
/// - `timeout` (seconds, default: 1): how long connecting, and one call, may take.
///
/// **What it promises.** One job a key, taken and noted in Celery's `unacked` in one step, so no worker of Perennial's loses one.
/// While a worker's time runs, Celery's workers leave its message alone; when it has passed, they take it as well as Perennial's. What
/// Celery's workers hold is restored after the visibility time-out by whoever looks first. Messages of other tasks
/// are left where they are, in their order. A message of this task that makes no sense becomes a dead letter.
///
/// Celery's workers know nothing of the record that keeps a key's jobs one: once a job is neither in the queue nor in the hands of a worker,
/// the record is of no account, so what they have done blocks nothing.
///
/// **Threads.** Four connections with a thread each: two for work, one for looking through, one that listens.
public final class CeleryQueue: Sendable {
    let address: CeleryAddress
    /// What all keys of ours begin with.
    let base: String
    let time: any TimeSource
    let logger: Logger
    let work: Lanes<RedisConnection>
    let browser: Lanes<RedisConnection>
    let bell = Doorbell()
    let seen = Mutex(Seen())
    private let listener: Listener<RedisConnection>

    /// What was there when somebody last asked for jobs.
    struct Seen {
        var rings = 0
        var length: Int64?
        var caches: Set<String> = []
    }

    /// Finds what is wrong with an address, without connecting.
    /// - Throws: ``EngineURLError``.
    package static func check(_ url: EngineURL) throws(EngineURLError) { _ = try CeleryAddress(url) }

    /// Begins to connect, and does not wait for that: the server may come later.
    /// - Parameters:
    ///   - url: see above.
    ///   - time: what waiting for jobs waits on.
    ///   - logger: told of messages that make no sense.
    /// - Throws: ``CeleryQueueError`` when the address makes no sense.
    public init(
        url: String, time: any TimeSource = SystemTime(), logger: Logger = Logger(label: "perennial.celery")
    ) throws(CeleryQueueError) {
        let address: CeleryAddress
        do throws(EngineURLError) {
            address = try CeleryAddress(url)
        } catch {
            throw CeleryQueueError(error.description)
        }
        self.address = address
        self.time = time
        self.logger = logger
        let base = "perennial:celery:\(address.queue):\(address.task)"
        self.base = base
        let connect: @Sendable () throws -> RedisConnection = {
            try RedisConnection(address.redis, scripts: Scripts.all)
        }
        work = Lanes("perennial.celery.work", count: 2, open: connect)
        browser = Lanes("perennial.celery.browse", count: 1, open: connect)
        let bell = bell
        let told = ToldOnce()
        let subscription = Subscription(channels: ["\(base):ring"]) { _, _ in bell.ring() }
        listener = Listener(
            "perennial.celery.listen",
            open: {
                let connection = try RedisConnection(address.redis)
                if let policy = try connection.harmfulPolicy(), told.isFirst() {
                    logger.warning("\(evictionWarning(policy, of: "jobs"))")
                }
                try subscription.begin(connection)
                return connection
            },
            opened: { bell.ring() },
            listen: { try subscription.listen($0) })
        for lane in [work, browser] { lane.warmUp() }
    }

    deinit {
        listener.cancel()
    }

    /// Finishes what was begun and closes the connections. Afterwards every method throws.
    public func close() async {
        bell.ring()
        listener.cancel()
        await work.close()
        await browser.close()
    }

    /// Runs a script on the queue.
    func call(
        _ script: RedisScript, _ arguments: RedisCommand, on lane: Lanes<RedisConnection>? = nil, canRepeat: Bool = true
    ) async throws -> RedisReply {
        var all = RedisCommand(base)
        all.add(all: arguments)
        let (keys, command) = ([address.queue], all)
        return try await (lane ?? work).perform(
            canRepeat: canRepeat, begin: { try $0.append(script, keys: keys, command) }, end: { try $0.reply() })
    }

    func run(_ commands: [RedisCommand]) async throws -> [RedisReply] {
        try await browser.perform(
            begin: { connection in
                for command in commands { try connection.append(command) }
            },
            end: { connection in
                var replies: [RedisReply] = []
                var refusal: ConnectionError?
                // All answers are taken, so that the next work gets its own.
                for _ in commands {
                    do throws(ConnectionError) {
                        replies.append(try connection.reply())
                    } catch {
                        if !connection.isUsable { throw error }
                        refusal = refusal ?? error
                    }
                }
                if let refusal { throw refusal }
                return replies
            })
    }

    func nonsense(_ what: String) -> ConnectionError {
        ConnectionError(.refused, "\(address.redis.url) answered \(what) with something that makes no sense")
    }
}
