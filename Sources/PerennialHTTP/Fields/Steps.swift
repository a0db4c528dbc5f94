#if DEBUG
    internal import Synchronization
#endif

/// Counts the work of the scanners in this module, so that a test can see that it grows no faster than the input.
///
/// A step is a look at a byte of a text (``Swift/StringProtocol/bytes``), at a byte of a `Span`, or a comparison of two
/// names. Hashing, copies made by the standard library, and comparisons of whole strings are not counted. Release
/// builds count nothing.
package enum Steps {
    #if DEBUG
        private final class Counter: Sendable {
            let steps = Atomic(0)
        }

        @TaskLocal private static var counter: Counter?
        /// How many are counting: nearly always nobody.
        private static let counting = Atomic(0)

        /// How many steps `work` takes, on the caller's task alone.
        package static func counted(_ work: () throws -> Void) rethrows -> Int {
            let counter = Counter()
            counting.add(1, ordering: .relaxed)
            defer { counting.subtract(1, ordering: .relaxed) }
            try $counter.withValue(counter) { try work() }
            return counter.steps.load(ordering: .relaxed)
        }
    #endif

    @inline(__always)
    static func take() {
        #if DEBUG
            if counting.load(ordering: .relaxed) > 0 { counter?.steps.add(1, ordering: .relaxed) }
        #endif
    }
}

/// Bytes of which each look is a step.
struct CountedBytes<Base: Collection<UInt8>>: Collection {
    let base: Base

    init(_ base: Base) {
        self.base = base
    }

    var startIndex: Base.Index { base.startIndex }
    var endIndex: Base.Index { base.endIndex }
    var count: Int { base.count }
    var isEmpty: Bool { base.isEmpty }

    subscript(position: Base.Index) -> UInt8 {
        Steps.take()
        return base[position]
    }

    subscript(bounds: Range<Base.Index>) -> CountedBytes<Base.SubSequence> {
        CountedBytes<Base.SubSequence>(base[bounds])
    }

    func index(after index: Base.Index) -> Base.Index { base.index(after: index) }
    func index(_ index: Base.Index, offsetBy distance: Int) -> Base.Index { base.index(index, offsetBy: distance) }
    func index(_ index: Base.Index, offsetBy distance: Int, limitedBy limit: Base.Index) -> Base.Index? {
        base.index(index, offsetBy: distance, limitedBy: limit)
    }
    func distance(from start: Base.Index, to end: Base.Index) -> Int { base.distance(from: start, to: end) }
}

extension CountedBytes: BidirectionalCollection where Base: BidirectionalCollection {
    func index(before index: Base.Index) -> Base.Index { base.index(before: index) }
}

extension CountedBytes: RandomAccessCollection where Base: RandomAccessCollection {}

extension StringProtocol {
    /// The UTF-8 of this text, as scanners read it.
    var bytes: CountedBytes<UTF8View> { CountedBytes(utf8) }
}

#if DEBUG
    extension Span<UInt8> {
        /// The byte at `position`: in this module taken in place of the standard library's, which doesn't count.
        subscript(_ position: Int) -> UInt8 {
            Steps.take()
            return withUnsafeBufferPointer { $0[position] }
        }
    }
#endif
