/// When the last requests began, as many as may begin within one stretch of time: so that no stretch of that length,
/// wherever it begins, has more of them. A bucket of tokens would let twice as many through: a full one, and what comes
/// in meanwhile.
struct RecentStarts: Sendable {
    /// The longest list of times that is kept.
    private static let most = 100_000

    private let limit: Int
    private let stretch: Duration
    /// A ring: the oldest is at `next` once it is full.
    private var times: [Timestamp] = []
    private var next = 0

    /// A stretch is a hundredth longer than the rate says: what begins in time may still arrive early.
    init(_ rate: OriginGuard.Rate) {
        limit = Int(min(rate.burst.rounded(.down), Double(Self.most)))
        let milliseconds = Double(limit) / rate.perSecond * 1010
        stretch = .milliseconds(Int64(min(milliseconds.rounded(.up), 1e15)))
    }

    /// When the next one may begin; `nil`: now.
    mutating func wait(at now: Timestamp) -> Timestamp? {
        // A clock set back costs the turns of that time, never adds any, and does not stop anybody for longer.
        let newest = times.isEmpty ? nil : times[(next + times.count - 1) % times.count]
        if let newest, newest > now { times = times.map { min($0, now) } }
        guard times.count == limit else { return nil }
        let end = times[next] + stretch
        return end > now ? end : nil
    }

    mutating func add(_ now: Timestamp) {
        if times.count < limit {
            times.append(now)
        } else {
            times[next] = now
            next = (next + 1) % limit
        }
    }
}
