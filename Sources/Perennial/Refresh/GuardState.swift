/// What the origin guard decides by: a value without clock, locks or tasks.
///
/// Failures are put down to the smallest scope that explains them. An address whose requests fail has a circuit of its
/// own; the whole origin's opens when several endpoints fail, or when the failures say that they are about the origin.
struct GuardState: Sendable {
    /// What a request is for.
    struct Subject: Hashable, Sendable {
        let address: String
        /// What several addresses may be one of: those of one endpoint count as one when the whole origin is judged.
        let endpoint: String

        init(address: String, endpoint: String? = nil) {
            self.address = address
            self.endpoint = endpoint ?? address
        }
    }

    /// The right to ask once, which goes back with ``finished(_:_:at:)``.
    struct Permit: Hashable, Sendable {
        /// `nil`: several addresses at once.
        let subject: Subject?
        /// Set when the request finds out whether the origin, or the address, works again.
        fileprivate(set) var originProbe: Int?
        fileprivate(set) var addressProbe: Int?
    }

    enum Verdict: Hashable {
        case go(Permit)
        /// Ask again when a request has finished or, if given, at that time.
        case wait(until: Timestamp?)
        case refuse(until: Timestamp, why: String)
    }

    /// What a request that has ended says.
    struct Outcome: Hashable, Sendable {
        enum Health: Hashable, Sendable {
            case works
            case fails(OriginFailureScope)
            /// It says nothing of the origin's health.
            case unknown
        }

        let health: Health
        /// The pause that was asked for.
        var retryAfter: Duration?
        /// For people.
        var reason = ""

        static let success = Outcome(health: .works)
        static let neutral = Outcome(health: .unknown)

        static func failure(
            _ scope: OriginFailureScope = .address, retryAfter: Duration? = nil, _ reason: String = ""
        ) -> Outcome {
            Outcome(health: .fails(scope), retryAfter: retryAfter, reason: reason)
        }
    }

    /// How many addresses with failures are remembered.
    static let addressLimit = 1024

    /// How many requests may run at once; `nil`: any number.
    let concurrency: Int?
    let rate: OriginGuard.Rate?
    let breaker: OriginGuard.Breaker?
    /// No pause that the origin asks for is longer.
    let longestRetryAfter: Duration

    private(set) var running = 0
    private var starts: RecentStarts?

    private(set) var circuit = Circuit()
    /// `Retry-After` of the whole origin.
    private(set) var rest: Rest?
    private(set) var addresses: FailingAddresses
    private var window: FailureWindow
    /// Failures from before then count no more.
    private var countingSince = Timestamp.distantPast
    private var probes = 0
    /// How often the origin's circuit has opened, and those of addresses.
    private(set) var openings = 0
    private(set) var addressOpenings = 0

    private var windowLength: Duration { breaker?.window ?? OriginGuard.Breaker.standard.window }
    /// How many endpoints must agree before something holds for the whole origin.
    private var witnesses: Int { breaker?.endpoints ?? OriginGuard.Breaker.standard.endpoints }

    init(
        concurrency: Int? = nil, rate: OriginGuard.Rate? = nil, breaker: OriginGuard.Breaker?,
        longestRetryAfter: Duration = .minutes(10), addressLimit: Int = Self.addressLimit, now: Timestamp
    ) {
        self.concurrency = concurrency
        self.rate = rate
        self.breaker = breaker
        self.longestRetryAfter = longestRetryAfter
        starts = rate.map { RecentStarts($0) }
        let settings = breaker ?? .standard
        addresses = FailingAddresses(limit: addressLimit, memory: max(settings.window, settings.maximum))
        window = FailureWindow(settings.window, at: now)
    }

    // MARK: Asking

    /// May a request begin at `now`? `.go` counts it as begun.
    mutating func request(_ subject: Subject?, at now: Timestamp) -> Verdict {
        if let (until, why) = refusal(of: subject, at: now) { return .refuse(until: until, why: why) }
        if let concurrency, running >= concurrency { return .wait(until: nil) }
        if let until = starts?.wait(at: now) { return .wait(until: until) }
        starts?.add(now)
        running += 1
        return .go(permit(subject, at: now))
    }

