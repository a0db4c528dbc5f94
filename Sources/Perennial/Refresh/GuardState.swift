/// What the origin guard decides by: a value without clock, locks or tasks.
struct GuardState: Sendable {
    /// How many requests may run at once; `nil`: any number.
    let concurrency: Int?
    let rate: OriginGuard.Rate?
    let breaker: OriginGuard.Breaker?

    private(set) var running = 0
    private var tokens: Double
    private var tokensAt: Timestamp
    /// `Retry-After`: nothing is asked before then.
    private(set) var pausedUntil = Timestamp.distantPast
    private(set) var circuit = Circuit.closed(failures: 0)

    enum Circuit: Hashable, Sendable {
        case closed(failures: Int)
        /// Nothing is asked before `until`; `pause` is what the pause was.
        case open(until: Timestamp, pause: Duration)
        /// One request finds out whether the origin is back; when it never ends, another one tries.
        case probing(pause: Duration, since: Timestamp)
    }

    enum Verdict: Hashable {
        case go
        /// Ask again when a request has finished or, if given, at that time.
        case wait(until: Timestamp?)
        case refuse(until: Timestamp, why: String)
    }

    enum Outcome {
        case success
        /// The origin failed in a way that may pass.
        case failure(retryAfter: Duration?)
        /// Says nothing about the origin's health.
        case neutral
    }

    init(
        concurrency: Int?, rate: OriginGuard.Rate?, breaker: OriginGuard.Breaker?, now: Timestamp
    ) {
        self.concurrency = concurrency
        self.rate = rate
        self.breaker = breaker
        tokens = rate?.burst ?? 0
        tokensAt = now
    }

    /// May a request begin at `now`? `.go` counts it as begun.
    mutating func request(at now: Timestamp) -> Verdict {
        if now < pausedUntil {
            return .refuse(until: pausedUntil, why: "it asked to be left alone (Retry-After)")
        }
        var isProbe = false
        var probePause = Duration.zero
        switch circuit {
        case .closed: break
        case .open(let until, let pause):
            guard now >= until else { return .refuse(until: until, why: "its last requests all failed") }
            isProbe = true
            probePause = pause
        case .probing(let pause, let since) where now >= since + .minutes(1):
            isProbe = true
            probePause = pause
        case .probing(let pause, _):
            return .refuse(
                until: now + min(pause, .seconds(1)), why: "its last requests all failed, and one is trying it")
        }
        if let concurrency, running >= concurrency { return .wait(until: nil) }
        if let rate {
            refill(at: now, rate)
            guard tokens >= 1 else {
                let missing = (1 - tokens) / rate.perSecond
                return .wait(until: now + .milliseconds(Int64((missing * 1000).rounded(.up))))
            }
            tokens -= 1
        }
        running += 1
        if isProbe { circuit = .probing(pause: probePause, since: now) }
        return .go
    }

    /// A request that `.go` allowed has ended.
    mutating func finished(_ outcome: Outcome, at now: Timestamp) {
        running -= 1
        switch outcome {
        case .success:
            circuit = .closed(failures: 0)
        case .neutral:
            if case .probing(let pause, _) = circuit { circuit = .open(until: now, pause: pause) }
        case .failure(let retryAfter):
            if let retryAfter {
                pausedUntil = max(pausedUntil, now + min(retryAfter, .days(1)))
            }
            guard let breaker else { return }
            switch circuit {
            case .closed(let failures) where failures + 1 >= breaker.failures:
                circuit = .open(until: now + breaker.pause, pause: breaker.pause)
            case .closed(let failures):
                circuit = .closed(failures: failures + 1)
            case .probing(let pause, _):
                let longer = min(pause * 2, breaker.maximum)
                circuit = .open(until: now + longer, pause: longer)
            case .open: break
            }
        }
    }

    private mutating func refill(at now: Timestamp, _ rate: OriginGuard.Rate) {
        // A clock set back costs the tokens of that time, never adds any.
        let elapsed = Double(max(0, (now - tokensAt).milliseconds)) / 1000
        tokens = min(rate.burst, tokens + elapsed * rate.perSecond)
        tokensAt = now
    }
}
