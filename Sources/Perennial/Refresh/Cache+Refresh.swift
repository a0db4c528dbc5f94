internal import Logging

extension Cache: Refreshable {
    /// A reader found the entry stale: queues its refresh, unless that has been done, and does not wait.
    func refreshBehind(_ key: Key, _ entry: Entry<Value>) {
        let now = time.steady
        guard entry.claim(at: now, until: now + policy.leaseTime) else { return }
        Task { await queueRefresh(key, entry) }
    }

    private func queueRefresh(_ key: Key, _ entry: Entry<Value>) async {
        let now = time.now
        let job = RefreshJob(
            key: entryKey(key), generation: entry.generation, leaseToken: await jobToken(), queuedAt: now)
        // What could not be saved is known to this process alone.
        guard entry.generation != .zero else { return await refreshHere(key, entry, job) }
        let look = flights.alone(key)
        defer { flights.takeOut(key, look) }
        let outcome = await writing { _ in
            // No longer than readers do without fetching.
            let leaseUntil = min(now + policy.leaseTime, max(now, entry.freshness.expiresAt))
            let outcome = try await backend.claimRefresh(job, leaseUntil: leaseUntil, now: now)
            guard case .claimed(let end) = outcome, end > now + longestRest(of: key) else { return outcome }
            // By a clock that was ahead of this one: nobody claims for so long.
            _ = try await backend.store.lease([job.key], token: job.leaseToken, until: leaseUntil, now: end)
            return try await backend.claimRefresh(job, leaseUntil: leaseUntil, now: now)
        }
        switch outcome {
        case .queued?:
            // Where store and queue are two, that is how one learns that the queue works again.
            _ = await queueCalls.attempt {}
            count { $0.refreshesQueued += 1 }
            observer?(.refreshQueued(key: job.key.key))
        case .claimed(let until)?:
            entry.setClaimed(until: time.steady + min(until - now, policy.leaseTime))
        case .newer(let record)?:
            if let newer = decode(record) {
                let cost = self.cost(newer, key)
                // Only in the place of what was claimed: the newer one may have been removed since.
                memory.update(key) { current in
                    guard current === entry else { return .keep }
                    return look.admits(max(newer.generation, record.fence)) ? .replace(newer, cost: cost) : .remove
                }
            } else {
                memory.update(key) { $0 === entry ? .remove : .keep }
            }
        case .notQueued(let error)?:
            _ = await queueCalls.attempt { throw error }
            await refreshHere(key, entry, job)
        case nil:
            await refreshHere(key, entry, job)
        }
    }

    /// The queue can't be reached: this process does the refresh at once, as a first and last attempt. Only so many at
    /// a time: a store that is merely slow must not make every process ask the origin for everything. A read a second
    /// later takes up the others.
    private func refreshHere(_ key: Key, _ entry: Entry<Value>, _ job: RefreshJob) async {
        guard refreshesHere.enter() else { return entry.setClaimed(until: time.steady + .seconds(1)) }
        defer { refreshesHere.leave() }
        let delivery = Delivery(id: "", job: job, attempt: 1, receipt: "", isRedelivery: false)
        if case .done = await refresh(delivery) { return }
        let retry = terms(of: key).policy.retry
        entry.setClaimed(until: time.steady + retry.pause(afterFailures: 1, random: random.fraction()))
    }

    /// Does one attempt at a job: looks in the store first, asks the origin, saves.
    public func refresh(_ delivery: Delivery) async -> RefreshOutcome {
        let job = delivery.job
        guard let key = Key(job.key.key) else {
            return .failed(error: "'\(job.key.key)' is not a key of the cache '\(name)'", retryAt: nil)
        }
        if let outcome = await turnAway(delivery) { return outcome }
        let (flight, isNew) = flights.join(key)
        let landing: Flight<Value>.Landing
        if isNew {
            landing = await fly(flight, key, .refresh(delivery))
        } else {
            // The flight may be waiting for this very lease.
            await release(job.key, job.leaseToken)
            guard let joined = try? await flight.wait(at: time.now, atMost: nil, time) else {
                return .notNow(until: time.now)
            }
            landing = joined
        }
        if case .turnedBack(.removed) = landing, job.generation == .unknown {
            // Whoever sent it may wait for it.
            logger.notice(
                "a refresh was asked for of a key that nothing is kept for; it is not fetched",
                metadata: ["key": "\(job.key.key)"])
        }
        switch landing {
        case .turnedBack(.onlyLooked):
            return .notNow(until: time.now)
        case .turnedBack(.leaseHeld(let until)):
            return .notNow(until: min(until, time.now + .seconds(1)))
        case .entry(let entry, .store, _, note: nil) where entry.freshness.state(at: time.now) != .fresh:
            // A reader's flight found it stale, or it was expired by hand during the refresh: there is still something
            // to do.
            entry.setClaimed(until: time.steady + .seconds(1))
            return .notNow(until: time.now + .seconds(1))
        case .notStored, .overtaken, .turnedBack(.removed), .entry(_, _, _, note: nil):
            let asked = if case .entry(_, .origin, _, _) = landing { true } else { false }
            count {
                $0.refreshes += 1
                if !asked { $0.refreshesAdopted += 1 }
            }
            observer?(.refreshed(key: job.key.key, asked: asked))
            return .done
        case .entry(_, _, _, note: .originSlow?):
            // A reader's flight is still waiting for the origin.
            return .notNow(until: time.now + .seconds(1))
        case .entry(_, _, _, note: .originFailed(let error)?), .failed(let error):
            return await failed(key, delivery, error)
        }
    }

