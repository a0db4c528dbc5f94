internal import Synchronization

/// How many connections there are, on all event loops.
final class ConnectionCount: Sendable {
    private let limit: Int
    private let count = Atomic(0)

    init(limit: Int) {
        self.limit = limit
    }

    /// Counts one that was opened.
    /// - Returns: whether there may be so many.
    func enter() -> Bool { count.add(1, ordering: .relaxed).newValue <= limit }

    /// Counts one that was closed.
    func leave() { count.subtract(1, ordering: .relaxed) }
}
