internal import Logging

extension Cache {
    /// The rest of ``lookupInMemory(_:)``: the entry is not fresh.
    @usableFromInline
    func lookupStale(_ key: Key, _ entry: Entry<Value>, _ now: Timestamp) -> Answer<Value>? {
        switch entry.freshness.state(at: now) {
        case .stale:
            refreshBehind(key, entry)
            count { $0.staleHits += 1 }
            observer?(.hit(key: key.description, .stale))
            return Answer(
                entry, state: .stale, source: .memory, isRefreshing: entry.isClaimed(at: time.steady), at: now)
        case .expired where entry.isFailing(at: time.steady) && entry.freshness.isUsableOnError(at: now):
            count { $0.staleOnError += 1 }
            observer?(.hit(key: key.description, .expired))
            return Answer(
                entry, state: .expired, source: .memory, note: .failedBefore(until: now),
                isRefreshing: entry.isClaimed(at: time.steady), at: now)
        default:
            return nil
        }
    }

    /// The rest of ``lookup(_:)``: joins the key's flight or begins it.
    @usableFromInline
    func lookupBeyondMemory(_ key: Key, fetch: Fetch<Key, Value>?) async throws -> Answer<Value> {
        try await lookupBeyondMemory(key, fetch: fetch, accepting: nil)
    }

    /// - Parameter accepts: `nil`: the limits decide what the reader takes.
    func lookupBeyondMemory(
        _ key: Key, fetch: Fetch<Key, Value>?, accepting accepts: Acceptance<Value>?
    ) async throws -> Answer<Value> {
        let policy = terms(of: key).policy
        let began = time.steady
        var patience = policy.readerTimeout
        var hasAskedAgain = false
        // What came to this reader's own question: no older than the reader, so better than none at all.
        var overtaken: Flight<Value>.Landing?
        while true {
            let (flight, isNew) = flights.join(key)
            if isNew {
                Task { await fly(flight, key, .read(fetch ?? self.fetch, accepting: accepts)) }
            }
            // What others get who need not wait for the end is not for a reader who does not accept it.
            let left = began + patience + patienceOverTimeout - time.steady
            let landing =
                accepts == nil
                ? try await flight.wait(at: time.now, atMost: left, time)
                : try await flight.landing(atMost: left, time)
            switch landing {
            case nil where flight.hasAnswer && patience < policy.timeout:
                patience = policy.timeout
            case nil:
                let error = FetchTimeout(timeout: patience)
                let known = memory.peek(key)
                let old = accepts.map { leftover(key, error, $0) ?? .failed(error) } ?? fallBack(known, error, time.now)
                return try answer(for: key, overtaken ?? old, isCollapsed: !isNew)
            // Not meant for those who joined: they begin a flight of their own.
            case .turnedBack: continue
            case .overtaken where !hasAskedAgain:
                hasAskedAgain = true
                if isNew { overtaken = landing }
            case .entry(let entry, let source, let found, nil)
            where !isNew && source != .origin && !takes(entry, source, found, nil, accepts):
                continue
            case .entry(let entry, let source, let found, let note?) where !takes(entry, source, found, note, accepts):
                if case .originFailed(let error) = note {
                    return try answer(for: key, .failed(error), isCollapsed: !isNew)
                }
                continue
            case .failed(let error):
                let left = accepts.flatMap { leftover(key, error, $0) }
                return try answer(for: key, left ?? overtaken ?? .failed(error), isCollapsed: !isNew)
            case .notStored(.some) where !isNew:
                let own = flights.alone(key)
                Task { await flyAlone(own, key, fetch ?? self.fetch) }
                let left = began + policy.timeout + patienceOverTimeout - time.steady
                let landing = try await own.wait(at: time.now, atMost: left, time)
                return try answer(
                    for: key, landing ?? .failed(FetchTimeout(timeout: policy.timeout)), isCollapsed: false)
            case let landing?: return try answer(for: key, landing, isCollapsed: !isNew)
            }
        }
    }

