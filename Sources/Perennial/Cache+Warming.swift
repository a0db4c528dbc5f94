internal import Logging

extension Cache {
    /// Brings what was hot before the last process ended into the memory tier, so that its readers don't each wait for the store: the
    /// hottest first, until the tier is full. What is hot is kept in the store every five minutes and by ``shutdown(deadline:)``, where
    /// the store keeps such things (``Store/saveHotKeys(_:cache:)``).
    ///
    /// Asks no origin and queues no refresh. What `patience` was not enough for comes behind, slowly while there are readers.
    /// - Parameter patience: how long the caller waits at most. Default: 100 milliseconds.
    public func warmUp(for patience: Duration = .milliseconds(100)) async {
        let began = time.now
        var page = 0
        var keys: ArraySlice<String> = []
        while time.now < began + patience {
            if keys.isEmpty { keys = await hotKeys(page: &page) }
            if keys.isEmpty { break }
            await warm(&keys)
        }
        logger.info(
            "the memory tier is warm enough to begin",
            metadata: [
                "entries": "\(memory.statistics.count)", "after": "\(time.now - began)",
            ])
        let rest = Task { [weak self, time, page, keys] in
            var (page, keys) = (page, keys)
            var requests: Int?
            while let some = self?.memory.statistics {
                let isBusy = requests != some.hits + some.misses
                requests = some.hits + some.misses
                if isBusy, (try? await time.sleep(for: .milliseconds(100))) == nil { return }
                guard let self, !Task.isCancelled else { return }
                if keys.isEmpty { keys = await self.hotKeys(page: &page) }
                if keys.isEmpty { return }
                await self.warm(&keys)
            }
        }
        background.withLock { $0.tasks.append(rest) }
    }

    /// A page of keys in their own order, in which a store finds them faster; none at the end, or when there is no use in going on.
    private func hotKeys(page: inout Int) async -> ArraySlice<String> {
        if memory.statistics.evictions > 0 { return [] }
        let keys = await storeReads.attempt { [page] in try await backend.store.hotKeys(cache: name, page: page) }
        page += 1
        return (keys ?? []).sorted()[...]
    }

    /// Reads some of the keys, and takes them off.
    private func warm(_ keys: inout ArraySlice<String>) async {
        let some = keys.prefix(128).compactMap(Key.init).filter { memory.peek($0) == nil }
        keys = keys.dropFirst(128)
        if some.isEmpty { return }
        let own = some.compactMap { key in
            let (flight, isNew) = flights.join(key)
            return isNew ? (key: key, flight: flight) : nil
        }
        let wanted = own.map { entryKey($0.key) }
        let records: [StoreRecord]?
        if let now = backend.store.readNow(wanted) {
            records = now
        } else {
            records = await storeReads.attempt { try await backend.store.read(wanted) }
        }
        let now = time.now
        for (number, (key, flight)) in own.enumerated() {
            let found = records.flatMap { landing(from: take($0[number], key, flight), at: now) }
            flights.land(key, flight, found ?? .turnedBack(.onlyLooked))
        }
        if records == nil || memory.statistics.evictions > 0 { keys = [] }
    }

    /// Keeps which keys are hot, and behind them those that were before: a process that has not run for long knows few, and of several
    /// on one store each knows its own.
    func saveHotKeys() async {
        let limit = 100_000
        let hot = memory.hottest(limit).map(\.description)
        if hot.isEmpty { return }
        _ = await storeWrites.attempt {
            let known = Set(hot)
            var keys = hot
            for page in 0... {
                if keys.count >= limit { break }
                let before = try await backend.store.hotKeys(cache: name, page: page)
                if before.isEmpty { break }
                keys += before.lazy.filter { !known.contains($0) }.prefix(limit - keys.count)
            }
            try await backend.store.saveHotKeys(keys, cache: name)
        }
    }
}
