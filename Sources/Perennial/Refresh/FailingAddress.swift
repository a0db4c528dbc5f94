/// What the origin guard knows of an address that has failed lately or asked for a pause.
struct FailingAddress: Sendable {
    let endpoint: String
    var window: FailureWindow
    var circuit = Circuit()
    /// `Retry-After`: it is not asked then.
    var rest: Rest?
    var lastFailedAt = Timestamp.distantPast

    /// Until when it is not asked, and why; `nil`: it may be.
    func refusal(at now: Timestamp) -> (until: Timestamp, why: String)? {
        let resting = rest.flatMap { $0.interval.contains(now) ? ($0.interval.end, $0.reason) : nil }
        guard let until = circuit.refusal(at: now) else { return resting }
        guard let resting, resting.0 > until else { return (until, circuit.reason) }
        return resting
    }

    /// Whether nothing would be lost without it.
    /// - Parameter memory: for how long a failure, or a circuit that nobody has tried to close, counts.
    func isIdle(at now: Timestamp, memory: Duration) -> Bool {
        if let rest, rest.interval.contains(now) { return false }
        if circuit.refusal(at: now) != nil { return false }
        if !circuit.isClosed, case .open(let interval) = circuit.phase {
            return !Interval(since: interval.since, end: interval.end + memory).contains(now)
        }
        return !Interval(since: lastFailedAt, end: lastFailedAt + memory).contains(now)
    }
}

/// A pause that the origin asked for.
struct Rest: Hashable, Sendable {
    let interval: Interval
    let reason: String

    /// The one that lasts longer, if it holds.
    static func later(_ one: Rest?, _ other: Rest, at now: Timestamp) -> Rest {
        guard let one, one.interval.contains(now), one.interval.end > other.interval.end else { return other }
        return one
    }
}

/// The addresses that have failed lately, at most so many: those whose last failure is oldest make room.
struct FailingAddresses: Sendable {
    let limit: Int
    private let memory: Duration
    private var table: [String: FailingAddress] = [:]

    /// - Parameter memory: for how long a failure counts.
    init(limit: Int, memory: Duration) {
        self.limit = limit
        self.memory = memory
    }

    var count: Int { table.count }
    var all: some Collection<(key: String, value: FailingAddress)> { table }

    subscript(address: String) -> FailingAddress? {
        table.isEmpty ? nil : table[address]
    }

    /// Changes an address in its place, if it is known; forgets it when it has become idle.
    /// - Returns: what `change` returns; `nil`: it is not known.
    @discardableResult
    mutating func update<Result>(
        _ address: String, at now: Timestamp, _ change: (inout FailingAddress) -> Result
    ) -> Result? {
        guard !table.isEmpty, let index = table.index(forKey: address) else { return nil }
        let result = change(&table.values[index])
        if table.values[index].isIdle(at: now, memory: memory) { table.remove(at: index) }
        return result
    }

    /// As ``update(_:at:_:)``, of an address that is known from now on.
    @discardableResult
    mutating func update<Result>(
        _ subject: GuardState.Subject, window: Duration, at now: Timestamp, _ change: (inout FailingAddress) -> Result
    ) -> Result {
        if table[subject.address] == nil {
            if table.count >= limit { makeRoom(at: now) }
            table[subject.address] = FailingAddress(
                endpoint: subject.endpoint, window: FailureWindow(window, at: now))
        }
        let index = table.index(forKey: subject.address)!
        return change(&table.values[index])
    }

    /// - Returns: what is forgotten.
    mutating func forget(_ isMeant: (String) -> Bool) -> [(key: String, value: FailingAddress)] {
        let forgotten = table.filter { isMeant($0.key) }
        for address in forgotten.keys { table[address] = nil }
        return Array(forgotten)
    }

    /// How many endpoints have failed since a time, counted up to `limit`.
    func failingEndpoints(since: Timestamp, upTo limit: Int) -> Int {
        var found: Set<String> = []
        for entry in table.values where entry.lastFailedAt >= since {
            found.insert(entry.endpoint)
            if found.count >= limit { break }
        }
        return found.count
    }

    /// Until when so many endpoints have asked to be left alone, if that many did in `window`.
    func sharedRest(of count: Int, window: Duration, at now: Timestamp) -> Timestamp? {
        var ends: [String: Timestamp] = [:]
        for entry in table.values {
            guard let rest = entry.rest, rest.interval.contains(now), rest.interval.since >= now - window else {
                continue
            }
            ends[entry.endpoint] = max(ends[entry.endpoint] ?? .distantPast, rest.interval.end)
        }
        guard ends.count >= count else { return nil }
        return ends.values.sorted(by: >)[count - 1]
    }

    /// Forgets a quarter at a time, so that it costs little for each that comes.
    private mutating func makeRoom(at now: Timestamp) {
        table = table.filter { !$0.value.isIdle(at: now, memory: memory) }
        let surplus = table.count - limit * 3 / 4
        guard surplus > 0 else { return }
        for (address, _) in table.sorted(by: { $0.value.lastUsed < $1.value.lastUsed }).prefix(surplus) {
            table[address] = nil
        }
    }
}

extension FailingAddress {
    fileprivate var lastUsed: Timestamp { max(lastFailedAt, rest?.interval.since ?? .distantPast) }
}