    /// Until when a request is refused, and why; `nil`: it is not.
    func refusal(of subject: Subject?, at now: Timestamp) -> (until: Timestamp, why: String)? {
        var latest: (until: Timestamp, why: String)?
        if let rest, rest.interval.contains(now) { latest = (rest.interval.end, rest.reason) }
        if let until = circuit.refusal(at: now), until > latest?.until ?? .distantPast {
            latest = (until, circuit.reason)
        }
        if let own = subject.flatMap({ addresses[$0.address]?.refusal(at: now) }),
            own.until > latest?.until ?? .distantPast
        {
            latest = own
        }
        return latest
    }

    /// The end of the pauses that the origin has asked for, when nothing else stands in the way; `nil`: something does,
    /// or nothing.
    func endOfPause(for subject: Subject?, at now: Timestamp) -> Timestamp? {
        let address = subject.flatMap { addresses[$0.address] }
        if circuit.refusal(at: now) != nil || address?.circuit.refusal(at: now) != nil { return nil }
        return [rest, address?.rest].compactMap { $0?.interval }.filter { $0.contains(now) }.map(\.end).max()
    }

    private mutating func permit(_ subject: Subject?, at now: Timestamp) -> Permit {
        var permit = Permit(subject: subject)
        if !circuit.isClosed {
            probes += 1
            permit.originProbe = probes
            circuit.probe(probes, at: now)
        }
        if let subject, let entry = addresses[subject.address], !entry.circuit.isClosed {
            probes += 1
            permit.addressProbe = probes
            addresses.update(subject.address, at: now) { [probes] in $0.circuit.probe(probes, at: now) }
        }
        return permit
    }

    // MARK: Learning

    /// A request that `.go` allowed has ended.
    /// - Returns: what is different from now on.
    mutating func finished(_ permit: Permit, _ outcome: Outcome, at now: Timestamp) -> [OriginGuard.Change] {
        running -= 1
        var changes: [OriginGuard.Change] = []
        if let retryAfter = outcome.retryAfter { obey(retryAfter, permit, outcome, at: now, &changes) }
        guard let breaker else { return changes }
        switch outcome.health {
        case .works: worked(permit, at: now, &changes)
        case .fails(let scope): failed(permit, scope, outcome.reason, breaker, at: now, &changes)
        case .unknown:
            if circuit.isProbe(permit.originProbe) { circuit.release(at: now) }
            releaseProbe(of: permit, at: now)
        }
        return changes
    }

    private mutating func worked(_ permit: Permit, at now: Timestamp, _ changes: inout [OriginGuard.Change]) {
        if circuit.isProbe(permit.originProbe) {
            close(at: now)
            changes.append(OriginGuard.Change(address: nil, .closed, "it works again"))
        } else if circuit.isClosed {
            window.add(.init(asked: 1), at: now)
        }
        guard let subject = permit.subject else { return }
        let isBack = addresses.update(subject.address, at: now) { entry in
            let isBack = entry.circuit.isProbe(permit.addressProbe)
            if isBack {
                entry.circuit = Circuit()
                entry.lastFailedAt = .distantPast
            } else if entry.circuit.isClosed {
                entry.window.add(.init(asked: 1), at: now)
            }
            return isBack
        }
        if isBack == true {
            changes.append(OriginGuard.Change(address: subject.address, .closed, "it works again"))
        }
    }

