public import Logging
public import Perennial
package import PerennialConnections
import Synchronization

/// Entries and refresh jobs in a MongoDB database, which many machines share.
///
/// ```swift
/// let backend = try MongoDBBackend(url: "mongodb://app:secret@db.internal/cache?authSource=admin")
/// ```
///
/// The address is libmongoc's own (`mongodb://USER:PASSWORD@HOST:PORT,…/DATABASE` or `mongodb+srv://`, TLS, SCRAM and
/// their kin included). The database is where everything lies; default: `perennial`. One more option:
/// - `timeout` (seconds, default: 1): how long connecting, and one call, may take.
///
/// **What it promises.** Writes are confirmed by a majority (`w` and `journal` in the address say otherwise), so they
/// survive the loss of the primary. Reads go to the primary, whatever the address says. Every change of a key is one
/// change of its document, compared with what was seen; a purge of a tag or a cache is in force at once, on all
/// machines, and its documents are tidied up before it returns. Other machines' memory tiers hear of a change through a
/// change stream; after a lost one they revalidate all they have. A server without a replica set has no change streams:
/// then they revalidate every two seconds, and workers look for jobs as often.
///
/// **Looking in.** Each cache has a collection of its name: `db.people.find({"value.followers": {$gt: 1000}})`.
///
/// **Needs** MongoDB 4.2 or later. An entry of more than 15.5 MB is not kept.
///
/// **Threads.** Seven connections with a thread each: two for reading, two for writing, one for purges of many entries
/// and for counting, one for the janitor and looking through, one that listens.
public final class MongoDBBackend: Sendable {
    let sizeLimit: Int?
    let pressure: WritePressure
    /// Of removals alone: what they leave is looked at by itself.
    let removals: WritePressure
    let time: any TimeSource
    private let logger: Logger
    let reads: Lanes<MongoConnection>
    let writes: Lanes<MongoConnection>
    /// For what somebody waits for and may take long: purges of many entries, and counting.
    let bulk: Lanes<MongoConnection>
    /// For what nobody should wait behind: the janitor, listing.
    let browser: Lanes<MongoConnection>
    let feed: ChangeFeed
    let bell: Doorbell
    private let listener: Listener<Subscription>
    private let unreadable = Atomic(0)
    let seenRings = Atomic(0)
    let served = Mutex(Set<String>())
    /// The caches whose collections are known to have their indexes.
    let indexed = Mutex(Set<String>())

    /// Finds what is wrong with an address, without connecting.
    /// - Throws: ``EngineURLError``.
    package static func check(_ url: EngineURL) throws(EngineURLError) { _ = try MongoAddress(url) }

    /// Begins to connect, and does not wait for that: the server may come later.
    /// - Parameters:
    ///   - url: see above.
    ///   - sizeLimit: the bytes above which the least recently used entries make room; looked at whenever this process
    ///     has written a sixteenth of it. Default: none. An entry counts with its value, its texts and 256 bytes, a
    ///     removed key that is remembered with 128.
    ///   - time: what waiting for jobs waits on, and where a cache's sequence begins.
    ///   - logger: told of what makes no sense.
    /// - Throws: ``MongoDBBackendError`` when the address makes no sense.
    public init(
        url: String, sizeLimit: Int? = nil, time: any TimeSource = SystemTime(),
        logger: Logger = Logger(label: "perennial.mongodb")
    ) throws(MongoDBBackendError) {
        let address: MongoAddress
        do throws(EngineURLError) {
            address = try MongoAddress(url)
        } catch {
            throw MongoDBBackendError(description: error.description)
        }
        self.sizeLimit = sizeLimit
        pressure = WritePressure(sizeLimit: sizeLimit)
        removals = WritePressure(sizeLimit: sizeLimit)
        self.time = time
        self.logger = logger
        // Two: while the server works for one, this process works for the other.
        let reads = Lanes("perennial.mongodb.read", count: 2) { try MongoConnection(address) }
        self.reads = reads
        writes = Lanes("perennial.mongodb.write", count: 2) { try MongoConnection(address) }
        let watch = ServerWatch(every: address.timeout / 4) { try await reads.perform { try $0.ping() } }
        let patient: @Sendable () throws -> MongoConnection = {
            try MongoConnection(address, patience: max(address.timeout, .seconds(30)))
        }
        bulk = Lanes("perennial.mongodb.bulk", count: 1, batchLimit: 1, watch: watch, open: patient)
        browser = Lanes("perennial.mongodb.browse", count: 1, batchLimit: 1, watch: watch, open: patient)
        let (feed, bell) = (ChangeFeed(), Doorbell())
        (self.feed, self.bell) = (feed, bell)
        let refusals = Refusals()
        let told = ToldOnce()
        listener = Listener(
            "perennial.mongodb.listen",
            open: {
                let subscription = try Subscription(address, feed: feed, bell: bell)
                if subscription.mustPoll, told.isFirst() {
                    logger.warning(
                        "\(address.name) has no change streams, since it is no replica set: memory tiers revalidate, and workers look for jobs, every \(Subscription.pollInterval)"
                    )
                }
                return subscription
            },
            opened: {
                if refusals.end() { logger.notice("changes in MongoDB are heard again") }
                // Something may have happened while nobody listened.
                feed.publish([.missed])
                bell.ring()
            },
            failed: { error in
                guard let refusal = refusals.note(error) else { return }
                logger.warning(
                    "changes in MongoDB can't be heard, so purges by other machines come late: \(refusal)")
            },
            listen: { try $0.listen() })
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
            logger.warning("\(key) in MongoDB makes no sense and is taken for missing; more will only be counted")
        }
    }
}