    private func failed(_ key: Key, _ delivery: Delivery, _ error: any Error) async -> RefreshOutcome {
        let now = time.now
        let terms = terms(of: key)
        let policy = terms.policy
        if error is CancellationError { return .notNow(until: now) }
        if let unavailable = error as? OriginUnavailable {
            // Spread out, so that the first moment of its return is not the worst.
            let spread = Duration.milliseconds(Int64(random.fraction() * 1000))
            await rest(key, delivery.job, until: unavailable.retryAt + spread)
            return .notNow(until: unavailable.retryAt + spread)
        }
        let hint = error as? any OriginError
        let isLast = delivery.attempt >= policy.retry.attempts || hint?.isPermanent == true
        let pause = policy.retry.pause(
            afterFailures: delivery.attempt, retryAfter: terms.origin.obeyed(hint?.retryAfter),
            random: random.fraction())
        let retryAt = isLast ? nil : now + pause
        count {
            $0.refreshFailures += 1
            if isLast { $0.deadLetters += 1 }
        }
        observer?(.refreshFailed(key: delivery.job.key.key, attempt: delivery.attempt, error, retryAt: retryAt))
        logger.log(
            level: isLast ? .warning : .info,
            isLast ? "a refresh failed for good" : "a refresh failed and will be tried again",
            metadata: ["key": "\(delivery.job.key.key)", "attempt": "\(delivery.attempt)", "error": "\(error)"])
        await rest(key, delivery.job, until: retryAt ?? now + policy.coolDown)
        if let entry = memory.peek(key), entry.freshness.state(at: now) == .expired {
            // While there is an attempt to come, readers don't wait for the origin in its stead.
            entry.setFailing(until: time.steady + (retryAt.map { $0 - now + policy.timeout } ?? policy.coolDown))
        }
        return .failed(error: String(describing: error), retryAt: retryAt)
    }

    /// No lease on a key lasts longer: neither one that somebody works under, nor one for the pause after a failure.
    func longestRest(of key: Key) -> Duration {
        let terms = terms(of: key)
        let pauses = [
            policy.leaseTime, terms.policy.retry.maximum, terms.policy.coolDown, terms.origin.longestRetryAfter,
        ]
        return pauses.reduce(.zero, max) + .minutes(10)
    }

    /// No reader queues another refresh before `until`. When the entry expires before, readers may fetch from then on.
    private func rest(_ key: Key, _ job: RefreshJob, until: Timestamp) async {
        let now = time.now
        let entry = memory.peek(key)
        entry?.setClaimed(until: time.steady + (until - now))
        let leaseEnd = min(until, entry?.freshness.expiresAt ?? now)
        _ = await writing { store in
            if leaseEnd > now {
                _ = try await store.extendLease(job.key, token: job.leaseToken, until: leaseEnd, now: now)
            } else {
                try await store.releaseLease(job.key, token: job.leaseToken)
            }
        }
    }

    /// A reader's fetch failed and it got the old value: a refresh is queued for later, and until then readers get the
    /// old value at once.
    func retryLater(_ key: Key, _ known: Entry<Value>?, _ error: any Error) async {
        let now = time.now
        // An entry that has not expired is refreshed when a reader finds it stale, and not before.
        guard let known, known.freshness.state(at: now) == .expired, known.freshness.isUsableOnError(at: now) else {
            return
        }
        let terms = terms(of: key)
        let pause = terms.policy.retry.pause(
            afterFailures: 1, retryAfter: terms.origin.obeyed((error as? any OriginError)?.retryAfter),
            random: random.fraction())
        let until = max(now + pause, (error as? OriginUnavailable)?.retryAt ?? now)
        known.setFailing(until: time.steady + (until - now))
        guard known.generation != .zero else { return }
        let job = RefreshJob(
            key: entryKey(key), generation: known.generation, leaseToken: await jobToken(), queuedAt: now)
        if await queueCalls.attempt({ try await backend.queue.enqueue(job, notBefore: until, now: now) }) == true {
            count { $0.refreshesQueued += 1 }
            observer?(.refreshQueued(key: job.key.key))
        }
    }
}