    /// What a reader gets from a flight.
    func answer(
        for key: Key, _ landing: Flight<Value>.Landing, isCollapsed: Bool
    ) throws -> Answer<Value> {
        let now = time.now
        switch landing {
        case .entry(let entry, let source, let found, let note):
            let isStale = found == .stale && source != .origin && note == nil
            count { statistics in
                if source == .store { statistics.storeHits += 1 }
                if isStale { statistics.staleHits += 1 }
                if note != nil { statistics.staleOnError += 1 }
                if isCollapsed { statistics.collapsed += 1 }
            }
            if isStale { refreshBehind(key, entry) }
            if let observer {
                let text = key.description
                observer(source == .origin ? .miss(key: text, found) : .hit(key: text, found))
            }
            return Answer(
                entry, state: found, source: source, note: note, isCollapsed: isCollapsed,
                isRefreshing: entry.isClaimed(at: time.steady), at: now)
        case .overtaken(let entry, let found):
            return try answer(
                for: key, .entry(entry, source: .origin, found: found, note: nil), isCollapsed: isCollapsed)
        case .notStored(let entry):
            observer?(.miss(key: key.description, .missing))
            return Answer(entry, state: .missing, source: .origin, isCollapsed: isCollapsed, at: now)
        case .failed(let error):
            observer?(.miss(key: key.description, .missing))
            throw error
        case .turnedBack:
            throw CancellationError()
        }
    }

    /// Puts an entry into the memory tier unless a newer one is there, or may be in the store, or the key was written
    /// by hand meanwhile. Then the store tells the next reader.
    /// - Parameter generation: where the store stood when the entry was read or written.
    func adopt(_ entry: Entry<Value>, _ key: Key, for flight: Flight<Value>, asOf generation: Generation) {
        let cost = self.cost(entry, key)
        let now = time.now
        memory.update(key) { current in
            if let current, current.isNewer(than: entry, at: now) { return .keep }
            if flight.admits(generation) { return .replace(entry, cost: cost) }
            guard let current, current.generation < entry.generation else { return .keep }
            return .remove
        }
    }

    /// What an entry counts in the memory tier, in bytes; the tier adds its own overhead.
    func cost(_ entry: Entry<Value>, _ key: Key) -> Int {
        let value = entry.value.flatMap { value in codec.memorySize.map { $0(value) } } ?? entry.size
        return value + key.description.utf8.count + entry.detailsSize + entryOverhead
    }

    private func noteAhead(_ metadata: EntryMetadata) {
        let now = time.now
        guard metadata.freshness.isAhead(of: now), countsFirst(\.confirmedAhead) else { return }
        logger.warning(
            """
            an entry was confirmed by a clock that is ahead of this machine's; such entries count as stale, and more \
            will only be counted: compare the machines' clocks
            """,
            metadata: ["key": "\(metadata.key.key)", "by": "\(metadata.confirmedAt - now)"])
    }

    /// The entry of a store's record, decoded; `nil` when it is missing or can't be decoded.
    func decode(_ record: StoreRecord) -> Entry<Value>? {
        guard let stored = record.entry else { return nil }
        let metadata = stored.metadata
        noteAhead(metadata)
        if metadata.isAbsent { return makeEntry(nil, metadata) }
        do {
            if metadata.format == codec.format {
                do {
                    return makeEntry(try codec.decode(stored.bytes), metadata)
                } catch {
                    guard let rescued = try migrate?(metadata.format, stored.bytes) else { throw error }
                    return makeEntry(rescued, metadata)
                }
            }
            if let rescued = try migrate?(metadata.format, stored.bytes) {
                return makeEntry(rescued, metadata)
            }
            throw UnknownFormat(format: metadata.format, expected: codec.format)
        } catch {
            // Once for each version of it, however often it is met.
            let version = (metadata.key.key, metadata.generation)
            let isNew = lastUndecodable.withLock { last in
                defer { last = version }
                return last == nil || last! != version
            }
            guard isNew else { return nil }
            count { $0.undecodable += 1 }
            observer?(.undecodable(key: metadata.key.key, error))
            logger.warning(
                "a stored entry can't be decoded and counts as missing",
                metadata: ["key": "\(metadata.key.key)", "error": "\(error)"])
            return nil
        }
    }
}

/// Stored bytes are of a format which the cache's codec does not read.
struct UnknownFormat: Error, CustomStringConvertible {
    let format: String
    let expected: String
    var description: String {
        "it is in the format '\(format)', not '\(expected)'; give the cache a `migrate` hook that reads it, or let it be fetched again"
    }
}

/// A fetch that times out says so to its readers. They stop waiting by themselves only when that does not come.
let patienceOverTimeout = Duration.milliseconds(200)

/// What an entry takes in memory beside its value, in bytes: the entry itself, and the allocator's part of it, of the
/// value and of the key.
private let entryOverhead = 200
