/// Why a flight takes off.
enum FlightPurpose<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    /// A reader waits. With `accepting` it decides about what is there, without it the limits do.
    case read(Fetch<Key, Value>, accepting: Acceptance<Value>?)
    /// A worker does a job.
    case refresh(Delivery)
}

extension Cache {
    /// Flies a flight that this caller began, to its landing.
    @discardableResult
    func fly(
        _ flight: Flight<Value>, _ key: Key, _ purpose: FlightPurpose<Key, Value>
    ) async -> Flight<Value>.Landing {
        let landing = await landing(flight, key, purpose)
        flights.land(key, flight, landing)
        return landing
    }

    /// Asks for one reader alone, past the table of flights and the store: what came to the others may not be shared.
    func flyAlone(_ flight: Flight<Value>, _ key: Key, _ fetch: @escaping Fetch<Key, Value>) async {
        let ticket = Ticket(token: "", known: nil, fence: nil)
        flight.land(await ask(key, entryKey(key), flight, .read(fetch, accepting: nil), ticket))
    }

    private func landing(
        _ flight: Flight<Value>, _ key: Key, _ purpose: FlightPurpose<Key, Value>
    ) async -> Flight<Value>.Landing {
        let entryKey = entryKey(key)
        var known = memory.peek(key)
        // A reader may find in the store what it needs, without a write.
        if case .read(_, let accepts) = purpose {
            if let record = await storeReads.attempt({ try await backend.store.read([entryKey])[0] }) {
                known = take(record, key, flight)
            }
            if let found = landing(from: known, at: time.now, accepts) { return found }
        }
        switch await lease(key, entryKey, known, flight, purpose) {
        case .landed(let landing): return landing
        case .ready(let ticket): return await ask(key, entryKey, flight, purpose, ticket)
        }
    }

    /// The right to ask the origin, and what was known when it was got.
    struct Ticket: Sendable {
        let token: LeaseToken
        let known: Entry<Value>?
        /// `nil`: the store could not be reached; nothing can be saved.
        let fence: Generation?
    }

    enum Approach {
        case landed(Flight<Value>.Landing)
        case ready(Ticket)
    }

    /// A landing on what is there, if readers may be served with it.
    /// - Parameter accepts: decides; `nil`: the limits do.
    func landing(
        from entry: Entry<Value>?, at now: Timestamp, _ accepts: Acceptance<Value>? = nil
    ) -> Flight<Value>.Landing? {
        guard let entry else { return nil }
        let state = entry.freshness.state(at: now)
        return takes(entry, .store, state, nil, accepts) ? .entry(entry, source: .store, found: state, note: nil) : nil
    }

    /// The entry of a record that was just read, put into the memory tier.
    func take(_ record: StoreRecord, _ key: Key, _ flight: Flight<Value>) -> Entry<Value>? {
        let current = memory.peek(key)
        if let current, let stored = record.entry, current.generation == stored.metadata.generation { return current }
        guard let entry = decode(record) else { return current?.generation == .zero ? current : nil }
        if let current, current.isNewer(than: entry) { return current }
        adopt(entry, key, for: flight)
        return entry
    }

