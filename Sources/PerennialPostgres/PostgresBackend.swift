public import Logging
public import Perennial
package import PerennialConnections
import Synchronization

/// Entries and refresh jobs in a PostgreSQL database, which many machines share.
///
/// ```swift
/// let backend = try PostgresBackend(url: "postgres://app:secret@db.internal/app?schema=cache")
/// ```
///
/// The address is libpq's own (`postgres://USER:PASSWORD@HOST:PORT/DATABASE`, TLS by `sslmode` and its kin included),
/// with three more options:
/// - `schema` (small letters, digits and `_`; default: `perennial`): where the tables lie. They are made by the first
///   who comes.
/// - `tables` (`logged` or `unlogged`; default: `logged`): whether they have a write-ahead log. Without one writing is
///   faster, standbys have nothing, and a crash of the server empties them. It counts when the tables are made.
/// - `timeout` (seconds, default: 1): how long connecting, and one call, may take.
///
/// **What it promises.** With logged tables, what was confirmed survives a crash of the server, as `synchronous_commit`
/// says. Every change is one transaction, so of all machines one wins; what many tasks of a process do at the same time
/// shares a transaction. Other machines' memory tiers hear of a change by `LISTEN`/`NOTIFY` when it is committed; after
/// a lost connection they revalidate all they have. A purge is one transaction, however much it removes; savers wait
/// for it.
///
/// **Poolers.** Prepared statements, settings and `LISTEN` belong to the connection, so it does not work behind a
/// pooler in transaction mode, and says so when it meets one. Each process has seven connections.
///
/// **Looking in.** The view `entries` shows what is there: `SELECT * FROM perennial.entries`.
///
/// **Threads.** Seven connections with a thread each: two for reading, two for writing, one for purges of many entries and
/// for counting, one for the janitor and looking through, one that listens.
public final class PostgresBackend: Sendable {
    let sizeLimit: Int?
    let pressure: WritePressure
    /// Of removals alone: what they leave is looked at by itself.
    let removals: WritePressure
    let time: any TimeSource
    private let logger: Logger
    let reads: Lanes<PostgresConnection>
    let writes: Lanes<PostgresConnection>
    /// For what somebody waits for and may take long: purges of many entries, and counting.
    let bulk: Lanes<PostgresConnection>
    /// For what nobody should wait behind: the janitor, listing.
    let browser: Lanes<PostgresConnection>
    let feed: ChangeFeed
    let bell: Doorbell
    private let listener: Listener<PostgresConnection>
    private let unreadable = Atomic(0)
    let seenRings = Atomic(0)
    let served = Mutex(Set<String>())

    /// Finds what is wrong with an address, without connecting.
    /// - Throws: ``EngineURLError``.
    package static func check(_ url: EngineURL) throws(EngineURLError) { _ = try PostgresAddress(url) }

    /// Begins to connect, and does not wait for that: the server may come later.
    /// - Parameters:
    ///   - url: see above.
    ///   - sizeLimit: the bytes above which the least recently used entries make room; looked at whenever this process
    ///     has written a sixteenth of it. Default: none. An entry counts with its value, its texts and 256 bytes, a
    ///     removed key that is remembered with its texts and 64.
    ///   - time: what waiting for jobs waits on.
    ///   - logger: told of what makes no sense.
    /// - Throws: ``PostgresBackendError`` when the address makes no sense.
    public init(
        url: String, sizeLimit: Int? = nil, time: any TimeSource = SystemTime(),
        logger: Logger = Logger(label: "perennial.postgres")
    ) throws(PostgresBackendError) {
        let address: PostgresAddress
        do throws(EngineURLError) {
            address = try PostgresAddress(url)
        } catch {
            throw PostgresBackendError(description: error.description)
        }
        self.sizeLimit = sizeLimit
        pressure = WritePressure(sizeLimit: sizeLimit)
        removals = WritePressure(sizeLimit: sizeLimit)
        self.time = time
        self.logger = logger
        // Two: while the server works for one, this process works for the other.
        let reads = Lanes("perennial.postgres.read", count: 2) { try PostgresConnection(address) }
        self.reads = reads
        writes = Lanes("perennial.postgres.write", count: 2) { try PostgresConnection(address) }
        let watch = ServerWatch(every: address.timeout / 4) {
            try await reads.perform(
                begin: { try $0.send(Statements.nothing, Parameters()) }, end: { _ = try $0.rows() })
        }
        let patient: @Sendable () throws -> PostgresConnection = {
            try PostgresConnection(address, patience: max(address.timeout, .seconds(30)), readsTags: true)
        }
        bulk = Lanes("perennial.postgres.bulk", count: 1, batchLimit: 1, watch: watch, open: patient)
        browser = Lanes("perennial.postgres.browse", count: 1, batchLimit: 1, watch: watch, open: patient)
        let (feed, bell) = (ChangeFeed(), Doorbell())
        (self.feed, self.bell) = (feed, bell)
        let refusals = Refusals()
        let subscription = Subscription(schema: address.schema, feed: feed, bell: bell)
        listener = Listener(
            "perennial.postgres.listen",
            open: {
                let connection = try PostgresConnection(address, isListener: true)
                try subscription.begin(connection)
                return connection
            },
            opened: {
                if refusals.end() { logger.notice("changes in PostgreSQL are heard again") }
                // Something may have happened while nobody listened.
                feed.publish([.missed])
                bell.ring()
            },
            failed: { error in
                guard let refusal = refusals.note(error) else { return }
                logger.warning(
                    "changes in PostgreSQL can't be heard, so purges by other machines come late: \(refusal)")
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
            logger.warning("\(key) in PostgreSQL makes no sense and is taken for missing; more will only be counted")
        }
    }

    /// Runs one statement on the lane for writing.
    func run<Result: Sendable>(
        _ statement: Statement, on lane: Lanes<PostgresConnection>? = nil, canRepeat: Bool = true,
        _ parameters: @Sendable (inout Parameters) -> Void, take: @escaping @Sendable (Rows) throws -> Result
    ) async throws -> Result {
        var values = Parameters()
        parameters(&values)
        let known = values
        return try await (lane ?? writes).perform(
            canRepeat: canRepeat, begin: { try $0.send(statement, known) }, end: { try take($0.rows()) })
    }
}
