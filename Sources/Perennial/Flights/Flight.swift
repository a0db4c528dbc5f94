/// One piece of work on one key that any number of readers wait for.
///
/// It belongs to nobody: a reader who gives up leaves, and the flight goes on.
final class Flight<Value: Sendable>: Sendable {
    /// How a flight ended, or what was handed to those who would not wait for its end.
    enum Landing: Sendable {
        /// - found: the state the key was in before.
        case entry(Entry<Value>, source: Answer<Value>.Source, found: State, note: Answer<Value>.Note?)
        /// What the origin answered, though the key was purged after it was asked. Nobody keeps it; a reader who waited
        /// for it asks once more.
        case overtaken(Entry<Value>, found: State)
        /// What came may be neither kept nor shared; the entry is for the one who asked, if the fetch gave a value.
        case notStored(Entry<Value>?)
        case failed(any Error)
        /// The flight brought nothing; a reader who joined it has to begin a flight of its own.
        case turnedBack(Reason)

        enum Reason: Sendable {
            /// Somebody else holds the lease on the key.
            case leaseHeld(until: Timestamp)
            /// The entry was removed since the job was queued.
            case removed
            /// Nobody meant to ask the origin: it was a look at the store, in vain.
            case onlyLooked
        }
    }

    /// Why a reader stops waiting.
    private enum End {
        case landed(Landing)
        case cancelled
        case timedOut
    }

    private struct Progress {
        var waiters: [Int: CheckedContinuation<End, Never>] = [:]
        var nextWaiter = 0
        var landing: Landing?
        /// What those get who need not wait for the end, while it may be served.
        var early: (landing: Landing, until: Timestamp)?
        var hasAnswer = false
        var isDetached = false
        var isOvertaken = false
        var hasMissedWrites = false
        var newestWrite = Generation.zero

        /// What a reader gets who need not wait.
        func served(at now: Timestamp) -> Landing? {
            if let landing { return landing }
            guard let early, now < early.until else { return nil }
            return early.landing
        }

        mutating func overtake() {
            isOvertaken = true
            early = nil
        }
    }

    private let progress = Locked(Progress())

    /// Rings when another machine has written the key, or may have.
    let writes = Doorbell()

    /// Whether this process wrote the key by hand since the flight began: what the flight brings must not be kept.
    var isDetached: Bool { progress.withLock { $0.isDetached } }

    /// Whether the key was written since the flight began, or may have been: what was known then may be purged by now.
    var isOvertaken: Bool { progress.withLock { $0.isOvertaken } }

    /// Whether something of this generation may be kept, though it was read or written during the flight and arrives
    /// only now: nothing newer was announced meanwhile, and nothing was missed.
    func admits(_ generation: Generation) -> Bool {
        progress.withLock { !$0.isDetached && !$0.hasMissedWrites && generation >= $0.newestWrite }
    }

    /// Whether changes were missed during the flight, so that nobody knows whether what it brings is still current.
    var hasMissedWrites: Bool { progress.withLock { $0.hasMissedWrites } }

    /// Whether the origin has begun to answer.
    var hasAnswer: Bool { progress.withLock { $0.hasAnswer } }

    func noteAnswer() {
        progress.withLock { $0.hasAnswer = true }
    }

    /// This process wrote the key by hand.
    func detach() {
        progress.withLock { progress in
            progress.isDetached = true
            progress.overtake()
        }
    }

    /// Another machine wrote the key, or may have.
    /// - Parameter generation: `nil`: changes were missed.
    func noteWrite(_ generation: Generation?) {
        progress.withLock { progress in
            if let generation {
                progress.newestWrite = max(progress.newestWrite, generation)
            } else {
                progress.hasMissedWrites = true
            }
            progress.overtake()
        }
        writes.ring()
    }

