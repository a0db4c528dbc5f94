/// How many requests of the last moments there were, and how many of them failed: a sliding window in ten parts, of
/// which the oldest goes when a new one begins.
struct FailureWindow: Sendable {
    struct Counts: Hashable, Sendable {
        var asked = 0
        var failed = 0
        /// Those of `failed` that are about the whole origin.
        var ofOrigin = 0
    }

    private static let partCount = 10

    /// In milliseconds.
    private let partLength: Int64
    private var parts: [Counts]
    /// The number of the newest part, counted from the epoch.
    private var newest: Int64
    /// What all parts have together, as of the last call that was given a time.
    private(set) var total = Counts()

    init(_ length: Duration, at now: Timestamp) {
        partLength = max(1, length.milliseconds / Int64(Self.partCount))
        parts = Array(repeating: Counts(), count: Self.partCount)
        newest = now.milliseconds / partLength
    }

    mutating func add(_ counts: Counts, at now: Timestamp) {
        advance(to: now)
        let place = place(of: newest)
        parts[place].asked += counts.asked
        parts[place].failed += counts.failed
        parts[place].ofOrigin += counts.ofOrigin
        total.asked += counts.asked
        total.failed += counts.failed
        total.ofOrigin += counts.ofOrigin
    }

    /// Leaves out what is older than the window. A clock that was set back by more than the window's length empties it;
    /// by less, what happens counts as happening in the newest part.
    mutating func advance(to now: Timestamp) {
        let part = now.milliseconds / partLength
        let steps = part.subtractingSaturated(newest)
        guard steps > 0 || steps <= -Int64(Self.partCount) else { return }
        if steps < 0 || steps >= Int64(Self.partCount) {
            for place in parts.indices { parts[place] = Counts() }
            total = Counts()
        } else {
            for step in 1...steps {
                let place = place(of: newest + step)
                total.asked -= parts[place].asked
                total.failed -= parts[place].failed
                total.ofOrigin -= parts[place].ofOrigin
                parts[place] = Counts()
            }
        }
        newest = part
    }

    private func place(of part: Int64) -> Int {
        let count = Int64(Self.partCount)
        return Int((part % count + count) % count)
    }
}