    /// Takes the key's lease, or waits for what its holder brings.
    private func lease(
        _ key: Key, _ entryKey: EntryKey, _ known: Entry<Value>?, _ flight: Flight<Value>,
        _ purpose: FlightPurpose<Key, Value>
    ) async -> Approach {
        let before = known
        var known = known
        var token = random.token()
        if case .refresh(let delivery) = purpose { token = delivery.job.leaseToken }
        let terms = terms(of: key).policy
        let began = time.now
        var pause = Duration.milliseconds(5)
        while true {
            let now = time.now
            let writes = flight.writes.rings
            let outcome = await storeWrites.attempt {
                try await backend.store.lease(
                    [entryKey], token: token, until: now + policy.leaseTime, now: now)[0]
            }
            guard let outcome else { return .ready(Ticket(token: token, known: known, fence: nil)) }
            known = take(outcome.record, key, flight)
            let satisfied = satisfied(purpose, by: known, since: before, record: outcome.record, at: now)
            switch outcome {
            case .granted(let record):
                guard let satisfied else {
                    return .ready(Ticket(token: token, known: known, fence: record.fence))
                }
                await release(entryKey, token)
                return .landed(satisfied)
            case .held(let until, _):
                if let satisfied { return .landed(satisfied) }
                if case .refresh = purpose { return .landed(.turnedBack(.leaseHeld(until: until))) }
                // Held for an entry that others still take: it may be for a job that nobody works on yet, and this
                // reader does not wait for that. The fence decides whose answer is kept.
                if let known, known.freshness.state(at: now) != .expired {
                    return .ready(Ticket(token: token, known: known, fence: outcome.record.fence))
                }
            }
            // Another machine is asking: what it brings is for us too.
            if now >= began + terms.timeout {
                return .landed(fallBack(known, FetchTimeout(timeout: terms.timeout), now))
            }
            var wait = min(pause, began + terms.timeout - now)
            if let soft = terms.softTimeout, let known {
                if now >= began + soft { serveSlow(flight, known) } else { wait = min(wait, began + soft - now) }
            }
            // The store says when it is there. One who fails says nothing, so look now and then.
            await flight.writes.wait(after: writes, timeout: wait, time: time)
            pause = min(pause * 2, .milliseconds(250))
        }
    }

    /// The landing when what the store has is all that was wanted.
    /// - Parameter before: what was there when the flight began.
    private func satisfied(
        _ purpose: FlightPurpose<Key, Value>, by known: Entry<Value>?, since before: Entry<Value>?, record: StoreRecord,
        at now: Timestamp
    ) -> Flight<Value>.Landing? {
        switch purpose {
        case .read(_, nil): return landing(from: known, at: now)
        case .read(_, let accepts?):
            if let landing = landing(from: known, at: now, accepts) { return landing }
            // What another machine has brought since the reader asked is as good as what this one would bring.
            guard let known, known.markedStaleAt == nil, known.generation > before?.generation ?? .zero else {
                return nil
            }
            return landing(from: known, at: now)
        case .refresh(let delivery):
            // Removed since: nobody wants it refreshed.
            guard record.entry != nil || known != nil else { return .turnedBack(.removed) }
            guard let known, isNewer(known, than: delivery.job) else { return nil }
            return known.freshness.state(at: now) == .fresh ? landing(from: known, at: now) : nil
        }
    }

    private func isNewer(_ known: Entry<Value>, than job: RefreshJob) -> Bool {
        if job.generation == .unknown { return known.freshness.confirmedAt >= job.queuedAt }
        return known.generation != job.generation
    }

    /// Asks the origin under the lease, and saves.
    private func ask(
        _ key: Key, _ entryKey: EntryKey, _ flight: Flight<Value>, _ purpose: FlightPurpose<Key, Value>,
        _ ticket: Ticket
    ) async -> Flight<Value>.Landing {
        let began = time.now
        let terms = terms(of: key)
        let (reason, rank, fetch) = question(purpose, ticket.known)
        if ticket.fence != nil { leases.hold(entryKey, ticket.token) }
        let context = FetchContext(reason: reason, previous: ticket.known, deadline: began + terms.policy.timeout)
        let softTimer = startSoftTimer(flight, ticket.known, terms.policy)
        defer { softTimer?.cancel() }
        serveJoined(flight, ticket.known, purpose, at: began)
        do {
            let fetched = try await withTimeout(terms.policy.timeout, time) {
                try await self.permitted(rank, by: terms, for: entryKey) { try await fetch(key, context) }
            }
            // Saving ends the lease: the heartbeat must not bring it back.
            leases.letGo(entryKey, ticket.token)
            let landing = try await keep(fetched, key, entryKey, flight, ticket)
            if rank == .reader {
                count { $0.fetches += 1 }
                observer?(.fetched(key: entryKey.key, reason))
            }
            return landing
        } catch {
            leases.letGo(entryKey, ticket.token)
            if case .refresh = purpose { return fallBack(ticket.known, error, time.now) }
            if !(error is OriginUnavailable) {
                count {
                    $0.fetches += 1
                    $0.fetchFailures += 1
                }
            }
            return await gaveUp(key, ticket, error)
        }
    }

