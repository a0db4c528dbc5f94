/// Finds how large the window should be: a few percent where frequency tells best what will be asked for again, most of
/// the limit where recency does. It climbs: a step in one direction, and on if the hit ratio rose, back if it fell
/// (Einziger, Eytan, Friedman, Manes: "Adaptive Software Cache Management", 2018).
struct WindowClimber {
    /// The window's part of the limits, from 0 to 1.
    var share = 0.01
    /// A step as long as the first is taken again when the hit ratio changes by 0.05: another kind of load has come.
    private static let firstStep = 0.04
    private var step = WindowClimber.firstStep
    private var ratio = 0.0
    private var hits = 0
    private var requests = 0
    private var samples = 0

    init() {}

    /// Considers another step once there have been enough requests since the last.
    /// - Parameters:
    ///   - hits: so far.
    ///   - requests: so far.
    ///   - entries: how many the shard holds.
    mutating func climb(hits: Int, requests: Int, entries: Int) {
        let sample = requests &- self.requests
        guard sample >= 5 * max(entries, 64) else { return }
        let ratio = Double(hits &- self.hits) / Double(sample)
        (self.hits, self.requests) = (hits, requests)
        defer { self.ratio = ratio }
        samples += 1
        guard samples > 1 else { return }
        let change = ratio - self.ratio
        if samples > 2, change < 0 { step = -step }
        if abs(change) >= 0.05 {
            step = (step < 0 ? -1 : 1) * Self.firstStep
        } else {
            step *= 0.9
        }
        share = min(max(share + step, 0.01), 0.8)
    }
}
