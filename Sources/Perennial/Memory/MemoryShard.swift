/// One of the memory tier's independent parts: a table, and a lock that many readers may hold at once.
///
/// The lock is a row of *stripes*, each a ``SpinLock`` in a cache line of its own. A reader takes the one stripe its
/// thread usually takes, so that readers on different cores write to different lines; a writer takes all of them. What
/// a reader changes is its stripe's counts, and, as relaxed atomics, the ``EntryUse`` of the entry it found.
@usableFromInline
struct MemoryShard<Key: Hashable & Sendable, Element: Sendable>: ~Copyable {
    @usableFromInline typealias Table = MemoryTable<Key, Element>

    /// Changed only by who holds all stripes; read by who holds one.
    @usableFromInline var table: Table
    /// Allocated here and never changed.
    @usableFromInline let stripes: UnsafeMutableRawPointer
    @usableFromInline let stripeMask: Int

    /// Where a reader's lock is, and what it counted until a writer collects that. A cache line, and the neighbour that is
    /// fetched with it, belong to it alone.
    @usableFromInline
    struct Stripe {
        @inlinable static var size: Int { 128 }
        @usableFromInline let base: UnsafeMutableRawPointer

        @inlinable @inline(__always)
        init(base: UnsafeMutableRawPointer) {
            self.base = base
        }

        @inlinable @inline(__always)
        var lock: UnsafeMutablePointer<SpinLock> { base.assumingMemoryBound(to: SpinLock.self) }

        @inlinable @inline(__always)
        var counts: UnsafeMutablePointer<ReaderCounts> { (base + 16).assumingMemoryBound(to: ReaderCounts.self) }
    }

    @usableFromInline
    struct ReaderCounts {
        @usableFromInline var hits = 0
        /// How often a use changed a frequency.
        @usableFromInline var notes = 0
    }

    /// - Parameter stripeCount: a power of two.
    init(_ table: Table, stripeCount: Int) {
        self.table = table
        stripeMask = stripeCount - 1
        stripes = .allocate(byteCount: stripeCount * Stripe.size, alignment: Stripe.size)
        for index in 0..<stripeCount {
            stripe(index).lock.initialize(to: SpinLock())
            stripe(index).counts.initialize(to: ReaderCounts())
        }
    }

    deinit {
        for index in 0...stripeMask { stripe(index).lock.deinitialize(count: 1) }
        stripes.deallocate()
    }

    @inlinable @inline(__always)
    func stripe(_ index: Int) -> Stripe {
        Stripe(base: stripes + index &* Stripe.size)
    }

    /// The stripe the calling thread should take. Which one it is matters only for speed: told by where the thread's
    /// stack is, since that costs nothing.
    @inlinable @inline(__always)
    func ownStripe() -> Stripe {
        var mark: UInt8 = 0
        let place = withUnsafeMutablePointer(to: &mark) { UInt(bitPattern: $0) >> 20 }
        return stripe(Int(truncatingIfNeeded: UInt64(place) &* 0x9e37_79b9_7f4a_7c15 >> 48) & stripeMask)
    }

    /// Takes all stripes.
    func lock() {
        for index in 0...stripeMask { stripe(index).lock.pointee.lock() }
    }

    /// Adds what readers counted to the table's counts. For who holds all stripes.
    mutating func collectCounts() {
        for index in 0...stripeMask {
            let counts = stripe(index).counts
            table.hits &+= counts.pointee.hits
            table.notes &+= counts.pointee.notes
            counts.pointee = ReaderCounts()
        }
    }

    func unlock() {
        for index in 0...stripeMask { stripe(index).lock.pointee.unlock() }
    }
}
