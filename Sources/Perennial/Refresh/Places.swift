internal import Synchronization

/// A limited number of places: who finds none free does not wait.
struct Places: ~Copyable, Sendable {
    private let free: Atomic<Int>

    init(_ count: Int) {
        free = Atomic(count)
    }

    /// - Returns: whether a place was free; it is then the caller's until ``leave()``.
    func enter() -> Bool {
        if free.subtract(1, ordering: .relaxed).newValue >= 0 { return true }
        leave()
        return false
    }

    func leave() {
        free.add(1, ordering: .relaxed)
    }
}
