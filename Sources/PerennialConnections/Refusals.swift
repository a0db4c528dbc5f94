import Synchronization

/// Lets a refusal be said once, though it is met again and again: that others say nothing of it, since it is a listener's
/// alone, or that the server refuses one connection of several.
package final class Refusals: Sendable {
    private let isRefused = Atomic(false)

    package init() {}

    /// - Returns: what is to be said; `nil`: nothing, since it has been said, or is no refusal: that a server is away shows
    ///   elsewhere.
    package func note(_ error: any Error) -> String? {
        guard let error = error as? ConnectionError, error.reason == .refused else { return nil }
        return isRefused.exchange(true, ordering: .relaxed) ? nil : error.description
    }

    /// Whether there was a refusal before.
    package func end() -> Bool { isRefused.exchange(false, ordering: .relaxed) }
}

/// Whether something has been told already.
package final class ToldOnce: Sendable {
    private let hasTold = Atomic(false)

    package init() {}

    package func isFirst() -> Bool { !hasTold.exchange(true, ordering: .relaxed) }
}
