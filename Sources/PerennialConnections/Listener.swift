import Foundation
import Synchronization

/// A connection on which a server tells what happens, with a thread of its own; opened again whenever it ends.
///
/// While there is none, what happens is missed: whoever listens must not trust what it knew before.
package final class Listener<Connection: BlockingConnection>: Sendable {
    private let isClosed = Atomic(false)

    /// Starts to listen at once.
    /// - Parameters:
    ///   - open: connects and subscribes.
    ///   - opened: called each time the subscription stands.
    ///   - failed: called when it could not be opened, or has ended.
    ///   - listen: handles what comes in, for half a second at most; throws when the connection is dead. It must notice one on
    ///     which nothing comes any more.
    package init(
        _ label: String, open: @escaping @Sendable () throws -> Connection,
        opened: @escaping @Sendable () -> Void, failed: @escaping @Sendable (any Error) -> Void = { _ in },
        listen: @escaping @Sendable (Connection) throws -> Void
    ) {
        let thread = Thread { [self] in
            blockBrokenPipes()
            var reconnection = Reconnection()
            while !isClosed.load(ordering: .relaxed) {
                let pause = reconnection.pause(at: .now)
                if pause > .zero {
                    Thread.sleep(forTimeInterval: min(pause, .milliseconds(100)) / .seconds(1))
                    continue
                }
                do {
                    let connection = try open()
                    defer { connection.close() }
                    opened()
                    while !isClosed.load(ordering: .relaxed) {
                        try listen(connection)
                        reconnection.succeeded()
                    }
                } catch {
                    reconnection.failed(at: .now, random: .random(in: 0...1))
                    failed(error)
                }
            }
        }
        thread.name = label
        thread.start()
    }

    /// Ends listening; the connection is closed within half a second.
    package func cancel() {
        isClosed.store(true, ordering: .relaxed)
    }
}
