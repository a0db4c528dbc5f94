internal import Synchronization

/// Purges that the store could not be told of when they were made. Until it has been, this process reads nothing from
/// it: that could be what was purged.
final class OwedPurges: Sendable {
    struct Purge: Hashable {
        var kind: PurgeKind
        var selection: Selection
    }

    /// With more than so many, the whole cache is purged in their place.
    static let limit = 10_000

    private let cache: String
    /// By when it came last: one that comes again while it is paid is still owed.
    private let owed = Locked<[Purge: Int]>([:])
    private let last = Atomic(0)
    private let count = Atomic(0)
    private let settling = Locked<Task<Void, any Error>?>(nil)

    init(cache: String) {
        self.cache = cache
    }

    var isEmpty: Bool { count.load(ordering: .acquiring) == 0 }

    func add(_ purge: Purge) {
        let number = last.add(1, ordering: .relaxed).newValue
        owed.withLock { owed in
            owed[purge] = number
            if owed.count > Self.limit {
                let kind: PurgeKind = owed.keys.contains { $0.kind == .remove } ? .remove : .markStale
                owed = [Purge(kind: kind, selection: .cache(cache)): number]
            }
            count.store(owed.count, ordering: .releasing)
        }
    }

    /// Tells the store of each, once for all who call at the same time.
    /// - Throws: what `pay` throws; what has not been paid is still owed.
    func settle(_ pay: @escaping @Sendable (Purge) async throws -> Void) async throws {
        if isEmpty { return }
        let task = settling.withLock { settling in
            if let settling { return settling }
            let task = Task {
                defer { self.settling.withLock { $0 = nil } }
                for (purge, number) in self.owed.withLock({ $0 }) {
                    try await pay(purge)
                    self.owed.withLock { owed in
                        if owed[purge] == number { owed[purge] = nil }
                        self.count.store(owed.count, ordering: .releasing)
                    }
                }
            }
            settling = task
            return task
        }
        try await task.value
    }
}
