internal import Synchronization

/// Stands between the engine and one origin: limits how many requests run at once and how many begin a second, obeys
/// `Retry-After`, and leaves alone what fails: an address, or the whole origin (``Breaker``). Several caches may share
/// one.
///
/// Readers go before refreshes where there is a queue.
public final class OriginGuard: Sendable {
    /// How many requests may begin in how much time.
    ///
    /// `burst` of them may begin at once, and in no stretch of `burst / perSecond` seconds, wherever it begins, more than
    /// that: with the default burst never more than `perSecond` within any second. An origin that counts what arrives
    /// may count a little more, since requests take longer to it or less long: name somewhat less than it allows.
    public struct Rate: Hashable, Sendable {
        /// Requests a second over time.
        public let perSecond: Double
        /// How many may begin at once after a pause; of a fraction the whole number below, and at most 100,000.
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

    /// Who asks.
    enum Rank: Int, Sendable {
        case reader, refresh
    }

    /// How long a reader waits for its turn.
    struct Patience: Sendable {
        /// From when it asks until its request begins; then it is refused.
        let limit: Duration
        /// Whether it waits for the end of a pause that the origin has asked for, too, where there is a rate: it has
        /// nothing else to serve.
        let outlastsPauses: Bool
    }

    private struct Waiter {
        let subject: GuardState.Subject?
        let continuation: CheckedContinuation<GuardState.Verdict, Never>
    }

    private struct Guarded {
        var state: GuardState
        var waiting = [FIFO<Waiter>(), FIFO<Waiter>()]
        var wakeAt = Timestamp.distantFuture

        /// Takes those out of the queues who would be refused in their turn.
        mutating func refuseWaiting(at now: Timestamp) -> [(Waiter, GuardState.Verdict)] {
            var refused: [(Waiter, GuardState.Verdict)] = []
            for rank in waiting.indices {
                for (ticket, waiter) in waiting[rank].all {
                    guard let (until, why) = state.refusal(of: waiter.subject, at: now) else { continue }
                    _ = waiting[rank].remove(ticket)
                    refused.append((waiter, .refuse(until: until, why: why)))
                }
            }
            return refused
        }
    }

    /// For logs and metrics: which origin this is.
    public let name: String?
    /// No pause that the origin asks for (`Retry-After`) is longer.
    public let longestRetryAfter: Duration

    private let hasRate: Bool
    // All its times are of the steady clock.
    private let guarded: Mutex<Guarded>
    private let time: any TimeSource
    private let observer: (@Sendable (Change) -> Void)?

    /// - Parameters:
    ///   - name: for logs: which origin this is. Default: none.
    ///   - concurrency: how many requests may run at once; default: any number.
    ///   - rate: how many may begin a second; default: any number.
    ///   - breaker: default: ``Breaker/standard``; `nil`: none.
    ///   - longestRetryAfter: of a longer `Retry-After` no more than this is obeyed. Default: 10 minutes.
    ///   - observer: is told when an address or the origin is left alone, and when it is asked again; must be quick.
    public init(
        name: String? = nil, concurrency: Int? = nil, rate: Rate? = nil, breaker: Breaker? = .standard,
        longestRetryAfter: Duration = .minutes(10), time: any TimeSource = SystemTime(),
        observer: (@Sendable (Change) -> Void)? = nil
    ) {
        self.name = name
        self.longestRetryAfter = max(.zero, longestRetryAfter)
        self.time = time
        self.observer = observer
        hasRate = rate != nil
        guarded = Mutex(
            Guarded(
                state: GuardState(
                    concurrency: concurrency.map { max(1, $0) }, rate: rate, breaker: breaker,
                    longestRetryAfter: max(.zero, longestRetryAfter), now: time.steady)))
    }

    /// What the guard is doing.
    public var status: Status {
        guarded.withLock { guarded in
            Status(
                guarded.state, waiting: guarded.waiting[0].count + guarded.waiting[1].count, at: time.steady,
                wallTime: time.wallTime)
        }
    }

