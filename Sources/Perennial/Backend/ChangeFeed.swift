import Synchronization

/// Hands a store's changes to everybody who listens. A listener who falls far behind is told ``StoreChange/missed``.
package final class ChangeFeed: Sendable {
    private struct Listeners {
        var isFinished = false
        var nextID = 0
        var all: [Int: AsyncStream<[StoreChange]>.Continuation] = [:]
    }

    private let listeners = Mutex(Listeners())

    package init() {}

    /// Whether anybody listens.
    package var isHeard: Bool { listeners.withLock { !$0.all.isEmpty } }

    /// What is published from now on.
    package func subscribe() -> AsyncStream<[StoreChange]> {
        let (stream, continuation) = AsyncStream.makeStream(
            of: [StoreChange].self, bufferingPolicy: .bufferingNewest(256))
        let id: Int? = listeners.withLock { listeners in
            if listeners.isFinished { return nil }
            listeners.nextID += 1
            listeners.all[listeners.nextID] = continuation
            return listeners.nextID
        }
        if let id {
            continuation.onTermination = { [weak self] _ in
                self?.listeners.withLock { _ = $0.all.removeValue(forKey: id) }
            }
        } else {
            continuation.finish()
        }
        return stream
    }

    package func publish(_ changes: [StoreChange]) {
        guard !changes.isEmpty else { return }
        for listener in listeners.withLock({ Array($0.all.values) }) {
            if case .dropped = listener.yield(changes) { listener.yield([.missed]) }
        }
    }

    /// Ends every stream, also those begun later.
    package func finish() {
        let ended = listeners.withLock { listeners in
            listeners.isFinished = true
            defer { listeners.all = [:] }
            return Array(listeners.all.values)
        }
        for listener in ended { listener.finish() }
    }
}
