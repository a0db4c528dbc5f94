internal import CHiredis
public import Logging
public import Perennial
package import PerennialConnections
import Synchronization

/// Entries and refresh jobs in a Redis server, which many machines share.
///
/// ```swift
/// let backend = try RedisBackend(url: "redis://cache.internal/0?prefix=app")
/// ```
///
/// The address is `redis://USER:PASSWORD@HOST:PORT/DATABASE`. Options behind `?`:
/// - `prefix` (text, default: `perennial`): what all keys and channels begin with. Caches of different prefixes don't
///   know of each other.
/// - `timeout` (seconds, default: 1): how long connecting, and one call, may take.
///
/// **What it promises.** What Redis keeps: with `appendonly yes` and `appendfsync always` everything that was
/// confirmed, with `everysec` all but the last second, without a file nothing beyond its end. Every change is one
/// script, so of all machines one wins. Other machines' memory tiers hear of a change by Redis's pub/sub, usually
/// within a millisecond; after a lost connection they revalidate all they have. A purge of more than 1,000 entries goes
/// in steps: nothing that began before the first can save, and readers may still find what a later step removes until
/// the call returns.
///
/// **Memory.** Entries and large values expire by themselves, an hour after they are of no more use; leases are ended
/// by the janitor. With `maxmemory-policy volatile-*` a full server removes entries, and nothing else. With
/// `noeviction` it refuses new entries, confirmations, leases and jobs; reading, purging, the janitor and finishing
/// jobs go through. `allkeys-*` may remove jobs and what is known of purges: give Perennial a server or a policy of its
/// own.
///
/// **Clusters.** A cache's keys lie in one slot. A cluster of one node, or one behind a proxy, works; `MOVED` is
/// refused with an error that says so. A replica that has become primary is found by connecting again.
///
/// **Threads.** Seven connections with a thread each: two for reading, two for writing, one for purges of many entries, large
/// values and counting, one for the janitor and looking through, one that listens.
public final class RedisBackend: Sendable {
    /// Values above this many bytes don't go through scripts.
    static let largeValue = 1 << 20
    /// The largest entry that is kept, in bytes: a string may have 512 MiB (`proto-max-bulk-len`).
    static let largestEntry = 500_000_000

    let prefix: String
    let sizeLimit: Int?
    let time: any TimeSource
    private let logger: Logger
    let reads: Lanes<RedisConnection>
    let writes: Lanes<RedisConnection>
    /// For what somebody waits for and may take long: purges of many entries, large values, and counting.
    let bulk: Lanes<RedisConnection>
    /// For what nobody should wait behind: the janitor, listing.
    let browser: Lanes<RedisConnection>
    let feed: ChangeFeed
    let bell: Doorbell
    private let listener: Listener<RedisConnection>
    private let unreadable = Atomic(0)
    /// How many keys the server had evicted when all were looked through for them.
    let seenEvictions = Mutex(Int64?.none)
    let seenRings = Atomic(0)
    let served = Mutex(Set<String>())
    let sweepers = Mutex<[String: [UInt8]]>([:])
    let used = Mutex(Set<String>())
    let pressure: WritePressure

    /// Finds what is wrong with an address, without connecting.
    /// - Throws: ``EngineURLError``.
    package static func check(_ url: EngineURL) throws(EngineURLError) { _ = try read(url) }

    private static func read(_ url: EngineURL) throws(EngineURLError) -> (RedisAddress, prefix: String) {
        guard url.scheme == "redis" || url.scheme == "rediss" else {
            throw EngineURLError("\(url): this is no address of a Redis server; write redis://HOST")
        }
        let address = try RedisAddress(url, options: ["prefix"])
        let prefix = url.option("prefix") ?? "perennial"
        guard !prefix.isEmpty, !prefix.contains(where: { "{}".contains($0) }) else {
            throw EngineURLError("\(url): the prefix must be a text without braces, like prefix=app")
        }
        return (address, prefix)
    }