    private mutating func failed(
        _ permit: Permit, _ scope: OriginFailureScope, _ reason: String, _ breaker: OriginGuard.Breaker,
        at now: Timestamp, _ changes: inout [OriginGuard.Change]
    ) {
        let isOfOrigin = scope == .origin || permit.subject == nil
        if isOfOrigin {
            releaseProbe(of: permit, at: now)
        } else if let subject = permit.subject {
            failed(subject, permit, reason, breaker, at: now, &changes)
        }
        if circuit.isProbe(permit.originProbe) {
            probeFailed(permit.subject, isOfOrigin: isOfOrigin, reason, breaker, at: now, &changes)
        } else if circuit.isClosed {
            window.add(.init(asked: 1, failed: 1, ofOrigin: isOfOrigin ? 1 : 0), at: now)
            let counts = window.total
            guard breaker.opens(counts, minimum: breaker.minimum),
                counts.ofOrigin + failingEndpoints(at: now) >= witnesses
            else { return }
            circuit.open(for: breaker.pause, at: now, breaker.reason(counts, last: reason))
            openings += 1
            changes.append(
                OriginGuard.Change(
                    address: nil, .opened(until: now + breaker.pause, for: breaker.pause), circuit.reason))
        }
    }

    /// An address has failed.
    private mutating func failed(
        _ subject: Subject, _ permit: Permit, _ reason: String, _ breaker: OriginGuard.Breaker, at now: Timestamp,
        _ changes: inout [OriginGuard.Change]
    ) {
        let change = addresses.update(subject, window: breaker.window, at: now) { entry -> OriginGuard.Change? in
            entry.lastFailedAt = now
            let isProbe = entry.circuit.isProbe(permit.addressProbe)
            if isProbe {
                entry.circuit.open(
                    for: breaker.pause(after: entry.circuit.pause), at: now, breaker.reasonOfProbe(reason))
            } else if entry.circuit.isClosed {
                entry.window.add(.init(asked: 1, failed: 1), at: now)
                let counts = entry.window.total
                guard breaker.opens(counts, minimum: breaker.addressMinimum) else { return nil }
                entry.circuit.open(for: breaker.pause, at: now, breaker.reason(counts, last: reason))
            } else {
                return nil
            }
            let pause = entry.circuit.pause
            return OriginGuard.Change(
                address: subject.address,
                isProbe ? .stayedOpen(until: now + pause, for: pause) : .opened(until: now + pause, for: pause),
                entry.circuit.reason)
        }
        guard let change else { return }
        if case .opened = change.kind { addressOpenings += 1 }
        changes.append(change)
    }

    /// The request that tried the origin has failed. An address that fails says nothing of the others: they are tried,
    /// too, before the origin is left alone again, and meanwhile that address is left alone.
    private mutating func probeFailed(
        _ subject: Subject?, isOfOrigin: Bool, _ reason: String, _ breaker: OriginGuard.Breaker, at now: Timestamp,
        _ changes: inout [OriginGuard.Change]
    ) {
        if !isOfOrigin, let subject {
            circuit.release(at: now, failed: subject.endpoint)
            if circuit.failedProbes.count < witnesses {
                let hasOpened = addresses.update(subject, window: breaker.window, at: now) { entry in
                    guard entry.circuit.isClosed else { return false }
                    entry.circuit.open(for: breaker.pause, at: now, breaker.reasonOfProbe(reason))
                    return true
                }
                if hasOpened { addressOpenings += 1 }
                return
            }
        }
        let pause = breaker.pause(after: circuit.pause)
        circuit.open(for: pause, at: now, breaker.reasonOfProbe(reason))
        changes.append(OriginGuard.Change(address: nil, .stayedOpen(until: now + pause, for: pause), circuit.reason))
    }

    private mutating func releaseProbe(of permit: Permit, at now: Timestamp) {
        guard let subject = permit.subject, let probe = permit.addressProbe else { return }
        _ = addresses.update(subject.address, at: now) { entry in
            if entry.circuit.isProbe(probe) { entry.circuit.release(at: now) }
        }
    }

    private func failingEndpoints(at now: Timestamp) -> Int {
        addresses.failingEndpoints(since: max(countingSince, now - windowLength), upTo: witnesses)
    }

    private mutating func close(at now: Timestamp) {
        circuit = Circuit()
        window = FailureWindow(windowLength, at: now)
        countingSince = now
    }

