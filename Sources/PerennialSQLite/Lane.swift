import Dispatch
import Foundation
import GRDB
import Perennial
import Synchronization

/// One connection with a thread of its own, which does all the work that has piled up in one transaction.
///
/// So a hundred tasks that save at once cost one commit, and the cooperative pool never waits for the disk. Each piece
/// of work succeeds or fails by itself: when one fails, the transaction is rolled back and each is done again alone.
///
/// `@unchecked`: `connection` and what belongs to it are touched on `queue` only.
final class Lane: @unchecked Sendable {
    /// A piece of work and those who wait for it.
    private struct Item: Sendable {
        /// - Returns: what to do once the transaction is committed.
        let run: @Sendable (Transaction) throws -> @Sendable () -> Void
        let fail: @Sendable (any Error) -> Void
        /// About how many bytes it writes.
        let weight: Int
    }

    private struct Inbox {
        var items: [Item] = []
        var isDraining = false
    }

    private static let batchLimit = 256
    /// In bytes: what a transaction adds is in the file before anything makes room for it.
    private static let weightLimit = 4 << 20
    private static let pause = Duration.seconds(1)

    private let file: DatabaseFile
    private let role: DatabaseFile.Role
    private let sizeLimit: Int?
    private let queue: DispatchQueue
    private let inbox = Mutex(Inbox())
    private let willCommit: @Sendable (Transaction, Ledger) -> Void
    private let didCommit: @Sendable (Transaction, Ledger) -> Void

    private var connection: DatabaseQueue?
    private var connectionEpoch = 0
    private var lastFailure: (error: any Error, at: ContinuousClock.Instant)?
    /// Another program has held the file's lock for longer than anybody should wait: since when that is known, or was
    /// looked at again.
    private var lockedAt: ContinuousClock.Instant?

    /// - Parameters:
    ///   - sizeLimit: the store's, in bytes: a writer keeps to it in every transaction.
    ///   - willCommit: called with the counters as they were at the start, before each commit that changes them.
    ///   - didCommit: likewise, after it, before anybody learns that the work is done.
    init(
        _ file: DatabaseFile, _ role: DatabaseFile.Role, sizeLimit: Int? = nil,
        willCommit: @escaping @Sendable (Transaction, Ledger) -> Void = { _, _ in },
        didCommit: @escaping @Sendable (Transaction, Ledger) -> Void = { _, _ in }
    ) {
        self.file = file
        self.role = role
        self.sizeLimit = sizeLimit
        self.willCommit = willCommit
        self.didCommit = didCommit
        queue = DispatchQueue(label: "perennial.sqlite.\(role)", qos: .userInitiated)
    }

    /// Does the work in a transaction, together with what others bring at the same time.
    /// - Parameter weight: about how many bytes it writes.
    func perform<Result: Sendable>(
        weight: Int = 0, _ work: @escaping @Sendable (Transaction) throws -> Result
    ) async throws -> Result {
        try await withUnsafeThrowingContinuation { continuation in
            submit(
                Item(
                    run: { transaction in
                        let result = try work(transaction)
                        return { continuation.resume(returning: result) }
                    },
                    fail: { continuation.resume(throwing: $0) }, weight: weight))
        }
    }

    /// The same at once, on the caller's thread, which it blocks: for opening.
    func performNow<Result>(_ work: (Transaction) throws -> Result) throws -> Result {
        try queue.sync {
            do {
                return try openConnection().inDatabase { db in try work(Transaction(db)) }
            } catch let error as DatabaseError where error.isDamage {
                closeConnection()
                try file.replaceDamaged(epoch: connectionEpoch, error: error)
                return try openConnection().inDatabase { db in try work(Transaction(db)) }
            }
        }
    }

    /// Closes the connection when the work before is done.
    func close() async {
        await withCheckedContinuation { continuation in
            queue.async {
                self.closeConnection()
                continuation.resume()
            }
        }
    }

    private func submit(_ item: Item) {
        let isFirst = inbox.withLock { inbox in
            inbox.items.append(item)
            defer { inbox.isDraining = true }
            return !inbox.isDraining
        }
        if isFirst { queue.async { self.drain() } }
    }

