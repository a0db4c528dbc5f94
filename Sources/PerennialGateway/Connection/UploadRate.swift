internal import NIOCore

/// Whether a client sends the body of its request fast enough, on average over the time in which it could have.
///
/// Times in which the gateway itself does not read, because the origin does not take more yet, don't count.
struct UploadRate {
    /// For so long nothing is asked of a client.
    static let grace = TimeAmount.seconds(10)

    /// In bytes a second, more than 0.
    private let least: Int64
    private var received: Int64 = 0
    /// How long it was the client's turn before `since`.
    private var taken = TimeAmount.zero
    /// It is the client's turn since then; `nil`: it isn't.
    private var since: NIODeadline?

    init(least: Int, now: NIODeadline) {
        self.least = Int64(least)
        since = now
    }

    mutating func note(_ bytes: Int) { received += Int64(bytes) }

    mutating func pause(_ now: NIODeadline) {
        guard let since else { return }
        taken = taken + (now - since)
        self.since = nil
    }

    mutating func resume(_ now: NIODeadline) {
        since = since ?? now
    }

    /// How long the client may still take if it sends nothing more; 0 and less: it is too slow. `nil`: it isn't its
    /// turn.
    func timeLeft(_ now: NIODeadline) -> TimeAmount? {
        guard let since else { return nil }
        // As many bytes as a year's worth are enough for ever.
        let paid = min(received / least, 31_536_000) * 1_000_000_000 + received % least * 1_000_000_000 / least
        return Self.grace + .nanoseconds(paid) - taken - (now - since)
    }
}
