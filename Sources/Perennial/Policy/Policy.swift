/// How a cache treats its entries: the limits, and everything that is a matter of time when asking the origin.
public struct Policy: Sendable {
    /// The limits of an entry whose fetch names none. Default: refresh after 1 hour, expire after 7 days.
    public var limits: Limits
    /// The limits of "no such thing". Default: refresh after 1 minute, expire after 5 minutes.
    public var absentLimits: Limits
    /// By which part of itself `refreshAfter` is shortened at most, at random, entry by entry. From 0 to 1. Default:
    /// 0.1.
    public var jitter: Double
    /// A reader of an expired entry that is usable on error waits no longer than this for the origin; the fetch goes on
    /// by itself. Default: `nil`, wait until `timeout`.
    public var softTimeout: Duration?
    /// The hard time-out of one fetch or refresh. Default: 30 seconds.
    public var timeout: Duration
    /// How long a reader waits, for leases, the store and the origin together, unless the origin has begun to answer
    /// (``FetchContext/answerBegan()``): then until `timeout`. The fetch goes on by itself. Default: `timeout`.
    public var readerTimeout: Duration
    /// How long a reader's fetch waits at most for its turn, where an ``OriginGuard`` limits how many requests run or
    /// begin; then it fails with ``OriginUnavailable``. Where the guard has a rate, and the reader no old value to be
    /// served, it also waits for the end of a pause that the origin has asked for, if that comes within this time.
    /// Default: `nil`: as long as `timeout` for a turn, and for no pause.
    public var turnTimeout: Duration?
    /// How failed refreshes are tried again.
    public var retry: RetryPolicy
    /// How long a lease lasts when its holder shows no sign of life. The same in all processes that share a store: jobs
    /// and leases that last longer than any process here makes them count as a mistake of somebody's clock, and are cut
    /// short. Default: 30 seconds.
    public var leaseTime: Duration
    /// For how long no refresh is queued after the last attempt at one has failed. Default: 1 minute.
    public var coolDown: Duration

    /// - Throws: ``PolicyError`` when the settings contradict each other.
    public init(
        limits: Limits = .standard,
        absentLimits: Limits = .absent,
        jitter: Double = 0.1,
        softTimeout: Duration? = nil,
        timeout: Duration = .seconds(30),
        readerTimeout: Duration? = nil,
        retry: RetryPolicy = .standard,
        leaseTime: Duration = .seconds(30),
        coolDown: Duration = .minutes(1)
    ) throws(PolicyError) {
        guard (0...1).contains(jitter) else { throw PolicyError("jitter is \(jitter); it must be from 0 to 1") }
        guard timeout > .zero else { throw PolicyError("timeout is \(timeout); it must be more than zero") }
        if let softTimeout {
            guard softTimeout >= .zero, softTimeout <= timeout else {
                throw PolicyError("softTimeout is \(softTimeout); it must be from zero to timeout (\(timeout))")
            }
        }
        let readerTimeout = readerTimeout ?? timeout
        guard readerTimeout > .zero, readerTimeout <= timeout else {
            throw PolicyError(
                "readerTimeout is \(readerTimeout); it must be more than zero and at most timeout (\(timeout))")
        }
        guard leaseTime >= .milliseconds(100) else {
            throw PolicyError("leaseTime is \(leaseTime); it must be at least 100 milliseconds")
        }
        guard coolDown >= .zero else { throw PolicyError("coolDown is \(coolDown); it must be zero or more") }
        self.init(
            checked: limits, absentLimits, jitter, softTimeout, timeout, readerTimeout, retry, leaseTime, coolDown)
    }

    /// The standard policy with limits of one's own.
    /// - Parameters:
    ///   - refreshAfter: the soft limit.
    ///   - expireAfter: the hard limit; at least `refreshAfter`.
    ///   - staleIfError: until when an expired entry may be served while the origin fails; default: `expireAfter`.
    /// - Throws: ``PolicyError`` when a limit is negative or smaller than the one before it.
    public init(refreshAfter: Duration, expireAfter: Duration, staleIfError: Duration? = nil) throws(PolicyError) {
        self = .standard
        limits = try Limits(refreshAfter: refreshAfter, expireAfter: expireAfter, staleIfError: staleIfError)
    }

    private init(
        checked limits: Limits, _ absentLimits: Limits, _ jitter: Double, _ softTimeout: Duration?,
        _ timeout: Duration, _ readerTimeout: Duration, _ retry: RetryPolicy, _ leaseTime: Duration,
        _ coolDown: Duration
    ) {
        self.limits = limits
        self.absentLimits = absentLimits
        self.jitter = jitter
        self.softTimeout = softTimeout
        self.timeout = timeout
        self.readerTimeout = readerTimeout
        turnTimeout = nil
        self.retry = retry
        self.leaseTime = leaseTime
        self.coolDown = coolDown
    }

    /// Every default.
    public static let standard = Policy(
        checked: .standard, .absent, 0.1, nil, .seconds(30), .seconds(30), .standard, .seconds(30), .minutes(1))
}

/// When a failed refresh is tried again: exponential backoff with jitter.
public struct RetryPolicy: Sendable, Hashable {
    /// Attempts before the job becomes a dead letter. Default: 5.
    public let attempts: Int
    /// The pause after the first failure. Default: 1 second.
    public let base: Duration
    /// No pause is longer, but for an origin's `Retry-After`. Default: 5 minutes.
    public let maximum: Duration

    /// - Throws: ``PolicyError`` when `attempts` is below 1 or the pauses are not in order.
    public init(
        attempts: Int = 5, base: Duration = .seconds(1), maximum: Duration = .minutes(5)
    ) throws(PolicyError) {
        guard attempts >= 1 else { throw PolicyError("attempts is \(attempts); it must be at least 1") }
        guard base > .zero, base <= maximum else {
            throw PolicyError("base (\(base)) must be more than zero and at most maximum (\(maximum))")
        }
        self.init(checked: attempts, base, maximum)
    }

    private init(checked attempts: Int, _ base: Duration, _ maximum: Duration) {
        self.attempts = attempts
        self.base = base
        self.maximum = maximum
    }

    /// Every default.
    public static let standard = RetryPolicy(checked: 5, .seconds(1), .minutes(5))

    /// The pause before the next attempt.
    ///
    /// It doubles with each failure up to `maximum`; then half of it is kept and half is random, so that many jobs that
    /// failed together don't come back together. Never shorter than the origin's `Retry-After` (RFC 9110 §10.2.3), of
    /// which at most a day is believed.
    /// - Parameters:
    ///   - failures: how many attempts have failed; 1 or more.
    ///   - random: a number in 0..<1.
    public func pause(afterFailures failures: Int, retryAfter: Duration? = nil, random: Double) -> Duration {
        var pause = base
        for _ in 1..<max(2, min(failures, 64)) where failures > 1 && pause < maximum {
            pause *= 2
        }
        pause = min(pause, maximum)
        let jittered = Double(pause.milliseconds) * (0.5 + 0.5 * random)
        return max(.milliseconds(Int64(jittered)), min(retryAfter ?? .zero, .days(1)))
    }
}

extension Limits {
    /// The default for "no such thing": refresh after 1 minute, expire after 5.
    public static let absent = Limits(raising: .minutes(1), .minutes(5), .minutes(5))
}
