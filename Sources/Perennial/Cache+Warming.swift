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
        let requests = memory.statistics.requests
        let warming = Task { [weak self, time] in
            var page = 0
            var keys: ArraySlice<String> = []
            var requests = requests
            while let now = self?.memory.statistics.requests {
                if now != requests, time.now >= began + patience,
                    (try? await time.sleep(for: .milliseconds(100))) == nil
                {
                    return
                }
                requests = now
                guard let self, !Task.isCancelled else { return }
                if keys.isEmpty { keys = await self.hotKeys(page: &page) }
                if keys.isEmpty { return }
                await self.warm(&keys)
                // Where there is but one thread, others wait for it.
                await Task.yield()
            }
        }
        let isOver = background.withLock { background in
            background.tasks.append(warming)
            return background.isOver
        }
        if isOver { warming.cancel() }
        try? await withTimeout(patience, time) { await warming.value }
        logger.info(
            "the memory tier is warm enough to begin",
            metadata: ["entries": "\(memory.statistics.count)", "after": "\(time.now - began)"])
    }

    /// A page of keys; none at the end, or when there is no use in going on. The further down the list, the more of them are in their
    /// own order, in which a store finds them faster.
    private func hotKeys(page: inout Int) async -> ArraySlice<String> {
        if memory.statistics.evictions > 0 { return [] }
        // Says nothing of whether the store can be reached: one that keeps no such keys never fails.
        var keys = (try? await backend.store.hotKeys(cache: name, page: page)) ?? []
        var start = 0
        while start < keys.count {
            let end = page == 0 ? min(max(64, start * 2), keys.count) : keys.count
            keys[start..<end].sort()
            start = end
        }
        page += 1
        return keys[...]
    }

    /// Reads some of the keys, and takes them off.
    private func warm(_ keys: inout ArraySlice<String>) async {
        let some = keys.prefix(64).compactMap(Key.init).filter { memory.peek($0) == nil }
        keys = keys.dropFirst(64)
        let looks = beginLooks(some)
        if looks.isEmpty { return }
        let wanted = looks.map { entryKey($0.key) }
        var records = readNow(wanted)
        if records == nil { records = await read(wanted) }
        // What has to be rescued from another format, or can't be, is left to who asks for it.
        let readable = records?.map { record in
            guard let metadata = record.entry?.metadata, !metadata.isAbsent, metadata.format != codec.format else {
                return record
            }
            return StoreRecord(entry: nil, fence: record.fence)
        }
        landLooks(looks, readable)
        if records == nil || memory.statistics.evictions > 0 { keys = [] }
    }

    /// Keeps which keys are hot, and behind them those that were before: a process that has not run for long knows few, and of several
    /// on one store each knows its own.
    func saveHotKeys() async {
        let limit = 100_000
        let hot = memory.hottest(limit).map(\.description)
        if hot.isEmpty { return }
        do {
            var known: Set<String> = []
            var keys = hot.filter { known.insert($0).inserted }
            for page in 0... {
                if keys.count >= limit { break }
                let before = try await backend.store.hotKeys(cache: name, page: page)
                if before.isEmpty { break }
                keys += before.filter { known.insert($0).inserted }.prefix(limit - keys.count)
            }
            try await backend.store.saveHotKeys(keys, cache: name)
        } catch {
            logger.info("the next process will begin with what was hot before", metadata: ["error": "\(error)"])
        }
    }
}
