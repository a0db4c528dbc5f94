/// One piece of work on one key that any number of readers wait for.
///
/// It belongs to nobody: a reader who gives up leaves, and the flight goes on.
final class Flight<Value: Sendable>: Sendable {
    /// How a flight ended, or what was handed to those who would not wait for its end.
    enum Landing: Sendable {
        /// - found: the state the key was in before.
        case entry(Entry<Value>, source: Answer<Value>.Source, found: State, note: Answer<Value>.Note?)
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

    private struct Progress {
        var waiters: [Int: CheckedContinuation<Landing?, Never>] = [:]
        var nextWaiter = 0
        var landing: Landing?
        /// What those get who need not wait for the end, while it may be served.
        var early: (landing: Landing, until: Timestamp)?
        var isDetached = false
        var newestWrite = Generation.zero
    }

    private let progress = Locked(Progress())

    /// Rings when another machine has written the key, or may have.
    let writes = Doorbell()

    /// Whether the key was written by hand since: what this flight brings must not be kept.
    var isDetached: Bool { progress.withLock { $0.isDetached } }

    func detach() {
        progress.withLock { $0.isDetached = true }
    }

    /// The newest write of the key by another machine that was announced during the flight: what was read before that, and
    /// arrives only now, is older.
    var newestWrite: Generation { progress.withLock { $0.newestWrite } }

    func noteWrite(_ generation: Generation) {
        progress.withLock { $0.newestWrite = max($0.newestWrite, generation) }
        writes.ring()
    }

    /// Waits for the landing, or takes what may be served at `now`.
    /// - Throws: `CancellationError` when the waiting task is cancelled; the flight goes on.
    func wait(at now: Timestamp) async throws -> Landing {
        let ticket = progress.withLock { progress in
            defer { progress.nextWaiter += 1 }
            return progress.nextWaiter
        }
        let landing = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let landed = progress.withLock { progress -> Landing?? in
                    if let landing = progress.landing { return .some(landing) }
                    if let early = progress.early, now < early.until { return .some(early.landing) }
                    if Task.isCancelled { return .some(nil) }
                    progress.waiters[ticket] = continuation
                    return nil
                }
                if let landed { continuation.resume(returning: landed) }
            }
        } onCancel: {
            progress.withLock { $0.waiters.removeValue(forKey: ticket) }?.resume(returning: nil)
        }
        guard let landing else { throw CancellationError() }
        return landing
    }

    /// As ``wait(at:)``, but for the end alone.
    func landing() async throws -> Landing {
        while true {
            _ = try await wait(at: .distantFuture)
            if let landing = progress.withLock({ $0.landing }) { return landing }
        }
    }

    /// Returns when the flight has landed, whatever was handed out before.
    func end() async {
        while progress.withLock({ $0.landing == nil }) { _ = try? await wait(at: .distantFuture) }
    }

    /// Gives everybody who waits, and everybody who still joins, this landing.
    func land(_ landing: Landing) {
        release(landing) { $0.landing = landing }
    }

    /// Gives everybody who waits, and everybody who joins before `until`, this landing; the flight goes on.
    func landEarly(_ landing: Landing, until: Timestamp) {
        release(landing) { $0.early = (landing, until) }
    }

    private func release(_ landing: Landing, _ change: (inout Progress) -> Void) {
        let waiters = progress.withLock { progress in
            change(&progress)
            defer { progress.waiters = [:] }
            return progress.waiters
        }
        for waiter in waiters.values { waiter.resume(returning: landing) }
    }
}

/// The flights in progress, one a key.
final class Flights<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private let table = Locked<[Key: Flight<Value>]>([:])

    /// The flight for the key; `isNew`: the caller has to see to it that it lands.
    func join(_ key: Key) -> (flight: Flight<Value>, isNew: Bool) {
        table.withLock { table in
            if let flight = table[key] { return (flight, false) }
            let flight = Flight<Value>()
            table[key] = flight
            return (flight, true)
        }
    }

    /// Removes the flight from the table, if it is still there, and lands it.
    func land(_ key: Key, _ flight: Flight<Value>, _ landing: Flight<Value>.Landing) {
        table.withLock { table in
            if table[key] === flight { table[key] = nil }
        }
        flight.land(landing)
    }

    /// The key was written by hand: later readers don't join the flight that is in progress, and what it brings is not kept.
    func detach(_ key: Key) {
        table.withLock { $0.removeValue(forKey: key) }?.detach()
    }

    /// Many keys were written by hand.
    func detachAll() {
        let flights = table.withLock { table in
            defer { table = [:] }
            return Array(table.values)
        }
        for flight in flights { flight.detach() }
    }

    /// Another machine wrote the key.
    func noteWrite(_ key: Key, _ generation: Generation) {
        table.withLock { $0[key] }?.noteWrite(generation)
    }

    /// All that are in the air now.
    var all: [(key: Key, flight: Flight<Value>)] { table.withLock { $0.map { ($0.key, $0.value) } } }

    var count: Int { table.withLock { $0.count } }
}