    /// Asks the origin and all its addresses again at once: closes circuits and ends pauses. A refresh that was put off
    /// meanwhile comes when it is due.
    /// - Returns: how much was left alone: the origin, and each address.
    @discardableResult
    public func reopen() -> Int {
        told(guarded.withLock { $0.state.reopen(at: time.steady) })
    }

    /// Asks one address again at once, unless the origin as a whole is left alone.
    /// - Parameter address: a key of a cache.
    /// - Returns: whether it was left alone.
    @discardableResult
    public func reopen(address: String) -> Bool {
        reopen { $0 == address } > 0
    }

    /// Asks some addresses again at once, unless the origin as a whole is left alone.
    /// - Returns: how many of them were left alone.
    @discardableResult
    package func reopen(_ isMeant: (String) -> Bool) -> Int {
        told(guarded.withLock { $0.state.reopen(isMeant, at: time.steady) })
    }

    private func told(_ changes: [Change]) -> Int {
        tell(changes) { _ in }
        return changes.count
    }

    /// As much of a `Retry-After` as is obeyed.
    func obeyed(_ retryAfter: Duration?) -> Duration? {
        retryAfter.map { min($0, longestRetryAfter) }
    }

    /// Runs `request` when the origin may be asked, and learns from how it ends.
    /// - Parameters:
    ///   - subject: what is asked for; `nil`: several addresses at once.
    ///   - patience: `nil`: waits for its turn without a limit, and for the end of no pause.
    ///   - telling: is told, besides the guard's own observer, what this request has changed.
    /// - Throws: ``OriginUnavailable`` when it may not; `CancellationError`; what `request` throws.
    func withPermit<Result: Sendable>(
        _ rank: Rank, for subject: GuardState.Subject? = nil, patience: Patience? = nil,
        telling: (Change) -> Void = { _ in }, _ request: () async throws -> Result
    ) async throws -> Result {
        let permit = try await admit(rank, subject, patience)
        do {
            let result = try await request()
            finish(permit, .success, telling)
            return result
        } catch {
            finish(permit, GuardState.Outcome(of: error), telling)
            throw error
        }
    }

    private func admit(
        _ rank: Rank, _ subject: GuardState.Subject?, _ patience: Patience?
    ) async throws -> GuardState.Permit {
        let deadline = patience.map { time.steady + $0.limit }
        while true {
            let verdict = try await turn(rank, subject, deadline)
            guard case .refuse = verdict, hasRate, let deadline, patience?.outlastsPauses == true else {
                return try permit(verdict)
            }
            let now = time.steady
            guard let end = guarded.withLock({ $0.state.endOfPause(for: subject, at: now) }), end < deadline else {
                return try permit(verdict)
            }
            try await time.sleep(for: max(.milliseconds(1), end - now))
        }
    }

    /// - Parameter deadline: who waits until then is refused.
    private func turn(
        _ rank: Rank, _ subject: GuardState.Subject?, _ deadline: Timestamp?
    ) async throws -> GuardState.Verdict {
        let verdict = guarded.withLock { guarded -> GuardState.Verdict in
            let now = time.steady
            // Nobody overtakes those of their own or a higher rank who wait already.
            guard guarded.waiting[0].isEmpty, rank == .reader || guarded.waiting[1].isEmpty else {
                if let (until, why) = guarded.state.refusal(of: subject, at: now) {
                    return .refuse(until: until, why: why)
                }
                return .wait(until: nil)
            }
            return guarded.state.request(subject, at: now)
        }
        if case .wait = verdict { return try await waitForTurn(rank, subject, deadline) }
        return verdict
    }

    /// The place of one who waits, once it has one.
    private final class Ticket: Sendable {
        private let number = Mutex<Int?>(nil)
        var value: Int? {
            get { number.withLock { $0 } }
            set { number.withLock { $0 = newValue } }
        }
    }