    // MARK: Pauses that the origin asks for

    private mutating func obey(
        _ retryAfter: Duration, _ permit: Permit, _ outcome: Outcome, at now: Timestamp,
        _ changes: inout [OriginGuard.Change]
    ) {
        let length = min(retryAfter, longestRetryAfter)
        guard length > .zero else { return }
        let said = outcome.reason.isEmpty ? "" : ": \(outcome.reason)"
        let own = Rest(
            interval: Interval(since: now, end: now + length), reason: "it asked for a pause (Retry-After)\(said)")
        if let subject = permit.subject, outcome.health != .fails(.origin) {
            let isNew = addresses.update(subject, window: windowLength, at: now) { entry in
                defer { entry.rest = Rest.later(entry.rest, own, at: now) }
                return entry.rest?.interval.contains(now) != true
            }
            if isNew {
                changes.append(
                    OriginGuard.Change(
                        address: subject.address, .paused(until: own.interval.end, for: length), own.reason))
            }
            // What so many have asked for holds for the others, too, for as long as they agree.
            guard let end = addresses.sharedRest(of: witnesses, window: windowLength, at: now) else { return }
            restOrigin(
                Rest(
                    interval: Interval(since: now, end: end),
                    reason: "\(witnesses) of its addresses asked for a pause (Retry-After)\(said)"),
                at: now, &changes)
        } else {
            restOrigin(own, at: now, &changes)
        }
    }

    private mutating func restOrigin(_ new: Rest, at now: Timestamp, _ changes: inout [OriginGuard.Change]) {
        let isNew = rest?.interval.contains(now) != true
        rest = Rest.later(rest, new, at: now)
        guard isNew else { return }
        changes.append(
            OriginGuard.Change(
                address: nil, .paused(until: new.interval.end, for: new.interval.end - now), new.reason))
    }

    // MARK: By hand

    /// Asks the origin and all its addresses again at once.
    /// - Returns: what was left alone.
    mutating func reopen(at now: Timestamp) -> [OriginGuard.Change] {
        let isHeld = !circuit.isClosed || rest?.interval.contains(now) == true
        close(at: now)
        rest = nil
        return (isHeld ? [OriginGuard.Change(address: nil, .closed, byHand)] : []) + reopen({ _ in true }, at: now)
    }

    /// Asks some addresses again at once, unless the origin as a whole is left alone.
    /// - Returns: which of them were left alone.
    mutating func reopen(_ isMeant: (String) -> Bool, at now: Timestamp) -> [OriginGuard.Change] {
        addresses.forget(isMeant).filter { $0.value.isHeld(at: now) }.map {
            OriginGuard.Change(address: $0.key, .closed, byHand)
        }
    }
}

private let byHand = "by hand"

extension FailingAddress {
    /// Whether it is left alone, or would be tried with one request.
    func isHeld(at now: Timestamp) -> Bool { !circuit.isClosed || refusal(at: now) != nil }
}

extension OriginGuard.Breaker {
    fileprivate func opens(_ counts: FailureWindow.Counts, minimum: Int) -> Bool {
        counts.asked >= minimum && Double(counts.failed) >= share * Double(counts.asked)
    }

    fileprivate func pause(after last: Duration) -> Duration { min(last * 2, maximum) }

    fileprivate func reason(_ counts: FailureWindow.Counts, last: String) -> String {
        let last = last.isEmpty ? "" : "; last: \(last)"
        return "\(counts.failed) of \(counts.asked) requests in \(window.shortText) failed\(last)"
    }

    fileprivate func reasonOfProbe(_ reason: String) -> String {
        "it was tried again and failed" + (reason.isEmpty ? "" : ": \(reason)")
    }
}

extension Duration {
    /// In seconds, for people: "5 s", "0.25 s".
    var shortText: String {
        let milliseconds = milliseconds
        return milliseconds % 1000 == 0 ? "\(milliseconds / 1000) s" : "\(Double(milliseconds) / 1000) s"
    }
}
