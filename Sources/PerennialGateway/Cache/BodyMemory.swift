internal import NIOConcurrencyHelpers
internal import Synchronization

/// How much memory large bodies may take besides the memory tier, all together: on their way from the origins into the
/// cache, and those that clients have not taken yet. So neither fetches that everybody has left nor clients that take
/// nothing can take all there is.
final class BodyMemory: Sendable {
    /// In bytes.
    let limit: Int
    private let taken = Atomic(0)
    private let held = Atomic(0)
    private let waiters = Atomic(0)

    init(limit: Int) {
        self.limit = limit
    }

    /// In bytes, of all.
    var used: Int { taken.load(ordering: .relaxed) + held.load(ordering: .relaxed) }
    /// Whether clients hold as much as they may: half as much as bodies on their way into the cache may take, which
    /// don't wait for them.
    var isFull: Bool { held.load(ordering: .relaxed) >= limit / 2 }
    /// Whether somebody waits for clients to take what they have.
    var isWanted: Bool { waiters.load(ordering: .relaxed) > 0 }

    /// Takes some if that leaves it within the limit.
    /// - Returns: whether it did; if so, ``release(_:)`` is due.
    func reserve(_ bytes: Int) -> Bool {
        if taken.add(bytes, ordering: .relaxed).newValue <= limit { return true }
        taken.subtract(bytes, ordering: .relaxed)
        return false
    }

    func release(_ bytes: Int) { taken.subtract(bytes, ordering: .relaxed) }

    /// A client holds a body that is there already, even beyond the limit.
    func clientHolds(_ bytes: Int) {
        held.add(bytes, ordering: .relaxed)
    }

    /// It has taken it.
    func clientTook(_ bytes: Int) {
        held.subtract(bytes, ordering: .relaxed)
    }

    func beginWaiting() { waiters.add(1, ordering: .relaxed) }
    func endWaiting() { waiters.subtract(1, ordering: .relaxed) }

    /// For a body that is being fetched.
    func hold() -> Hold { Hold(self) }

    /// What one body takes; free again when nobody has it any more.
    final class Hold: Sendable {
        /// A body is there twice while it is being saved: as it is, and as it is stored.
        private static let copies = 2

        private let memory: BodyMemory
        private let size = NIOLockedValueBox(0)

        fileprivate init(_ memory: BodyMemory) {
            self.memory = memory
        }

        /// - Returns: whether there was memory for so many bytes. There always is for a small body.
        func grow(to bytes: Int) -> Bool {
            if bytes <= CachedResponse.smallBody { return true }
            return size.withLockedValue { size in
                let wanted = bytes * Self.copies
                guard wanted > size else { return true }
                guard memory.reserve(wanted - size) else { return false }
                size = wanted
                return true
            }
        }

        deinit { memory.release(size.withLockedValue { $0 }) }
    }
}
