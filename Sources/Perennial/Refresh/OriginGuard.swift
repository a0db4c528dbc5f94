internal import Synchronization

/// Stands between the engine and one origin: limits how many requests run at once and how many begin a second, obeys
/// `Retry-After`, and stops asking an origin whose requests all fail. Several caches may share one.
///
/// Readers go before refreshes where there is a queue.
public final class OriginGuard: Sendable {
    /// A token bucket.
    public struct Rate: Hashable, Sendable {
        /// Requests a second over time.
        public let perSecond: Double
        /// How many may begin at once after a pause.
        public let burst: Double

        /// - Parameters:
        ///   - perSecond: more than zero.
        ///   - burst: at least 1; default: `perSecond`, but at least 1.
        /// - Throws: ``PolicyError`` for numbers out of range.
        public init(perSecond: Double, burst: Double? = nil) throws(PolicyError) {
            guard perSecond > 0, perSecond.isFinite else {
                throw PolicyError("a rate of \(perSecond) a second; it must be more than zero")
            }
            let burst = burst ?? max(1, perSecond)
            guard burst >= 1, burst.isFinite else { throw PolicyError("a burst of \(burst); it must be at least 1") }
            self.perSecond = perSecond
            self.burst = burst
        }
    }

    /// A circuit breaker: after `failures` failed requests in a row nothing is asked for `pause`; then one request tries;
    /// each failure doubles the pause up to `maximum`.
    public struct Breaker: Hashable, Sendable {
        public let failures: Int
        public let pause: Duration
        public let maximum: Duration

        /// - Throws: ``PolicyError`` for numbers out of range.
        public init(failures: Int = 10, pause: Duration = .seconds(5), maximum: Duration = .minutes(1))
            throws(PolicyError)
        {
            guard failures >= 1 else {
                throw PolicyError("a breaker after \(failures) failures; it must be at least 1")
            }
            guard pause > .zero, pause <= maximum else {
                throw PolicyError(
                    "a breaker's pause (\(pause)) must be more than zero and at most maximum (\(maximum))")
            }
            self.init(checked: failures, pause, maximum)
        }

        private init(checked failures: Int, _ pause: Duration, _ maximum: Duration) {
            self.failures = failures
            self.pause = pause
            self.maximum = maximum
        }

        /// 10 failures in a row; 5 seconds, up to 1 minute.
        public static let standard = Breaker(checked: 10, .seconds(5), .minutes(1))
    }

    /// What the guard is doing.
    public struct Status: Hashable, Sendable {
        /// Requests in progress.
        public let running: Int
        /// Readers and refreshes waiting for their turn.
        public let waiting: Int
        /// Set while the origin is not asked: until then.
        public let closedUntil: Timestamp?
    }

    /// Who asks.
    enum Rank: Int, Sendable {
        case reader, refresh
    }

    private struct Waiter {
        let continuation: CheckedContinuation<GuardState.Verdict, Never>
    }

    private struct Guarded {
        var state: GuardState
        var waiting = [FIFO<Waiter>(), FIFO<Waiter>()]
        var wakeAt = Timestamp.distantFuture
    }

    private let guarded: Mutex<Guarded>
    private let time: any TimeSource

    /// - Parameters:
    ///   - concurrency: how many requests may run at once; default: any number.
    ///   - rate: how many may begin a second; default: any number.
    ///   - breaker: default: ``Breaker/standard``; `nil`: none.
    public init(
        concurrency: Int? = nil, rate: Rate? = nil, breaker: Breaker? = .standard, time: any TimeSource = SystemTime()
    ) {
        self.time = time
        guarded = Mutex(
            Guarded(
                state: GuardState(
                    concurrency: concurrency.map { max(1, $0) }, rate: rate, breaker: breaker, now: time.now)))
    }

    public var status: Status {
        let now = time.now
        return guarded.withLock { guarded in
            let closedUntil: Timestamp? =
                switch guarded.state.circuit {
                case .open(let until, _) where until > now: max(until, guarded.state.pausedUntil)
                case .probing: now
                default: guarded.state.pausedUntil > now ? guarded.state.pausedUntil : nil
                }
            return Status(
                running: guarded.state.running, waiting: guarded.waiting[0].count + guarded.waiting[1].count,
                closedUntil: closedUntil)
        }
    }

