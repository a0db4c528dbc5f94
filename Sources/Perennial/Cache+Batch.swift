extension Cache {
    /// The values of several keys: what is fresh or stale at once, the stale ones refreshed behind; for all that is
    /// missing or expired the origin is asked once, if the cache has a `batch` fetch, else once a key. A batch goes by
    /// the cache's own policy and origin guard.
    /// - Returns: a value for each key that has one; absent keys are left out.
    /// - Throws: ``PartialFailure`` when some keys failed: it carries the values of the others. `CancellationError`.
    public func values(for keys: some Sequence<Key>) async throws -> [Key: Value] {
        var values: [Key: Value] = [:]
        var pending: Set<Key> = []
        let deadline = time.steady + policy.readerTimeout + patienceOverTimeout
        for key in keys {
            if let answer = lookupInMemory(key) {
                values[key] = answer.value
            } else {
                pending.insert(key)
            }
        }
        guard !pending.isEmpty else { return values }

        // Those whose flight begins here go together; the others are joined.
        var waiting: [(Key, Flight<Value>, isNew: Bool)] = []
        for key in pending {
            let (flight, isNew) = flights.join(key)
            waiting.append((key, flight, isNew))
        }
        let own = waiting.filter(\.isNew).map { ($0.0, $0.1) }
        if !own.isEmpty { Task { await flyTogether(own) } }

        var failures: [Key: any Error] = [:]
        for (key, flight, isNew) in waiting {
            do {
                switch try await flight.wait(at: time.now, atMost: deadline - time.steady, time) {
                case nil:
                    let old = fallBack(memory.peek(key), FetchTimeout(timeout: policy.readerTimeout), time.now)
                    values[key] = try answer(for: key, old, isCollapsed: !isNew).value
                case .turnedBack, .overtaken: values[key] = try await lookup(key).value
                case .notStored(.some) where !isNew: values[key] = try await lookup(key).value
                // Enough for the reader who began it.
                case .entry(_, let source, .expired, nil) where !isNew && source != .origin:
                    values[key] = try await lookup(key).value
                case let landing?: values[key] = try answer(for: key, landing, isCollapsed: !isNew).value
                }
            } catch {
                if Task.isCancelled { throw error }
                failures[key] = error
            }
        }
        guard failures.isEmpty else { throw PartialFailure(values: values, failures: failures) }
        return values
    }

    /// Flies several flights with one look in the store and one question to the origin.
    private func flyTogether(_ all: [(Key, Flight<Value>)]) async {
        guard let batch else {
            for (key, flight) in all { Task { await fly(flight, key, .read(fetch, accepting: nil)) } }
            return
        }
        let now = time.now
        let tookOff = time.steady
        let standing = standing
        let token = random.token()
        let keys = all.map { entryKey($0.0) }
        var left: [(key: Key, flight: Flight<Value>, ticket: Ticket)] = []
        let records = await reading { try await $0.read(keys) }
        var unanswered: [(Key, Flight<Value>)] = []
        for (index, (key, flight)) in all.enumerated() {
            let known = records.map { take($0[index], key, flight) } ?? memory.peek(key)
            if let found = landing(from: known, at: now) {
                flights.land(key, flight, found)
            } else {
                unanswered.append((key, flight))
            }
        }
        guard !unanswered.isEmpty else { return }
        let unansweredKeys = unanswered.map { entryKey($0.0) }
        let outcomes = await writing {
            try await $0.lease(unansweredKeys, token: token, until: now + policy.leaseTime, now: now)
        }
        for (index, (key, flight)) in unanswered.enumerated() {
            switch outcomes?[index] {
            case .held?:
                Task { await fly(flight, key, .read(fetch, accepting: nil)) }
            case .granted(let record)?:
                let known = take(record, key, flight)
                if let found = landing(from: known, at: now) {
                    await release(entryKey(key), token)
                    flights.land(key, flight, found)
                } else {
                    let ticket = Ticket(
                        token: token, known: known, fence: record.fence, standing: record.fence, tookOff: tookOff)
                    left.append((key, flight, ticket))
                }
            case nil:
                let ticket = Ticket(
                    token: token, known: memory.peek(key), fence: nil, standing: standing, tookOff: tookOff)
                left.append((key, flight, ticket))
            }
        }
        guard !left.isEmpty else { return }
        await ask(batch, left, began: now)
    }

    private func ask(
        _ batch: @escaping BatchFetch<Key, Value>, _ asked: [(key: Key, flight: Flight<Value>, ticket: Ticket)],
        began: Timestamp
    ) async {
        let keys = asked.map(\.key)
        let deadline = began + policy.timeout
        func letGo() {
            for (key, _, ticket) in asked { leases.letGo(entryKey(key), ticket.token) }
        }
        // One token holds the leases of all keys; the heartbeat counts them by the names of their keys.
        for (key, _, ticket) in asked where ticket.fence != nil { leases.hold(entryKey(key), ticket.token) }
        count { $0.fetches += 1 }
        let timers = asked.map { startSoftTimer($0.key, $0.flight, $0.ticket, policy) }
        defer { for timer in timers { timer?.cancel() } }
        do {
            let (fetched, askedAt) = try await withTimeout(policy.timeout, time) {
                try await self.permitted(.reader, by: OriginTerms(policy: self.policy, origin: self.origin), for: nil) {
                    let askedAt = self.time.steady
                    return (try await batch(keys, deadline), askedAt)
                }
            }
            letGo()
            await withDiscardingTaskGroup { group in
                for (key, flight, ticket) in asked {
                    group.addTask {
                        let landing: Flight<Value>.Landing
                        do {
                            landing = try await self.keep(
                                fetched[key] ?? .absent(), askedAt: askedAt, key, self.entryKey(key), flight, ticket)
                            self.observer?(.fetched(key: key.description, ticket.known == nil ? .missing : .expired))
                        } catch {
                            landing = await self.gaveUp(key, flight, ticket, error)
                        }
                        self.flights.land(key, flight, landing)
                    }
                }
            }
        } catch {
            letGo()
            count { $0.fetchFailures += 1 }
            for (key, flight, ticket) in asked {
                flights.land(key, flight, await gaveUp(key, flight, ticket, error))
            }
        }
    }
}

/// Some keys of ``Cache/values(for:)`` could not be had.
public struct PartialFailure<Key: Hashable & Sendable, Value: Sendable>: Error, CustomStringConvertible {
    /// What was had.
    public let values: [Key: Value]
    /// Why the others were not.
    public let failures: [Key: any Error]

    public var description: String {
        let first = failures.first.map { "; \($0.key): \($0.value)" } ?? ""
        return "\(failures.count) of \(failures.count + values.count) keys failed\(first)"
    }
}
