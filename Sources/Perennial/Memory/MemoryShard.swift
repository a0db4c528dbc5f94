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

    /// A reader's lock and what it counted, until a writer collects that.
    @usableFromInline
    struct Stripe: ~Copyable {
        @usableFromInline let lock = SpinLock()
        @usableFromInline var hits = 0
        /// How often a use changed a frequency.
        @usableFromInline var notes = 0
    }

    /// - Parameter stripeCount: a power of two.
    init(_ table: Table, stripeCount: Int) {
        self.table = table
        stripeMask = stripeCount - 1
        stripes = .allocate(byteCount: stripeCount * 128, alignment: 128)
        for index in 0..<stripeCount { stripe(index).initialize(to: Stripe()) }
    }

    deinit {
        for index in 0...stripeMask { stripe(index).deinitialize(count: 1) }
        stripes.deallocate()
    }

    /// Neighbours share neither a cache line nor a pair of lines that is fetched together.
    @inlinable @inline(__always)
    func stripe(_ index: Int) -> UnsafeMutablePointer<Stripe> {
        (stripes + index &* 128).assumingMemoryBound(to: Stripe.self)
    }

    /// The stripe the calling thread should take. Which one it is matters only for speed: told by where the thread's
    /// stack is, since that costs nothing.
    @inlinable @inline(__always)
    func ownStripe() -> UnsafeMutablePointer<Stripe> {
        var mark: UInt8 = 0
        let place = withUnsafeMutablePointer(to: &mark) { UInt(bitPattern: $0) >> 20 }
        return stripe(Int(truncatingIfNeeded: UInt64(place) &* 0x9e37_79b9_7f4a_7c15 >> 48) & stripeMask)
    }

    /// Takes all stripes, and collects what their readers counted.
    mutating func lock() {
        for index in 0...stripeMask {
            let stripe = stripe(index)
            stripe.pointee.lock.lock()
            table.hits &+= stripe.pointee.hits
            table.notes &+= stripe.pointee.notes
            (stripe.pointee.hits, stripe.pointee.notes) = (0, 0)
        }
    }

    func unlock() {
        for index in 0...stripeMask { stripe(index).pointee.lock.unlock() }
    }
}