    private func nextBatch() -> [Item] {
        inbox.withLock { inbox in
            var weight = 0
            let batch = inbox.items.prefix(Self.batchLimit).prefix { item in
                defer { weight += item.weight }
                return weight < Self.weightLimit
            }
            inbox.isDraining = !batch.isEmpty
            if batch.count == inbox.items.count {
                defer { inbox.items = [] }
                return inbox.items
            }
            defer { inbox.items.removeFirst(batch.count) }
            return Array(batch)
        }
    }

    private func drain() {
        while true {
            // Those who are about to bring more get to do so first: fuller transactions, fewer of them.
            sched_yield()
            let batch = nextBatch()
            if batch.isEmpty { return }
            run(batch)
        }
    }

    private func run(_ batch: [Item], isRepair: Bool = false) {
        let patience = file.lockPatience
        if let lockedAt, .now - lockedAt < patience.pause { return fail(batch, locked) }
        do {
            let dones = try file.waiting(lockedAt == nil ? patience.timeout : LockPatience.whileLocked) {
                try openConnection().inDatabase { db in try commit(batch, db) }
            }
            lockedAt = nil
            if role == .writer { file.writingWorked() } else if file.isReadOnly { closeConnection() }
            for done in dones { done() }
            if role == .writer, let connection { connection.inDatabase { db in file.keepLogShort(db) } }
        } catch let error as DatabaseError where error.isDamage && !isRepair {
            repair(batch, error)
        } catch let error as DatabaseError where error.isAboutAccess {
            // Not when it could not even be opened: the time of that is noted already.
            if connection != nil {
                closeConnection()
                lastFailure = (error, .now)
            }
            fail(batch, error)
        } catch let error as SQLiteBackendError {
            fail(batch, error)
        } catch let error as DatabaseError where error.resultCode == .SQLITE_BUSY {
            // Nothing of the batch has run.
            lockedAt = .now
            fail(batch, locked)
        } catch {
            // One piece of work may have failed all the others.
            if batch.count == 1 {
                if let error = error as? DatabaseError, error.resultCode == .SQLITE_TOOBIG {
                    return batch[0].fail(NotStorable("\(file.path): \(error)"))
                }
                return fail(batch, error)
            }
            for item in batch { run([item], isRepair: isRepair) }
        }
    }

    private var locked: SQLiteBackendError { .locked(path: file.path, for: file.lockPatience.timeout) }

    private func repair(_ batch: [Item], _ error: any Error) {
        closeConnection()
        do {
            try file.replaceDamaged(epoch: connectionEpoch, error: error)
            run(batch, isRepair: true)
        } catch {
            lastFailure = (error, .now)
            fail(batch, error)
        }
    }

    private func fail(_ batch: [Item], _ error: any Error) {
        if role == .writer { file.writingFailed(error) }
        for item in batch { item.fail(error) }
    }

    private func commit(_ batch: [Item], _ db: Database) throws -> [@Sendable () -> Void] {
        try db.run(role == .writer ? "BEGIN IMMEDIATE" : "BEGIN")
        do {
            let transaction = try Transaction(db, sizeLimit: sizeLimit)
            let before = transaction.ledger
            let dones = try batch.map { try $0.run(transaction) }
            if transaction.ledger != before {
                try transaction.keepWithinLimits(since: before)
                try transaction.ledger.write(db)
                willCommit(transaction, before)
            }
            try db.run("COMMIT")
            if transaction.ledger != before { didCommit(transaction, before) }
            return dones
        } catch {
            if db.isInTransaction { _ = try? db.run("ROLLBACK") }
            if db.isInTransaction { closeConnection() }
            throw error
        }
    }

    // MARK: The connection

    private func openConnection() throws -> DatabaseQueue {
        let epoch = file.epoch
        if connectionEpoch != epoch { closeConnection() }
        if let connection { return connection }
        // While it can't be opened, callers learn so at once.
        if let lastFailure, connectionEpoch == epoch, .now - lastFailure.at < Self.pause { throw lastFailure.error }
        connectionEpoch = epoch
        do {
            let opened = try file.open(role)
            connection = opened
            lastFailure = nil
            return opened
        } catch {
            lastFailure = (error, .now)
            throw error
        }
    }

    private func closeConnection() {
        // Closing twice, or a connection that is broken, is nothing to report: what was committed is safe.
        try? connection?.close()
        connection = nil
    }
}
