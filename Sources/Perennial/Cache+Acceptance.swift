/// Whether a reader takes an answer that was not made for it.
///
/// It is shown what is there, whatever its ``Answer/state``, and when the origin fails, the same again with the failure as
/// ``Answer/note``. It must be quick, and say the same each time.
public typealias Acceptance<Value: Sendable> = @Sendable (Answer<Value>) -> Bool

extension Cache {
    /// As ``lookup(_:answering:)``, for a reader who decides what it takes, in place of the limits: an entry that it does not
    /// accept is asked for again, however fresh it is; one that it accepts is served, even an expired one.
    ///
    /// What the origin answers after this call is accepted in any case. The question is the key's one flight as always: readers
    /// who take what is there don't wait for it, and a flight in progress is joined. The reader does not get an old value because
    /// of the soft time-out. When the origin fails it gets what is there if it accepts that, else the error.
    ///
    /// - Parameters:
    ///   - accepts: decides about what is there.
    ///   - fetch: this reader's own way to ask the origin; `nil`: the cache's.
    /// - Throws: as ``lookup(_:)``.
    public func lookup(
        _ key: Key, accepting accepts: @escaping Acceptance<Value>, answering fetch: Fetch<Key, Value>? = nil
    ) async throws -> Answer<Value> {
        if let answer = lookupInMemory(key, accepting: accepts) { return answer }
        return try await lookupBeyondMemory(key, fetch: fetch, accepting: accepts)
    }

    /// As ``lookupInMemory(_:)``, for a reader who decides what it takes. A stale entry that it takes is refreshed behind.
    public func lookupInMemory(_ key: Key, accepting accepts: Acceptance<Value>) -> Answer<Value>? {
        guard let entry = memory.value(for: key) else { return nil }
        return accepted(key, entry, source: .memory, accepts)
    }

    /// What the memory tier or the store has, if the reader takes it. Nobody waits for the origin; a stale entry is refreshed
    /// behind. A store that can't be reached has nothing.
    public func lookupStored(_ key: Key, accepting accepts: Acceptance<Value>) async -> Answer<Value>? {
        if let answer = lookupInMemory(key, accepting: accepts) { return answer }
        let entryKey = entryKey(key)
        guard let record = await reading({ try await $0.read([entryKey])[0] }),
            let entry = decode(record)
        else { return nil }
        // Not put into the memory tier: without a flight nobody would notice that it was removed meanwhile.
        return accepted(key, entry, source: .store, accepts)
    }

    /// What the store has of several keys that the memory tier lacks, read together: fresh and stale values, which go into the memory
    /// tier, and the stale ones are refreshed behind. Nobody waits for the origin.
    /// - Parameter done: gets for each key an answer, or `nil`: use ``lookup(_:)``. Called before this returns, if the store can be
    ///   read that quickly (``Store/readNow(_:)``), else later from a task.
    public func lookupStored(_ keys: [Key], done: @escaping @Sendable ([Answer<Value>?]) -> Void) {
        let looks = beginLooks(keys)
        @Sendable func land(_ records: [StoreRecord]?) -> [Answer<Value>?] {
            // What the store lacks counts when the origin is asked.
            for (look, record) in zip(looks, records ?? []) where record.entry != nil { memory.noteMiss(of: look.key) }
            var answers: [Answer<Value>?] = Array(repeating: nil, count: keys.count)
            for (look, found) in zip(looks, landLooks(looks, records)) {
                if let found { answers[look.place] = try? answer(for: look.key, found, isCollapsed: false) }
            }
            return answers
        }
        if looks.isEmpty { return done(land(nil)) }
        let wanted = looks.map { entryKey($0.key) }
        if let records = readNow(wanted) { return done(land(records)) }
        Task { done(land(await read(wanted))) }
    }

    /// Begins flights that only look at the store, for those keys that nobody flies for: whoever flies already brings the others'.
    /// - Returns: with where each key stands in `keys`.
    func beginLooks(_ keys: [Key]) -> [(place: Int, key: Key, flight: Flight<Value>)] {
        keys.enumerated().compactMap { place, key in
            let (flight, isNew) = flights.join(key)
            return isNew ? (place, key, flight) : nil
        }
    }

    /// What the store has, if it can be had at once.
    func readNow(_ keys: [EntryKey]) -> [StoreRecord]? {
        storeReads.failure == nil && owedPurges.isEmpty ? backend.store.readNow(keys) : nil
    }

    /// What the store has; `nil`: it can't be reached.
    func read(_ keys: [EntryKey]) async -> [StoreRecord]? {
        await reading { try await $0.read(keys) }
    }

    /// Ends such flights; what they found goes into the memory tier.
    /// - Parameter records: what the store has for each of them; `nil`: it can't be reached.
    /// - Returns: for each what may be served, if anything.
    @discardableResult
    func landLooks(
        _ looks: [(place: Int, key: Key, flight: Flight<Value>)], _ records: [StoreRecord]?
    ) -> [Flight<Value>.Landing?] {
        let now = time.now
        return looks.enumerated().map { number, look in
            let found = records.flatMap { landing(from: take($0[number], look.key, look.flight), at: now) }
            flights.land(look.key, look.flight, found ?? .turnedBack(.onlyLooked))
            return found
        }
    }

    private func accepted(
        _ key: Key, _ entry: Entry<Value>, source: Answer<Value>.Source, _ accepts: Acceptance<Value>
    ) -> Answer<Value>? {
        let now = time.now
        let state = entry.freshness.state(at: now)
        var answer = Answer(entry, state: state, source: source, at: now)
        if !accepts(answer) {
            guard state == .expired, entry.isFailing(at: time.steady) else { return nil }
            answer = Answer(entry, state: state, source: source, note: .failedBefore(until: now), at: now)
            guard accepts(answer) else { return nil }
        }
        if state == .stale {
            refreshBehind(key, entry)
            answer = Answer(
                entry, state: state, source: source, note: answer.note, isRefreshing: entry.isClaimed(at: time.steady),
                at: now)
        }
        count { statistics in
            if source == .store { statistics.storeHits += 1 }
            if state == .stale { statistics.staleHits += 1 }
            if answer.note != nil { statistics.staleOnError += 1 }
        }
        observer?(.hit(key: key.description, state))
        return answer
    }

    /// Whether a reader may be served with a landing that did not come from the origin.
    /// - Parameter accepts: `nil`: the limits decide.
    func takes(
        _ entry: Entry<Value>, _ source: Answer<Value>.Source, _ found: State, _ note: Answer<Value>.Note?,
        _ accepts: Acceptance<Value>?
    ) -> Bool {
        guard let accepts else { return found != .expired || note != nil }
        return accepts(Answer(entry, state: found, source: source, note: note, at: time.now))
    }

    /// What a reader who decides by itself takes now that the origin has failed.
    func leftover(_ key: Key, _ error: any Error, _ accepts: @escaping Acceptance<Value>) -> Flight<Value>.Landing? {
        guard let entry = memory.peek(key) else { return nil }
        let found = entry.freshness.state(at: time.now)
        let note = Answer<Value>.Note.originFailed(error)
        return takes(entry, .memory, found, note, accepts)
            ? .entry(entry, source: .memory, found: found, note: note) : nil
    }
}

extension Answer.Note {
    /// The origin failed a moment ago and is not asked now.
    static func failedBefore(until retryAt: Timestamp) -> Answer.Note {
        .originFailed(OriginUnavailable(until: retryAt, why: "it failed a moment ago"))
    }
}
