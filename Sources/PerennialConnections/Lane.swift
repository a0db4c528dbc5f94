import Dispatch
internal import Perennial
import Synchronization

/// One connection with a thread of its own, which does all the work that has piled up as one batch.
///
/// The connection is opened when the first work comes, and again when it has broken. While it can't be opened, work fails at
/// once, and is tried again after a growing pause (``Reconnection``).
///
/// `@unchecked`: `connection` and `reconnection` are touched on `queue` only.
package final class Lane<Connection: BlockingConnection>: @unchecked Sendable {
    /// A piece of work and those who wait for it.
    private struct Item: Sendable {
        /// Whether it does no harm to do it again when nobody knows whether it was done.
        let canRepeat: Bool
        let begin: (@Sendable (Connection) throws -> Void)?
        /// - Returns: what to do once the batch has ended well.
        let end: @Sendable (Connection) throws -> @Sendable () -> Void
        let fail: @Sendable (any Error) -> Void
    }

    private struct Inbox {
        var items: [Item] = []
        var isDraining = false
        var isClosed = false
    }

    private let label: String
    private let batchLimit: Int
    private let open: @Sendable () throws -> Connection
    private let queue: DispatchQueue
    private let inbox = Mutex(Inbox())

    private var connection: Connection?
    private var reconnection = Reconnection()
    private var lastFailure: (any Error)?

    /// - Parameters:
    ///   - label: names the thread.
    ///   - batchLimit: how many pieces of work go together at most.
    ///   - open: connects; called on the lane's thread.
    package init(_ label: String, batchLimit: Int = 256, open: @escaping @Sendable () throws -> Connection) {
        self.label = label
        self.batchLimit = batchLimit
        self.open = open
        queue = DispatchQueue(label: label, qos: .userInitiated)
    }

    /// Connects now, so that the first work needs not wait for that. A failure is left to that work.
    package func warmUp() {
        queue.async { [self] in withoutBrokenPipes { _ = try? openConnection() } }
    }

    /// Does a piece of work together with what others bring at the same time: of a batch, all is begun before the first is
    /// ended, so that requests go out together and answers come back together.
    /// - Parameters:
    ///   - canRepeat: whether it does no harm to do it twice. Such work is done again on a new connection when the one that had
    ///     been open since before turns out to be dead.
    ///   - begin: sends.
    ///   - end: receives what `begin` asked for, or does all of the work.
    package func perform<Result: Sendable>(
        canRepeat: Bool = true, begin: (@Sendable (Connection) throws -> Void)? = nil,
        end: @escaping @Sendable (Connection) throws -> Result
    ) async throws -> Result {
        try await withUnsafeThrowingContinuation { continuation in
            submit(
                Item(
                    canRepeat: canRepeat, begin: begin,
                    end: { connection in
                        let result = try end(connection)
                        return { continuation.resume(returning: result) }
                    },
                    fail: { error in
                        let isAboutItAlone = (error as? ConnectionError)?.reason == .notStorable
                        continuation.resume(throwing: isAboutItAlone ? NotStorable("\(error)") : error)
                    }))
        }
    }

    /// How much work waits.
    var backlog: Int { inbox.withLock { $0.items.count + ($0.isDraining ? 1 : 0) } }

    /// Does what was brought, then closes the connection. Work brought later fails.
    package func close() async {
        inbox.withLock { $0.isClosed = true }
        await withUnsafeContinuation { continuation in
            queue.async { [self] in
                drain()
                withoutBrokenPipes { closeConnection() }
                continuation.resume()
            }
        }
    }

    private func submit(_ item: Item) {
        let (isClosed, mustStart) = inbox.withLock { inbox in
            if inbox.isClosed { return (true, false) }
            inbox.items.append(item)
            defer { inbox.isDraining = true }
            return (false, !inbox.isDraining)
        }
        if isClosed { return item.fail(ConnectionError(.closed, "\(label) was closed")) }
        if mustStart { queue.async { self.drain() } }
    }

    // MARK: On the thread

    private func drain() {
        while true {
            let batch = inbox.withLock { inbox in
                let batch = Array(inbox.items.prefix(batchLimit))
                inbox.items.removeFirst(batch.count)
                if batch.isEmpty { inbox.isDraining = false }
                return batch
            }
            if batch.isEmpty { return }
            withoutBrokenPipes { run(batch) }
        }
    }

    private func run(_ batch: [Item]) {
        let isFresh = connection == nil
        let opened: Connection
        do {
            opened = try openConnection()
        } catch {
            return fail(batch, error)
        }
        guard let broken = attempt(batch, opened) else { return }
        closeConnection()
        // It may have been dead for long: the server was restarted, or a firewall forgot it.
        if !isFresh, (broken.error as? ConnectionError)?.reason != .timedOut {
            fail(broken.left.filter { !$0.canRepeat }, broken.error)
            let again = broken.left.filter(\.canRepeat)
            if !again.isEmpty { run(again) }
        } else {
            noteFailure(broken.error)
            fail(broken.left, broken.error)
        }
    }

    /// - Returns: `nil` when the connection is still good; else why not, and what is not known to be done.
    private func attempt(
        _ batch: [Item], _ connection: Connection, isLast: Bool = false
    ) -> (left: [Item], error: any Error)? {
        /// What the server did nothing of.
        var again: [Item] = []
        /// How each piece of work ended: what to do then. `nil`: not yet.
        var ends: [(@Sendable () -> Void)?] = batch.map { _ in nil }
        /// Work that fails by itself doesn't end the batch, unless the batch is atomic.
        func step(_ index: Int, _ work: (Item) throws -> (@Sendable () -> Void)?) throws {
            let item = batch[index]
            do {
                ends[index] = try work(item)
            } catch  where connection.isUsable && !Connection.isAtomic {
                if !isLast, (error as? ConnectionError)?.reason == .notDone {
                    again.append(item)
                    ends[index] = {}
                } else {
                    ends[index] = { item.fail(error) }
                }
            }
        }
        do {
            try connection.beginBatch()
            for index in batch.indices {
                try step(index) { item in
                    try item.begin?(connection)
                    return nil
                }
            }
            for index in batch.indices where ends[index] == nil {
                try step(index) { try $0.end(connection) }
            }
            try connection.endBatch()
        } catch {
            if connection.isUsable { return repeatAlone(batch, connection, error) }
            if Connection.isAtomic { return (batch, error) }
            for end in ends { end?() }
            return (again + batch.indices.filter { ends[$0] == nil }.map { batch[$0] }, error)
        }
        for end in ends { end?() }
        return again.isEmpty ? nil : attempt(again, connection, isLast: true)
    }

    /// One piece of work may have failed all the others.
    private func repeatAlone(
        _ batch: [Item], _ connection: Connection, _ error: any Error
    ) -> (left: [Item], error: any Error)? {
        connection.abandonBatch()
        if batch.count == 1, connection.isUsable {
            batch[0].fail(error)
            return nil
        }
        for index in batch.indices {
            if !connection.isUsable { return (Array(batch[index...]), error) }
            if let broken = attempt([batch[index]], connection) {
                return (broken.left + batch[(index + 1)...], broken.error)
            }
        }
        return nil
    }

    private func fail(_ items: [Item], _ error: any Error) {
        for item in items { item.fail(error) }
    }

    // MARK: The connection

    private func openConnection() throws -> Connection {
        if let connection { return connection }
        if let lastFailure, !reconnection.mayTry(at: .now) { throw lastFailure }
        do {
            let opened = try open()
            connection = opened
            lastFailure = nil
            reconnection.succeeded()
            return opened
        } catch {
            noteFailure(error)
            throw error
        }
    }

    private func noteFailure(_ error: any Error) {
        lastFailure = error
        reconnection.failed(at: .now, random: .random(in: 0...1))
    }

    private func closeConnection() {
        connection?.close()
        connection = nil
    }
}