    /// Begins to connect, and does not wait for that: the server may come later.
    /// - Parameters:
    ///   - url: see above.
    ///   - sizeLimit: the bytes above which the least recently used entries make room, over all caches of the prefix;
    ///     looked at whenever this process has written a sixteenth of it. Default: none. An entry counts with its
    ///     value, its texts and 256 bytes, what is remembered of a removed key with 48.
    ///   - time: what waiting for jobs waits on.
    ///   - logger: told of what makes no sense, and of the connection that listens.
    /// - Throws: ``RedisBackendError`` when the address makes no sense.
    public init(
        url: String, sizeLimit: Int? = nil, time: any TimeSource = SystemTime(),
        logger: Logger = Logger(label: "perennial.redis")
    ) throws(RedisBackendError) {
        let address: RedisAddress
        let prefix: String
        do throws(EngineURLError) {
            (address, prefix) = try Self.read(EngineURL(url))
        } catch {
            throw RedisBackendError(error.description)
        }
        self.prefix = prefix
        self.sizeLimit = sizeLimit
        pressure = WritePressure(sizeLimit: sizeLimit)
        self.time = time
        self.logger = logger
        let connect: @Sendable () throws -> RedisConnection = { try RedisConnection(address, scripts: Scripts.all) }
        // Two: while the server works for one, this process works for the other.
        let reads = Lanes("perennial.redis.read", count: 2, open: connect)
        self.reads = reads
        writes = Lanes("perennial.redis.write", count: 2, open: connect)
        let watch = ServerWatch(every: address.timeout / 4) {
            try await reads.perform { _ = try $0.run(RedisCommand("PING")) }
        }
        bulk = Lanes("perennial.redis.bulk", count: 1, watch: watch, open: connect)
        browser = Lanes("perennial.redis.browse", count: 1, watch: watch, open: connect)
        let (feed, bell) = (ChangeFeed(), Doorbell())
        (self.feed, self.bell) = (feed, bell)
        let refusals = Refusals()
        let told = ToldOnce()
        let subscription = Subscription(channels: ["\(prefix):changes", "\(prefix):jobs"]) { channel, message in
            if channel.hasSuffix(":jobs") { return bell.ring() }
            if feed.isHeard { feed.publish(ChangeMessage.read(message)) }
        }
        listener = Listener(
            "perennial.redis.listen",
            open: {
                let connection = try RedisConnection(address)
                if let policy = try connection.harmfulPolicy(), told.isFirst() {
                    logger.warning("\(evictionWarning(policy, of: "jobs, leases and what is known of purges"))")
                }
                try subscription.begin(connection)
                return connection
            },
            opened: {
                if refusals.end() { logger.notice("changes in Redis are heard again") }
                // Something may have happened while nobody listened.
                feed.publish([.missed])
                bell.ring()
            },
            failed: { error in
                guard let refusal = refusals.note(error) else { return }
                logger.warning(
                    "changes in Redis can't be heard, so purges by other machines come late: \(refusal)")
            },
            listen: { try subscription.listen($0) })
        for lane in [reads, writes, bulk, browser] { lane.warmUp() }
    }

    deinit {
        listener.cancel()
        feed.finish()
    }

    /// Finishes what was begun and closes the connections. Afterwards every method throws.
    public func close() async {
        feed.finish()
        bell.ring()
        listener.cancel()
        await reads.close()
        await writes.close()
        await bulk.close()
        await browser.close()
    }

    /// How many times something was read that made no sense, and was taken for missing.
    public var unreadableCount: Int { unreadable.load(ordering: .relaxed) }

    func noteUnreadable(_ key: EntryKey) {
        if unreadable.add(1, ordering: .relaxed).oldValue == 0 {
            logger.warning("\(key) in Redis makes no sense and is taken for missing; more will only be counted")
        }
    }

    func space(_ cache: String) -> KeySpace { KeySpace(prefix: prefix, cache: cache) }

    /// Runs a script on a cache.
    func call(
        _ script: RedisScript, _ cache: String, _ arguments: RedisCommand, on lane: Lanes<RedisConnection>? = nil,
        canRepeat: Bool = true
    ) async throws -> RedisReply {
        let space = space(cache)
        used.withLock { _ = $0.insert(cache) }
        var all = RedisCommand(space.base, prefix, cache)
        all.add(all: arguments)
        let command = all
        return try await (lane ?? writes).perform(
            canRepeat: canRepeat,
            begin: { [prefix] connection in
                let isNew = connection.told.insert(cache).inserted
                if isNew { try connection.append(RedisCommand("SADD", "\(prefix):caches", cache)) }
                connection.asked.append(isNew ? [cache] : [])
                try connection.append(script, keys: [space.ledger], command)
            },
            end: { connection in
                for cache in connection.asked.removeFirst() {
                    do {
                        _ = try connection.reply()
                    } catch  where connection.isUsable {
                        // The script's own answer says what is wrong.
                        connection.told.remove(cache)
                    }
                }
                return try connection.reply()
            })
    }

    /// Runs plain commands; their answers in the same order. What is of another type than asked for counts as missing.
    func run(_ commands: [RedisCommand], on lane: Lanes<RedisConnection>) async throws -> [RedisReply] {
        if commands.isEmpty { return [] }
        return try await lane.perform(
            begin: { connection in
                for command in commands { try connection.append(command) }
            },
            end: { try $0.replies(commands.count) })
    }

    /// The names of all caches, in their order.
    func caches(on lane: Lanes<RedisConnection>) async throws -> [String] {
        let names = try await run([RedisCommand("SMEMBERS", "\(prefix):caches")], on: lane)[0].elements ?? []
        return names.compactMap(\.text).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }
}

extension RedisConnection {
    /// The answers to the next commands. All are taken, then the first refusal is thrown, but for ``RedisReply/nothing`` in
    /// place of what is of another type than asked for.
    func replies(_ count: Int) throws(ConnectionError) -> [RedisReply] {
        var found: [RedisReply] = []
        var refusal: ConnectionError?
        for _ in 0..<count {
            do {
                found.append(try reply())
            } catch {
                if !isUsable { throw error }
                if error.reason == .otherType {
                    found.append(.nothing)
                } else {
                    refusal = refusal ?? error
                }
            }
        }
        if let refusal { throw refusal }
        return found
    }
}
