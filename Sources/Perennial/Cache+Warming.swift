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
        let found = await storeReads.attempt { try await backend.store.hotKeys(cache: name) }
        var keys = HotKeys(found ?? [])
        while !keys.isEmpty, time.now < began + patience { await warm(&keys) }
        logger.info(
            "the memory tier is warm enough to begin",
            metadata: [
                "entries": "\(memory.statistics.count)", "after": "\(time.now - began)", "left": "\(keys.count)",
            ]
        )
        if keys.isEmpty { return }
        let rest = Task { [weak self, time, keys] in
            var keys = keys
            var requests: Int?
            while !keys.isEmpty {
                let statistics = self?.memory.statistics
                let isBusy = requests != statistics.map { $0.hits + $0.misses }
                requests = statistics.map { $0.hits + $0.misses }
                if isBusy, (try? await time.sleep(for: .milliseconds(20))) == nil { return }
                guard let self, !Task.isCancelled else { return }
                await self.warm(&keys)
            }
        }
        background.withLock { $0.tasks.append(rest) }
    }

    /// Reads some of the keys, and takes them off; all of them, when there is no use in going on.
    private func warm(_ keys: inout HotKeys) async {
        let some = keys.take(128).compactMap(Key.init).filter { memory.peek($0) == nil }
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
        if records == nil || memory.statistics.evictions > 0 { keys = HotKeys([]) }
    }

    /// Keeps which keys are hot, and behind them those that were before: a process that has not run for long knows few, and of several
    /// on one store each knows its own.
    func saveHotKeys() async {
        let hot = memory.hottest(HotKeys.limit).map(\.description)
        if hot.isEmpty { return }
        _ = await storeWrites.attempt {
            let known = Set(hot)
            let before = try await backend.store.hotKeys(cache: name).lazy.filter { !known.contains($0) }
            try await backend.store.saveHotKeys(hot + before.prefix(HotKeys.limit - hot.count), cache: name)
        }
    }
}

/// Keys still to be read: the hottest first, but some thousands at a time in their own order, in which a store finds them faster.
private struct HotKeys {
    /// How many are kept.
    static let limit = 100_000

    private var near: ArraySlice<String> = []
    private var far: ArraySlice<String>

    init(_ keys: [String]) {
        far = keys[...]
    }

    var count: Int { near.count + far.count }
    var isEmpty: Bool { count == 0 }

    mutating func take(_ number: Int) -> ArraySlice<String> {
        if near.isEmpty {
            near = far.prefix(4_096).sorted()[...]
            far = far.dropFirst(4_096)
        }
        defer { near = near.dropFirst(number) }
        return near.prefix(number)
    }
}
