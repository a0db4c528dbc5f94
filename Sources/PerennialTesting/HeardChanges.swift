import Perennial
import Synchronization

/// What a cache has heard from its store's change feed, and has acted on.
final class HeardChanges: Sendable {
    private struct State {
        var newest: [String: Generation] = [:]
        var missesBegun = 0
        var missesEnded = 0
        var inHand: [StoreChange] = []

        mutating func begin(_ changes: [StoreChange]) {
            inHand = changes
            if changes.contains(.missed) { missesBegun += 1 }
        }

        mutating func end() {
            for case .written(let key, let generation) in inHand {
                newest[key.key] = max(newest[key.key] ?? .zero, generation)
            }
            missesEnded = missesBegun
            inHand = []
        }
    }

    private let state = Mutex(State())

    /// How often the cache was told ``StoreChange/missed``.
    var missesBegun: Int { state.withLock { $0.missesBegun } }
    /// How often it has acted on that.
    var missesEnded: Int { state.withLock { $0.missesEnded } }

    /// The newest write of a key that the cache has acted on.
    func newest(_ key: String) -> Generation {
        state.withLock { $0.newest[key] ?? .zero }
    }

    /// The same changes, for one listener: when it asks for the next, it has acted on those before.
    func noting(_ changes: AsyncStream<[StoreChange]>) -> AsyncStream<[StoreChange]> {
        AsyncStream { [self] in
            state.withLock { $0.end() }
            var iterator = changes.makeAsyncIterator()
            guard let some = await iterator.next() else { return nil }
            state.withLock { $0.begin(some) }
            return some
        }
    }
}
