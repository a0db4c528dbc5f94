internal import Synchronization

/// How much memory large bodies may take besides the memory tier: bodies that clients have not taken yet, and what else
/// reserves some.
final class BodyMemory: Sendable {
    /// In bytes.
    let limit: Int
    private let taken = Atomic(0)
    private let waiters = Atomic(0)

    init(limit: Int) {
        self.limit = limit
    }

    /// In bytes.
    var used: Int { taken.load(ordering: .relaxed) }
    var isFull: Bool { used >= limit }
    /// Whether somebody waits for some.
    var isWanted: Bool { waiters.load(ordering: .relaxed) > 0 }

    /// Takes some if that leaves it within the limit.
    /// - Returns: whether it did; if so, ``release(_:)`` is due.
    func reserve(_ bytes: Int) -> Bool {
        if taken.add(bytes, ordering: .relaxed).newValue <= limit { return true }
        taken.subtract(bytes, ordering: .relaxed)
        return false
    }

    /// Takes what is there already, even beyond the limit.
    func add(_ bytes: Int) { taken.add(bytes, ordering: .relaxed) }

    func release(_ bytes: Int) { taken.subtract(bytes, ordering: .relaxed) }

    func beginWaiting() { waiters.add(1, ordering: .relaxed) }
    func endWaiting() { waiters.subtract(1, ordering: .relaxed) }
}
