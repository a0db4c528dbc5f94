/// Whether one scope is asked, an address or a whole origin: always, not before a time, or by one request that tries.
struct Circuit: Hashable, Sendable {
    enum Phase: Hashable, Sendable {
        case closed
        /// Nothing is asked before `until`; the first request after that tries.
        case open(Interval)
        /// One request finds out whether it works again; when that never ends, another one tries.
        case probing(number: Int, since: Timestamp)
    }

    private(set) var phase = Phase.closed
    /// How long the last pause was.
    private(set) var pause = Duration.zero
    /// When it opened, whatever pauses there were since.
    private(set) var openSince: Timestamp?
    /// Why it opened, or stayed open.
    private(set) var reason = ""
    /// The endpoints that have been tried in vain since the last pause.
    private(set) var failedProbes: Set<String> = []

    var isClosed: Bool { phase == .closed }

    /// Until when it is not asked; `nil`: it may be asked now.
    func refusal(at now: Timestamp) -> Timestamp? {
        switch phase {
        case .closed: nil
        case .open(let interval): interval.contains(now) ? interval.end : nil
        case .probing(_, let since):
            Interval(since: since, end: since + .minutes(1)).contains(now)
                ? now + max(.milliseconds(1), min(pause, .seconds(1))) : nil
        }
    }

    func isProbe(_ number: Int?) -> Bool {
        guard case .probing(let probing, _) = phase else { return false }
        return probing == number
    }

    mutating func open(for pause: Duration, at now: Timestamp, _ reason: String) {
        self.pause = pause
        self.reason = reason
        openSince = openSince ?? now
        failedProbes = []
        phase = .open(Interval(since: now, end: now + pause))
    }

    mutating func probe(_ number: Int, at now: Timestamp) {
        phase = .probing(number: number, since: now)
    }

    /// The probe has said nothing: the next request tries.
    /// - Parameter endpoint: what was asked in vain, if it was.
    mutating func release(at now: Timestamp, failed endpoint: String? = nil) {
        phase = .open(Interval(since: now, end: now))
        if let endpoint { failedProbes.insert(endpoint) }
    }
}

/// A time in which something holds. A clock that was set back behind its beginning ends it, so that nothing holds for
/// as long as the clock was wrong.
struct Interval: Hashable, Sendable {
    let since: Timestamp
    let end: Timestamp

    func contains(_ now: Timestamp) -> Bool { since <= now && now < end }
}
