import GRDB
import Perennial
import Synchronization

/// Tells this process what was written: what it wrote itself at once, what others wrote within a twentieth of a second.
///
/// Others' writes show in the ledger. While every number in it since the last look is this process's own, there is
/// nothing to read.
final class Watch: Sendable {
    private struct Own {
        /// The newest generation that this process wrote.
        var sequence: Int64 = 0
        /// How many jobs it added.
        var jobsAdded: Int64 = 0
        /// Up to this generation there may be something that others wrote, or that the feed was not told.
        var foreign: Int64 = 0
    }

    private struct Seen {
        var sequence: Int64 = 0
        /// How many jobs other processes had added.
        var foreignJobs: Int64 = 0
        var epoch = 0
    }

    /// More changes than this at once are reported as ``StoreChange/missed``.
    private static let limit = 5_000

    let feed = ChangeFeed()
    let bell = Doorbell()
    private let own = Mutex(Own())
    private let seen = Mutex(Seen())

    /// From here on changes are told.
    func begin(_ ledger: Ledger, epoch: Int) {
        seen.withLock { $0 = Seen(sequence: ledger.sequence, foreignJobs: ledger.jobsAdded, epoch: epoch) }
    }

    func willCommit(_ transaction: Transaction, _ before: Ledger) {
        own.withLock { own in
            if own.sequence != before.sequence { own.foreign = before.sequence }
            own.sequence = transaction.ledger.sequence
            own.jobsAdded += transaction.ledger.jobsAdded - before.jobsAdded
            if transaction.hasManyChanges { own.foreign = transaction.ledger.sequence }
        }
    }

    func didCommit(_ transaction: Transaction, _ before: Ledger) {
        if !transaction.changes.isEmpty, feed.isHeard { feed.publish(transaction.changes) }
        if transaction.ledger.jobsAdded != before.jobsAdded { bell.ring() }
    }

    /// Looks for what other processes wrote.
    /// - Parameter epoch: that of the file that the transaction reads.
    func look(_ transaction: Transaction, epoch: Int) throws {
        let ledger = transaction.ledger
        let (last, known) = seen.withLock { ($0, own.withLock { $0 }) }
        let isOtherFile = last.epoch != epoch || ledger.sequence < last.sequence
        let foreignJobs = ledger.jobsAdded - known.jobsAdded
        if foreignJobs != last.foreignJobs || isOtherFile { bell.ring() }
        if isOtherFile {
            feed.publish([.missed])
        } else if ledger.sequence > last.sequence, feed.isHeard {
            let isAllOwn = known.foreign <= last.sequence && known.sequence >= ledger.sequence
            if !isAllOwn { feed.publish(try changes(transaction, after: last.sequence)) }
        }
        seen.withLock { $0 = Seen(sequence: ledger.sequence, foreignJobs: foreignJobs, epoch: epoch) }
    }

    private func changes(_ transaction: Transaction, after sequence: Int64) throws -> [StoreChange] {
        if transaction.ledger.unnamed > sequence { return [.missed] }
        var changes: [StoreChange] = []
        for table in ["entry", "removed"] {
            try transaction.db.forEach(
                "SELECT cache, key, generation FROM \(table) WHERE generation > ? ORDER BY generation LIMIT ?",
                sequence,
                Self.limit + 1
            ) { row in
                changes.append(.written(EntryKey(cache: row.text(0), key: row.text(1)), Generation(row.integer(2))))
            }
        }
        return changes.count > Self.limit ? [.missed] : changes
    }
}
