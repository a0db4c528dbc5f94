internal import NIOConcurrencyHelpers

/// The memory that bodies take on their way from the origins into the cache: bounded for all of them together, so that many fetches
/// at a time, which may have been left by those who wanted them, can't take all there is.
final class BodyMemory: Sendable {
    /// In bytes.
    let limit: Int
    private let taken = NIOLockedValueBox(0)

    init(limit: Int) {
        self.limit = limit
    }

    /// In bytes.
    var inUse: Int { taken.withLockedValue { $0 } }

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

        /// - Returns: whether there was memory for so many bytes.
        func grow(to bytes: Int) -> Bool {
            size.withLockedValue { size in
                let wanted = bytes * Self.copies
                if wanted <= size { return true }
                let more = wanted - size
                let fits = memory.taken.withLockedValue { taken in
                    guard taken + more <= memory.limit else { return false }
                    taken += more
                    return true
                }
                if fits { size = wanted }
                return fits
            }
        }

        deinit {
            let size = size.withLockedValue { $0 }
            if size > 0 { memory.taken.withLockedValue { $0 -= size } }
        }
    }
}
