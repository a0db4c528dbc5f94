extension OriginGuard {
    /// Whether something is asked.
    public enum CircuitState: String, Hashable, Sendable, Codable, CaseIterable {
        /// It is asked.
        case closed
        /// It is left alone, since too many requests have failed.
        case open
        /// It was left alone, and one request tries it, or the next one will.
        case halfOpen = "half-open"
        /// It is left alone, since it asked for a pause (`Retry-After`).
        case paused
    }

    /// What the guard is doing.
    public struct Status: Hashable, Sendable {
        /// Requests in progress.
        public let running: Int
        /// Readers and refreshes waiting for their turn.
        public let waiting: Int
        /// Whether the origin as a whole is asked.
        public let state: CircuitState
        /// Set while the origin as a whole is not asked: until then.
        public let closedUntil: Timestamp?
        /// Set unless `state` is ``CircuitState/closed``: why it is left alone.
        public let reason: String?
        /// Set unless `state` is ``CircuitState/closed``: since when.
        public let since: Timestamp?
        /// How many times the origin as a whole has been left alone because requests failed.
        public let openings: Int
        /// How many times an address has been.
        public let addressOpenings: Int
        /// How many addresses are left alone.
        public let addressCount: Int
        /// Some of them: those that have been for longest, at most ``shownAddresses``.
        public let addresses: [AddressStatus]

        /// How many addresses a status shows.
        public static let shownAddresses = 10
    }

    /// An address that is left alone.
    public struct AddressStatus: Hashable, Sendable {
        /// The key.
        public let address: String
        public let state: CircuitState
        /// Until when it is not asked; `nil`: the next request tries it.
        public let until: Timestamp?
        public let reason: String
        public let since: Timestamp
    }

    /// Something is left alone from now on, or asked again.
    public struct Change: Hashable, Sendable {
        public enum Kind: Hashable, Sendable {
            /// It is left alone, since too many requests have failed.
            case opened(until: Timestamp, for: Duration)
            /// It was tried in vain, and is left alone for longer.
            case stayedOpen(until: Timestamp, for: Duration)
            /// It is left alone, since it asked for a pause (`Retry-After`). When that is over it is asked again,
            /// without another word.
            case paused(until: Timestamp, for: Duration)
            /// It is asked again.
            case closed
        }

        /// The guard's ``OriginGuard/name``.
        public private(set) var origin: String?
        /// The key of the address that it is about; `nil`: the origin as a whole.
        public let address: String?
        public private(set) var kind: Kind
        /// Why.
        public let reason: String

        init(address: String?, _ kind: Kind, _ reason: String) {
            self.address = address
            self.kind = kind
            self.reason = reason
        }

        /// As it is told outside.
        /// - Parameter wallTime: makes a wall-clock time of one of the guard's own.
        func told(by origin: String?, wallTime: (Timestamp) -> Timestamp) -> Change {
            var told = self
            told.origin = origin
            switch kind {
            case .opened(let until, let pause): told.kind = .opened(until: wallTime(until), for: pause)
            case .stayedOpen(let until, let pause): told.kind = .stayedOpen(until: wallTime(until), for: pause)
            case .paused(let until, let pause): told.kind = .paused(until: wallTime(until), for: pause)
            case .closed: break
            }
            return told
        }

        /// Whether something is not asked from now on.
        var isPause: Bool { kind != .closed }
    }
}

extension OriginGuard.Change: CustomStringConvertible {
    /// One sentence, without the origin's name and the address.
    public var description: String {
        let subject = address == nil ? "the origin" : "an address"
        return switch kind {
        case .opened(_, let pause), .paused(_, let pause): "\(subject) is left alone for \(pause.shortText): \(reason)"
        case .stayedOpen(_, let pause): "\(subject) is left alone for another \(pause.shortText): \(reason)"
        case .closed: "\(subject) is asked again: \(reason)"
        }
    }
}

extension OriginGuard.Status {
    /// - Parameter wallTime: makes a wall-clock time of one of the guard's own.
    init(_ guarding: GuardState, waiting: Int, at now: Timestamp, wallTime: (Timestamp) -> Timestamp) {
        running = guarding.running
        self.waiting = waiting
        openings = guarding.openings
        addressOpenings = guarding.addressOpenings
        let whole = OriginGuard.AddressStatus("", guarding.circuit, guarding.rest, at: now, wallTime)
        state = whole?.state ?? .closed
        closedUntil = whole?.until
        reason = whole?.reason
        since = whole?.since
        let held = guarding.addresses.all.compactMap { address, entry in
            OriginGuard.AddressStatus(address, entry.circuit, entry.rest, at: now, wallTime)
        }
        addressCount = held.count
        addresses = Array(held.sorted { ($0.since, $0.address) < ($1.since, $1.address) }.prefix(Self.shownAddresses))
    }
}

extension OriginGuard.AddressStatus {
    /// `nil` for what is asked.
    fileprivate init?(
        _ address: String, _ circuit: Circuit, _ rest: Rest?, at now: Timestamp, _ wallTime: (Timestamp) -> Timestamp
    ) {
        self.address = address
        let until = circuit.refusal(at: now)
        if let rest, rest.interval.contains(now), rest.interval.end > until ?? .distantPast {
            self.until = wallTime(rest.interval.end)
            state = .paused
            reason = rest.reason
            since = wallTime(min(rest.interval.since, circuit.openSince ?? .distantFuture))
            return
        }
        guard let openSince = circuit.openSince else { return nil }
        if case .open = circuit.phase, until != nil { state = .open } else { state = .halfOpen }
        self.until = until.map(wallTime)
        reason = circuit.reason
        since = wallTime(openSince)
    }
}