    /// Waits for the landing, or takes what may be served at `now`.
    /// - Parameter patience: how long to wait at most; `nil`: for as long as it takes.
    /// - Returns: `nil` when that was not enough; the flight goes on.
    /// - Throws: `CancellationError` when the waiting task is cancelled; the flight goes on.
    func wait(at now: Timestamp, atMost patience: Duration?, _ time: any TimeSource) async throws -> Landing? {
        let ticket = progress.withLock { progress in
            defer { progress.nextWaiter += 1 }
            return progress.nextWaiter
        }
        var timer: Task<Void, Never>?
        defer { timer?.cancel() }
        if let patience, progress.withLock({ $0.served(at: now) == nil }) {
            timer = Task {
                if (try? await time.sleep(for: patience)) != nil { self.leave(ticket, .timedOut) }
            }
        }
        let end = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let end = progress.withLock { progress -> End? in
                    if let landing = progress.served(at: now) { return .landed(landing) }
                    if Task.isCancelled { return .cancelled }
                    progress.waiters[ticket] = continuation
                    return nil
                }
                if let end { continuation.resume(returning: end) }
            }
        } onCancel: {
            leave(ticket, .cancelled)
        }
        switch end {
        case .landed(let landing): return landing
        case .cancelled: throw CancellationError()
        case .timedOut: return nil
        }
    }

    private func leave(_ ticket: Int, _ end: End) {
        progress.withLock { $0.waiters.removeValue(forKey: ticket) }?.resume(returning: end)
    }

    /// As ``wait(at:atMost:_:)``, but for the end alone.
    func landing(atMost patience: Duration?, _ time: any TimeSource) async throws -> Landing? {
        let deadline = patience.map { time.steady + $0 }
        while true {
            let left = deadline.map { $0 - time.steady }
            guard try await wait(at: .distantFuture, atMost: left, time) != nil else { return nil }
            if let landing = progress.withLock({ $0.landing }) { return landing }
        }
    }

    /// Gives everybody who waits, and everybody who still joins, this landing.
    func land(_ landing: Landing) {
        release(landing) { progress in
            progress.landing = landing
            return true
        }
    }

    /// Gives everybody who waits, and everybody who joins before `until`, this landing; the flight goes on. Not once
    /// the key was written, unless it was read since.
    /// - Parameter isCurrent: whether it was read since.
    func landEarly(_ landing: Landing, until: Timestamp, isCurrent: Bool = false) {
        release(landing) { progress in
            guard isCurrent || !progress.isOvertaken else { return false }
            progress.early = (landing, until)
            return true
        }
    }

    /// - Parameter change: returns whether the waiters get the landing.
    private func release(_ landing: Landing, _ change: (inout Progress) -> Bool) {
        let waiters = progress.withLock { progress -> [Int: CheckedContinuation<End, Never>] in
            guard change(&progress) else { return [:] }
            defer { progress.waiters = [:] }
            return progress.waiters
        }
        for waiter in waiters.values { waiter.resume(returning: .landed(landing)) }
    }
}

/// The flights in progress: one a key that readers join, and those that nobody joins any more or ever did, since purges
/// concern what they bring, too.
final class Flights<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private struct InTheAir {
        var joined: [Key: Flight<Value>] = [:]
        var others: [Key: [Flight<Value>]] = [:]

        /// Takes all flights of the key out.
        mutating func take(_ key: Key) -> [Flight<Value>] {
            let joined = self.joined.removeValue(forKey: key).map { [$0] } ?? []
            return joined + (others.removeValue(forKey: key) ?? [])
        }

        /// Nobody joins any of the key's flights from now on.
        /// - Returns: all of them.
        mutating func part(_ key: Key) -> [Flight<Value>] {
            let all = take(key)
            if !all.isEmpty { others[key] = all }
            return all
        }
    }

    private let table = Locked(InTheAir())

    /// The flight for the key; `isNew`: the caller has to see to it that it lands.
    func join(_ key: Key) -> (flight: Flight<Value>, isNew: Bool) {
        table.withLock { table in
            if let flight = table.joined[key] { return (flight, false) }
            let flight = Flight<Value>()
            table.joined[key] = flight
            return (flight, true)
        }
    }

    /// A flight that nobody joins: for one reader alone, or for something that reads or writes the store by itself. The
    /// caller has to see to it that it lands, or is taken out.
    func alone(_ key: Key) -> Flight<Value> {
        let flight = Flight<Value>()
        table.withLock { $0.others[key, default: []].append(flight) }
        return flight
    }

    /// Removes the flight from the table, if it is still there, and lands it.
    func land(_ key: Key, _ flight: Flight<Value>, _ landing: Flight<Value>.Landing) {
        takeOut(key, flight)
        flight.land(landing)
    }

    /// Removes the flight from the table, if it is still there.
    func takeOut(_ key: Key, _ flight: Flight<Value>) {
        table.withLock { table in
            if table.joined[key] === flight { return table.joined[key] = nil }
            guard var others = table.others[key] else { return }
            others.removeAll { $0 === flight }
            table.others[key] = others.isEmpty ? nil : others
        }
    }

    /// The key was written by hand: later readers don't join the flight that is in progress, and what it brings is not
    /// kept.
    /// - Parameter own: the flight of that write.
    func detach(_ key: Key, except own: Flight<Value>? = nil) {
        let flights = table.withLock { table in
            let all = table.take(key)
            if let own, all.contains(where: { $0 === own }) { table.others[key] = [own] }
            return all
        }
        for flight in flights where flight !== own { flight.detach() }
    }

    /// Many keys were written by hand.
    func detachAll() {
        let flights = table.withLock { table in
            defer { table = InTheAir() }
            return Array(table.joined.values) + table.others.values.joined()
        }
        for flight in flights { flight.detach() }
    }

    /// Another machine wrote the key: later readers don't join the flight that is in progress.
    /// - Parameter generation: `nil`: it may have, changes were missed.
    func noteWrite(_ key: Key, _ generation: Generation?) {
        for flight in table.withLock({ $0.part(key) }) { flight.noteWrite(generation) }
    }

    /// Another machine has purged many keys, or may have written any.
    /// - Parameter generation: `nil`: changes were missed.
    func noteWrites(_ generation: Generation?) {
        let flights = table.withLock { table in
            Set(table.joined.keys).union(table.others.keys).flatMap { table.part($0) }
        }
        for flight in flights { flight.noteWrite(generation) }
    }

    /// How many there are that readers join.
    var count: Int { table.withLock { $0.joined.count } }
}