    /// A fetch failed while readers wait: they get the old value while it is usable on error, and a retry is queued.
    func gaveUp(_ key: Key, _ ticket: Ticket, _ error: any Error) async -> Flight<Value>.Landing {
        let entryKey = entryKey(key)
        observer?(.fetchFailed(key: entryKey.key, error))
        await release(entryKey, ticket)
        await retryLater(key, ticket.known, error)
        return fallBack(ticket.known, error, time.now)
    }

    private func question(
        _ purpose: FlightPurpose<Key, Value>, _ known: Entry<Value>?
    ) -> (FetchReason, OriginGuard.Rank, Fetch<Key, Value>) {
        switch purpose {
        case .read(let fetch, _): (reason(for: known), .reader, fetch)
        case .refresh(let delivery): (.refresh(attempt: delivery.attempt), .refresh, self.fetch)
        }
    }

    private func reason(for known: Entry<Value>?) -> FetchReason {
        guard let known else { return .missing }
        return known.freshness.state(at: time.now) == .expired ? .expired : .notAccepted
    }

    /// The old value while it is usable on error, else the error.
    func fallBack(_ known: Entry<Value>?, _ error: any Error, _ now: Timestamp) -> Flight<Value>.Landing {
        guard let known, known.freshness.isUsableOnError(at: now) else { return .failed(error) }
        let found = known.freshness.state(at: now)
        return .entry(known, source: .store, found: found, note: .originFailed(error))
    }

    /// Readers who joined a refresh, or the fetch of one who did not accept what is there, don't wait for it while that
    /// may be served.
    private func serveJoined(
        _ flight: Flight<Value>, _ known: Entry<Value>?, _ purpose: FlightPurpose<Key, Value>, at now: Timestamp
    ) {
        guard let known else { return }
        if case .refresh = purpose { known.setClaimed(until: now + policy.leaseTime) }
        if let landing = landing(from: known, at: now) {
            flight.landEarly(landing, until: known.freshness.expiresAt)
        }
    }

    /// At the soft time-out everybody who waits gets the old value; the flight goes on.
    func startSoftTimer(
        _ flight: Flight<Value>, _ known: Entry<Value>?, _ policy: Policy
    ) -> Task<Void, Never>? {
        guard let soft = policy.softTimeout, let known else { return nil }
        return Task { [time] in
            if (try? await time.sleep(for: soft)) != nil { self.serveSlow(flight, known) }
        }
    }

    /// Everybody who waits gets the old value, if it is usable on error; the flight goes on.
    private func serveSlow(_ flight: Flight<Value>, _ known: Entry<Value>) {
        guard known.freshness.isUsableOnError(at: time.now) else { return }
        flight.landEarly(
            .entry(known, source: .memory, found: .expired, note: .originSlow), until: known.freshness.uselessAt)
    }

    /// Saves what the origin answered.
    /// - Throws: what the codec throws; ``OriginFailure`` for "not modified" where there is nothing that could be
    ///   unmodified.
    func keep(
        _ fetched: Fetched<Value>, _ key: Key, _ entryKey: EntryKey, _ flight: Flight<Value>, _ ticket: Ticket
    ) async throws -> Flight<Value>.Landing {
        defer { withExtendedLifetime(fetched.retained) {} }
        let found = ticket.known?.freshness.state(at: time.now) ?? .missing
        let metadata: EntryMetadata
        var bytes: [UInt8] = []
        var value: Value?
        var isConfirmation = false
        switch fetched.kind {
        case .notStored(let value, let keepsPrevious):
            if keepsPrevious {
                await release(entryKey, ticket)
            } else {
                await forget(key, entryKey, flight, ticket)
            }
            let metadata = self.metadata(key, fetched, isAbsent: false)
            return .notStored(value.map { makeEntry($0, metadata) })
        case .value(let new):
            bytes = try codec.encode(new)
            value = new
            metadata = self.metadata(key, fetched, isAbsent: false)
        case .absent:
            metadata = self.metadata(key, fetched, isAbsent: true)
        case .notModified:
            guard let known = ticket.known else {
                throw OriginFailure("the origin answered \"not modified\" though nothing was there to be modified")
            }
            value = known.value
            metadata = self.metadata(key, fetched, confirming: known)
            // What only this process has is saved whole: the store has no bytes, or older ones, that could be
            // confirmed.
            isConfirmation = known.generation != .zero
            if !isConfirmation, let value { bytes = try codec.encode(value) }
        }
        let outcome: SaveOutcome?
        if ticket.fence == nil {
            outcome = nil
        } else {
            let (isConfirmation, bytes) = (isConfirmation, bytes)
            outcome = await storeWrites.attempt {
                isConfirmation
                    ? try await backend.store.confirm(metadata, fence: ticket.fence, releasing: ticket.token)
                    : try await backend.store.save(
                        StoredEntry(metadata: metadata, bytes: bytes), fence: ticket.fence, releasing: ticket.token)
            }
        }
        var saved = metadata
        saved.size = isConfirmation ? ticket.known?.size ?? 0 : bytes.count
        switch outcome {
        case .saved(let generation)?:
            saved.generation = generation
        case .notKept(let generation)?:
            saved.generation = generation
            noteNotKept(saved)
        case nil:
            // Not saved: in memory only, until the store is back.
            saved.generation = .zero
        case .superseded?:
            count { $0.superseded += 1 }
            observer?(.superseded(key: entryKey.key))
            if let record = await storeReads.attempt({ try await backend.store.read([entryKey])[0] }),
                let landing = landing(from: take(record, key, flight), at: time.now)
            {
                return landing
            }
            return .entry(makeEntry(value, saved), source: .origin, found: found, note: nil)
        }
        let entry = makeEntry(value, saved)
        adopt(entry, key, for: flight)
        return .entry(entry, source: .origin, found: found, note: nil)
    }

