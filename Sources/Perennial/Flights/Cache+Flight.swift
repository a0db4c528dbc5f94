internal import Logging

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
        await lookAgain(key, after: flight)
        flights.land(key, flight, landing)
        return landing
    }

    /// What a flight brought while changes were missed was not kept, since it might be purged: the store knows.
    func lookAgain(_ key: Key, after flight: Flight<Value>) async {
        guard flight.hasMissedWrites, storeReads.failure == nil else { return }
        let look = flights.alone(key)
        defer { flights.takeOut(key, look) }
        if let record = await reading({ try await $0.read([entryKey(key)])[0] }) { _ = take(record, key, look) }
    }

    /// Asks for one reader alone, past the store: what came to the others may not be shared. Nor is this kept: without
    /// the store nobody would hear of other machines' purges of it.
    func flyAlone(_ flight: Flight<Value>, _ key: Key, _ fetch: @escaping Fetch<Key, Value>) async {
        let ticket = Ticket(
            token: "", known: nil, fence: nil, standing: standing, tookOff: time.steady, isAlone: true)
        flights.land(key, flight, await ask(key, entryKey(key), flight, .read(fetch, accepting: nil), ticket))
    }

    private func landing(
        _ flight: Flight<Value>, _ key: Key, _ purpose: FlightPurpose<Key, Value>
    ) async -> Flight<Value>.Landing {
        let entryKey = entryKey(key)
        let tookOff = time.steady
        var known = memory.peek(key)
        // A reader may find in the store what it needs, without a write.
        if case .read(_, let accepts) = purpose {
            if let record = await reading({ try await $0.read([entryKey])[0] }) {
                known = take(record, key, flight)
            }
            if let found = landing(from: known, at: time.now, accepts) { return found }
        }
        switch await lease(key, entryKey, known, flight, purpose, since: tookOff) {
        case .landed(let landing): return landing
        case .ready(let ticket): return await ask(key, entryKey, flight, purpose, ticket)
        }
    }

    /// The right to ask the origin, and what was known when it was got.
    struct Ticket: Sendable {
        let token: LeaseToken
        let known: Entry<Value>?
        /// `nil`: the store could not be reached; nothing can be saved now.
        let fence: Generation?
        /// Where the store stood, at the latest.
        let standing: Generation
        /// When the flight began, by the steady clock.
        let tookOff: Timestamp
        /// What comes is for the one reader who waits, and is not kept.
        var isAlone = false
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
        noteStanding(record.fence)
        let current = memory.peek(key)
        if let current, let stored = record.entry, current.generation == stored.metadata.generation { return current }
        guard let entry = decode(record) else { return current?.generation == .zero ? current : nil }
        if let current, current.isNewer(than: entry, at: time.now) { return current }
        adopt(entry, key, for: flight, asOf: max(entry.generation, record.fence))
        return entry
    }

    /// Takes the key's lease, or waits for what its holder brings.
    private func lease(
        _ key: Key, _ entryKey: EntryKey, _ known: Entry<Value>?, _ flight: Flight<Value>,
        _ purpose: FlightPurpose<Key, Value>, since tookOff: Timestamp
    ) async -> Approach {
        let before = known
        let standing = standing
        var known = known
        var token = random.token()
        if case .refresh(let delivery) = purpose { token = delivery.job.leaseToken }
        let terms = terms(of: key).policy
        var pause = Duration.milliseconds(5)
        func ready(_ fence: Generation?) -> Approach {
            .ready(Ticket(token: token, known: known, fence: fence, standing: fence ?? standing, tookOff: tookOff))
        }
        while true {
            let now = time.now
            let writes = flight.writes.rings
            let outcome = await writing { try await takeLease(key, token: token, now: now, $0) }
            guard let outcome else { return ready(nil) }
            known = take(outcome.record, key, flight)
            let satisfied = satisfied(purpose, by: known, since: before, record: outcome.record, at: now)
            switch outcome {
            case .granted(let record):
                guard let satisfied else { return ready(record.fence) }
                await release(entryKey, token)
                return .landed(satisfied)
            case .held(let until, _):
                if let satisfied { return .landed(satisfied) }
                if case .refresh = purpose { return .landed(.turnedBack(.leaseHeld(until: until))) }
                // Held for an entry that others still take: it may be for a job that nobody works on yet, and this
                // reader does not wait for that. The fence decides whose answer is kept.
                if let known, known.freshness.state(at: now) != .expired { return ready(outcome.record.fence) }
            }
            // Another machine is asking: what it brings is for us too.
            let waited = time.steady - tookOff
            if waited >= terms.readerTimeout {
                return .landed(fallBack(known, FetchTimeout(timeout: terms.readerTimeout), now))
            }
            var wait = min(pause, terms.readerTimeout - waited)
            if let soft = terms.softTimeout, let known {
                if waited >= soft { serveSlow(key, flight, known) } else { wait = min(wait, soft - waited) }
            }
            // The store says when it is there. One who fails says nothing, so look now and then.
            await flight.writes.wait(after: writes, timeout: wait, time: time)
            pause = min(pause * 2, .milliseconds(250))
        }
    }

    /// Takes the lease unless somebody else holds it. Who seems to hold it for longer than anybody takes one went by a
    /// clock that was ahead of this one, and would have corrected that: they hold it no more.
    private func takeLease(
        _ key: Key, token: LeaseToken, now: Timestamp, _ store: any Store
    ) async throws -> LeaseOutcome {
        let entryKey = entryKey(key)
        let outcome = try await store.lease([entryKey], token: token, until: now + policy.leaseTime, now: now)[0]
        guard case .held(let end, let record) = outcome else { return outcome }
        // The store may have taken its time.
        let now = time.now
        let state = record.entry?.metadata.freshness.state(at: now) ?? .missing
        // While readers have something to take, a lease may last as long as the pause after a failure.
        let longest =
            state == .stale || state == .fresh ? longestRest(of: key) : policy.leaseTime + ClockWatch.tolerance
        guard end > now + longest else { return outcome }
        logger.notice("a lease of a clock that was ahead is taken up", metadata: ["key": "\(entryKey.key)"])
        return try await store.lease([entryKey], token: token, until: now + policy.leaseTime, now: end)[0]
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
            guard let known, isNewer(known, than: delivery.job, at: now) else { return nil }
            return known.freshness.state(at: now) == .fresh ? landing(from: known, at: now) : nil
        }
    }

    private func isNewer(_ known: Entry<Value>, than job: RefreshJob, at now: Timestamp) -> Bool {
        if job.generation == .unknown {
            return known.freshness.confirmedAt >= job.queuedAt && !known.freshness.isAhead(of: now)
        }
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
        let context = FetchContext(
            reason: reason, previous: ticket.known, deadline: began + terms.policy.timeout,
            noteAnswer: { [weak flight] in flight?.noteAnswer() })
        let softTimer = startSoftTimer(key, flight, ticket, terms.policy)
        defer { softTimer?.cancel() }
        serveJoined(flight, ticket.known, purpose, at: began)
        do {
            let (fetched, askedAt) = try await withTimeout(terms.policy.timeout, time) {
                try await self.permitted(rank, by: terms, for: entryKey) {
                    let askedAt = self.time.steady
                    return (try await fetch(key, context), askedAt)
                }
            }
            // Saving ends the lease: the heartbeat must not bring it back.
            leases.letGo(entryKey, ticket.token)
            let landing = try await keep(fetched, askedAt: askedAt, key, entryKey, flight, ticket)
            if rank == .reader {
                count { $0.fetches += 1 }
                observer?(.fetched(key: entryKey.key, reason))
            }
            return landing
        } catch {
            leases.letGo(entryKey, ticket.token)
            if case .refresh = purpose {
                return fallBack(await left(of: ticket.known, key, entryKey, flight), error, time.now)
            }
            if !(error is OriginUnavailable) {
                count {
                    $0.fetches += 1
                    $0.fetchFailures += 1
                }
            }
            return await gaveUp(key, flight, ticket, error)
        }
    }

    /// A fetch failed while readers wait: they get the old value while it is usable on error, and a retry is queued.
    func gaveUp(
        _ key: Key, _ flight: Flight<Value>, _ ticket: Ticket, _ error: any Error
    ) async -> Flight<Value>.Landing {
        let entryKey = entryKey(key)
        observer?(.fetchFailed(key: entryKey.key, error))
        await release(entryKey, ticket)
        let known = await left(of: ticket.known, key, entryKey, flight)
        await retryLater(key, known, error)
        return fallBack(known, error, time.now)
    }

    /// What there is now of an entry that was there when the flight began: it may have been purged since.
    private func left(
        of known: Entry<Value>?, _ key: Key, _ entryKey: EntryKey, _ flight: Flight<Value>
    ) async -> Entry<Value>? {
        guard known != nil, flight.isOvertaken else { return known }
        guard let record = await reading({ try await $0.read([entryKey])[0] }) else { return memory.peek(key) }
        return take(record, key, flight)
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
        if case .refresh = purpose { known.setClaimed(until: time.steady + policy.leaseTime) }
        if let landing = landing(from: known, at: now) {
            flight.landEarly(landing, until: known.freshness.expiresAt)
        }
    }

    /// At the soft time-out, which counts from the flight's beginning, everybody who waits gets the old value; the
    /// flight goes on.
    func startSoftTimer(
        _ key: Key, _ flight: Flight<Value>, _ ticket: Ticket, _ policy: Policy
    ) -> Task<Void, Never>? {
        guard let soft = policy.softTimeout, let known = ticket.known else { return nil }
        let left = soft - (time.steady - ticket.tookOff)
        return Task { [time] in
            if (try? await time.sleep(for: left)) != nil { self.serveSlow(key, flight, known) }
        }
    }

    /// Everybody who waits gets the old value, if it is usable on error; the flight goes on.
    private func serveSlow(_ key: Key, _ flight: Flight<Value>, _ known: Entry<Value>) {
        let isOvertaken = flight.isOvertaken
        // What was known may be purged; what the memory tier has is not.
        guard let known = isOvertaken ? memory.peek(key) : known,
            known.freshness.isUsableOnError(at: time.now)
        else { return }
        flight.landEarly(
            .entry(known, source: .memory, found: .expired, note: .originSlow), until: known.freshness.uselessAt,
            isCurrent: isOvertaken)
    }

    /// Saves what the origin answered.
    /// - Parameter askedAt: when it was asked, by the steady clock.
    /// - Throws: what the codec throws; ``OriginFailure`` for "not modified" where there is nothing that could be
    ///   unmodified.
    func keep(
        _ fetched: Fetched<Value>, askedAt: Timestamp, _ key: Key, _ entryKey: EntryKey, _ flight: Flight<Value>,
        _ ticket: Ticket
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
            let metadata = self.metadata(key, fetched, askedAt: askedAt, isAbsent: false)
            return .notStored(value.map { makeEntry($0, metadata) })
        case .value(let new):
            bytes = try codec.encode(new)
            value = new
            metadata = self.metadata(key, fetched, askedAt: askedAt, isAbsent: false)
        case .absent:
            metadata = self.metadata(key, fetched, askedAt: askedAt, isAbsent: true)
        case .notModified:
            guard let known = ticket.known else {
                throw OriginFailure("the origin answered \"not modified\" though nothing was there to be modified")
            }
            value = known.value
            metadata = self.metadata(key, fetched, askedAt: askedAt, confirming: known)
            // What only this process has is saved whole: the store has no bytes, or older ones, that could be
            // confirmed.
            isConfirmation = known.generation != .zero
            if !isConfirmation, let value { bytes = try codec.encode(value) }
        }
        if ticket.isAlone { return .notStored(makeEntry(value, metadata)) }
        let outcome: SaveOutcome?
        if ticket.fence == nil {
            outcome = nil
        } else {
            let (isConfirmation, bytes) = (isConfirmation, bytes)
            outcome = await writing { store in
                isConfirmation
                    ? try await store.confirm(metadata, fence: ticket.fence, releasing: ticket.token)
                    : try await store.save(
                        StoredEntry(metadata: metadata, bytes: bytes), fence: ticket.fence, releasing: ticket.token)
            }
        }
        var saved = metadata
        saved.size = isConfirmation ? ticket.known?.size ?? 0 : bytes.count
        switch outcome {
        case .saved(let generation)?:
            saved.generation = generation
            noteStanding(generation)
        case .notKept(let generation)?:
            saved.generation = generation
            noteStanding(generation)
            noteNotKept(saved)
        case nil:
            // Not saved: in memory only, until the store is back.
            saved.generation = .zero
            if !flight.admits(ticket.standing) {
                return .overtaken(makeEntry(value, saved), found: found)
            }
            // Unless it is the entry that the store can't have.
            if storeWrites.failure != nil { unsaved.note(ticket.standing) }
        case .superseded?:
            count { $0.superseded += 1 }
            observer?(.superseded(key: entryKey.key))
            if let record = await reading({ try await $0.read([entryKey])[0] }),
                let landing = landing(from: take(record, key, flight), at: time.now)
            {
                return landing
            }
            saved.generation = .zero
            return .overtaken(makeEntry(value, saved), found: found)
        }
        let entry = makeEntry(value, saved)
        adopt(entry, key, for: flight, asOf: outcome == nil ? ticket.standing : saved.generation)
        return .entry(entry, source: .origin, found: found, note: nil)
    }

    /// - Parameter askedAt: when the origin was asked, by the steady clock.
    func metadata(
        _ key: Key, _ fetched: Fetched<Value>, askedAt: Timestamp, isAbsent: Bool
    ) -> EntryMetadata {
        let policy = terms(of: key).policy
        let limits = fetched.limits ?? (isAbsent ? policy.absentLimits : policy.limits)
        return newMetadata(
            key, policy, limits: limits, tags: fetched.tags ?? [], validator: fetched.validator,
            age: fetched.age(askedAt: askedAt, now: time.steady), isAbsent: isAbsent)
    }

    private func metadata(
        _ key: Key, _ fetched: Fetched<Value>, askedAt: Timestamp, confirming known: Entry<Value>
    ) -> EntryMetadata {
        let policy = terms(of: key).policy
        var metadata = newMetadata(
            key, policy, limits: fetched.limits ?? (known.value == nil ? policy.absentLimits : policy.limits),
            tags: fetched.tags ?? known.tags, validator: fetched.validator ?? known.validator,
            age: fetched.age(askedAt: askedAt, now: time.steady), isAbsent: known.value == nil)
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
            key: entryKey(key), isAbsent: isAbsent, format: codec.format, savedAt: now, confirmedAt: now - age,
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
        _ = await writing {
            try await $0.save(StoredEntry(metadata: dead, bytes: []), fence: fence, releasing: ticket.token)
        }
    }

    func release(_ key: EntryKey, _ ticket: Ticket) async {
        if ticket.fence != nil { await release(key, ticket.token) }
    }

    func release(_ key: EntryKey, _ token: LeaseToken) async {
        _ = await writing { try await $0.releaseLease(key, token: token) }
    }
}