    /// Runs `request` when the origin may be asked, and learns from how it ends.
    /// - Throws: ``OriginUnavailable`` when it may not; `CancellationError`; what `request` throws.
    func withPermit<Result: Sendable>(
        _ rank: Rank, _ request: () async throws -> Result
    ) async throws -> Result {
        try await admit(rank)
        do {
            let result = try await request()
            finish(.success)
            return result
        } catch {
            finish(Self.outcome(of: error))
            throw error
        }
    }

    private static func outcome(of error: any Error) -> GuardState.Outcome {
        // Nothing but the time-out cancels the task that asks.
        if error is CancellationError { return Task.isCancelled ? .failure(retryAfter: nil) : .neutral }
        guard let error = error as? any OriginError else { return .failure(retryAfter: nil) }
        if error.isPermanent, error.retryAfter == nil { return .neutral }
        return .failure(retryAfter: error.retryAfter)
    }

    private func admit(_ rank: Rank) async throws {
        let now = time.now
        let verdict = guarded.withLock { guarded -> GuardState.Verdict in
            // Nobody overtakes those of their own or a higher rank who wait already.
            guard guarded.waiting[0].isEmpty, rank == .reader || guarded.waiting[1].isEmpty else {
                return .wait(until: nil)
            }
            return guarded.state.request(at: now)
        }
        switch verdict {
        case .go: return
        case .refuse(let until, let why): throw OriginUnavailable(until: until, why: why)
        case .wait: try await waitForTurn(rank)
        }
    }

    private func waitForTurn(_ rank: Rank) async throws {
        let ticket = Mutex<Int?>(nil)
        let verdict = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                guarded.withLock { guarded in
                    ticket.withLock { $0 = guarded.waiting[rank.rawValue].append(Waiter(continuation: continuation)) }
                }
                serveWaiting()
                if Task.isCancelled { abandon(ticket, rank) }
            }
        } onCancel: {
            abandon(ticket, rank)
        }
        switch verdict {
        case .go: return
        case .wait: throw CancellationError()
        case .refuse(let until, let why): throw OriginUnavailable(until: until, why: why)
        }
    }

    private func abandon(_ ticket: borrowing Mutex<Int?>, _ rank: Rank) {
        let waiter = guarded.withLock { guarded in
            ticket.withLock { $0 }.flatMap { guarded.waiting[rank.rawValue].remove($0) }
        }
        waiter?.continuation.resume(returning: .wait(until: nil))
    }

    private func finish(_ outcome: GuardState.Outcome) {
        let now = time.now
        guarded.withLock { $0.state.finished(outcome, at: now) }
        serveWaiting()
    }

    /// Lets those in who may go, turns away those who may not, and sees that somebody looks again in time.
    private func serveWaiting() {
        let now = time.now
        let (served, wake) = guarded.withLock { guarded -> ([(Waiter, GuardState.Verdict)], Timestamp?) in
            var served: [(Waiter, GuardState.Verdict)] = []
            var wake: Timestamp?
            queues: for rank in guarded.waiting.indices {
                while !guarded.waiting[rank].isEmpty {
                    let verdict = guarded.state.request(at: now)
                    if case .wait(let until) = verdict {
                        wake = until
                        break queues
                    }
                    if let waiter = guarded.waiting[rank].popFirst() { served.append((waiter, verdict)) }
                }
            }
            guard let until = wake, until < guarded.wakeAt || guarded.wakeAt <= now else { return (served, nil) }
            guarded.wakeAt = until
            return (served, until)
        }
        for (waiter, verdict) in served { waiter.continuation.resume(returning: verdict) }
        guard let wake else { return }
        Task { [weak self, time] in
            try? await time.sleep(for: max(.milliseconds(1), wake - now))
            guard let self else { return }
            self.guarded.withLock { if $0.wakeAt == wake { $0.wakeAt = .distantFuture } }
            self.serveWaiting()
        }
    }
}

extension OriginUnavailable {
    init(until: Timestamp, why: String) {
        self.init(retryAt: until, description: "the origin is not asked now: \(why)")
    }
}

/// First in, first out, with removal by ticket.
struct FIFO<Element> {
    private var elements: [Int: Element] = [:]
    private var head = 0
    private var tail = 0

    var isEmpty: Bool { elements.isEmpty }
    var count: Int { elements.count }

    mutating func append(_ element: Element) -> Int {
        elements[tail] = element
        tail += 1
        return tail - 1
    }

    mutating func popFirst() -> Element? {
        while head < tail {
            defer { head += 1 }
            if let element = elements.removeValue(forKey: head) { return element }
        }
        return nil
    }

    mutating func remove(_ ticket: Int) -> Element? {
        elements.removeValue(forKey: ticket)
    }
}