    func metadata(_ key: Key, _ fetched: Fetched<Value>, isAbsent: Bool) -> EntryMetadata {
        let policy = terms(of: key).policy
        let limits = fetched.limits ?? (isAbsent ? policy.absentLimits : policy.limits)
        return newMetadata(
            key, policy, limits: limits, tags: fetched.tags ?? [], validator: fetched.validator, age: fetched.age,
            isAbsent: isAbsent)
    }

    private func metadata(
        _ key: Key, _ fetched: Fetched<Value>, confirming known: Entry<Value>
    ) -> EntryMetadata {
        let policy = terms(of: key).policy
        var metadata = newMetadata(
            key, policy, limits: fetched.limits ?? (known.value == nil ? policy.absentLimits : policy.limits),
            tags: fetched.tags ?? known.tags, validator: fetched.validator ?? known.validator, age: fetched.age,
            isAbsent: known.value == nil)
        metadata.savedAt = known.savedAt
        return metadata
    }

    /// The metadata of an entry that the origin confirmed `age` ago, its `refreshAfter` jittered.
    private func newMetadata(
        _ key: Key, _ policy: Policy, limits: Limits, tags: [String], validator: Validator?, age: Duration,
        isAbsent: Bool
    ) -> EntryMetadata {
        let now = time.now
        return EntryMetadata(
            key: entryKey(key), isAbsent: isAbsent, format: codec.format, savedAt: now,
            confirmedAt: now - max(.zero, age),
            limits: limits.jittered(by: policy.jitter, random: random.fraction()), validator: validator,
            tags: Array(Set(tags)).sorted())
    }

    /// What came may not be kept: neither may what was there before, unless the key was written meanwhile.
    private func forget(_ key: Key, _ entryKey: EntryKey, _ flight: Flight<Value>, _ ticket: Ticket) async {
        guard let known = ticket.known, let fence = ticket.fence, !flight.isDetached else {
            return await release(entryKey, ticket)
        }
        memory.update(key) { $0?.generation == known.generation ? .remove : .keep }
        // An entry that is dead at once, since that can be saved behind the fence.
        let now = time.now
        let dead = EntryMetadata(
            key: entryKey, isAbsent: true, format: codec.format, savedAt: now, confirmedAt: now,
            limits: Limits(raising: .zero, .zero, .zero))
        _ = await storeWrites.attempt {
            try await backend.store.save(
                StoredEntry(metadata: dead, bytes: []), fence: fence, releasing: ticket.token)
        }
    }

    func release(_ key: EntryKey, _ ticket: Ticket) async {
        if ticket.fence != nil { await release(key, ticket.token) }
    }

    func release(_ key: EntryKey, _ token: LeaseToken) async {
        _ = await storeWrites.attempt { try await backend.store.releaseLease(key, token: token) }
    }
}