    private func waitForTurn(
        _ rank: Rank, _ subject: GuardState.Subject?, _ deadline: Timestamp?
    ) async throws -> GuardState.Verdict {
        let ticket = Ticket()
        let timer = deadline.map { deadline in
            Task { [weak self, time] in
                let now = time.steady
                guard (try? await time.sleep(for: max(.zero, deadline - now))) != nil else { return }
                let why = "there are too many requests before this one"
                self?.abandon(ticket, rank, .refuse(until: time.steady + .seconds(1), why: why))
            }
        }
        defer { timer?.cancel() }
        let verdict = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                guarded.withLock { guarded in
                    ticket.value = guarded.waiting[rank.rawValue].append(
                        Waiter(subject: subject, continuation: continuation))
                }
                serveWaiting()
                if Task.isCancelled { abandon(ticket, rank) }
            }
        } onCancel: {
            abandon(ticket, rank)
        }
        if case .wait = verdict { throw CancellationError() }
        return verdict
    }

    /// - Throws: ``OriginUnavailable``; `CancellationError` for one who still waits.
    private func permit(_ verdict: GuardState.Verdict) throws -> GuardState.Permit {
        switch verdict {
        case .go(let permit): return permit
        case .wait: throw CancellationError()
        case .refuse(let until, let why): throw OriginUnavailable(until: time.wallTime(of: until), why: why)
        }
    }

    private func abandon(_ ticket: Ticket, _ rank: Rank, _ verdict: GuardState.Verdict = .wait(until: nil)) {
        let waiter = guarded.withLock { guarded in
            ticket.value.flatMap { guarded.waiting[rank.rawValue].remove($0) }
        }
        waiter?.continuation.resume(returning: verdict)
    }

    private func finish(
        _ permit: GuardState.Permit, _ outcome: GuardState.Outcome, _ telling: (Change) -> Void
    ) {
        let (changes, refused) = guarded.withLock { guarded in
            let now = time.steady
            let changes = guarded.state.finished(permit, outcome, at: now)
            return (changes, changes.contains(where: \.isPause) ? guarded.refuseWaiting(at: now) : [])
        }
        for (waiter, verdict) in refused { waiter.continuation.resume(returning: verdict) }
        tell(changes, telling)
        serveWaiting()
    }

    private func tell(_ changes: [Change], _ telling: (Change) -> Void) {
        for change in changes {
            let change = change.told(by: name, wallTime: time.wallTime)
            observer?(change)
            telling(change)
        }
    }

    /// Lets those in who may go, turns away those who may not, and sees that somebody looks again in time.
    private func serveWaiting() {
        let now = time.steady
        let (served, wake) = guarded.withLock { guarded -> ([(Waiter, GuardState.Verdict)], Timestamp?) in
            var served: [(Waiter, GuardState.Verdict)] = []
            var wake: Timestamp?
            queues: for rank in guarded.waiting.indices {
                while let waiter = guarded.waiting[rank].first {
                    let verdict = guarded.state.request(waiter.subject, at: now)
                    if case .wait(let until) = verdict {
                        wake = until
                        break queues
                    }
                    _ = guarded.waiting[rank].popFirst()
                    served.append((waiter, verdict))
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

extension GuardState.Outcome {
    /// What an error that a request ended with says.
    init(of error: any Error) {
        // Nothing but the time-out cancels the task that asks.
        if error is CancellationError {
            self = Task.isCancelled ? .failure(.address, "no answer within the time-out") : .neutral
            return
        }
        let reason = String(String(describing: error).prefix(300))
        guard let error = error as? any OriginError else {
            self = .failure(.address, reason)
            return
        }
        let health: Health =
            switch error.scope {
            case .request: .works
            case .none: .unknown
            case _ where error.isPermanent && error.retryAfter == nil: .unknown
            case let scope: .fails(scope)
            }
        self.init(health: health, retryAfter: error.retryAfter, reason: reason)
    }
}

extension OriginUnavailable {
    init(until: Timestamp, why: String) {
        self.init(retryAt: until, description: "the origin is not asked for this now: \(why)")
    }
}
