extension Cache {
    /// Saves a value by hand. Fetches and refreshes that began before do not overwrite it.
    /// - Parameters:
    ///   - limits: default: the policy's.
    ///   - tags: names to mark stale or remove it by, together with others.
    ///   - validator: what a later fetch may ask the origin with.
    /// - Throws: what the codec throws; the store's error: then nothing has changed.
    public func set(
        _ key: Key, to value: Value, limits: Limits? = nil, tags: [String] = [], validator: Validator? = nil
    ) async throws {
        let fetched = Fetched.value(value, limits: limits, tags: tags, validator: validator)
        _ = try await accept(fetched, for: key, fence: nil)
    }

    /// Saves what somebody outside asked the origin for: the end of a refresh that another program does.
    /// - Parameters:
    ///   - fetched: a value, or that there is none; anything else can't be saved.
    ///   - fence: the generation of the entry that was found stale: if the key was written since, nothing is saved.
    ///     `nil`: saves always.
    ///   - releasing: the token of the lease that the work was done under, which ends.
    /// - Returns: the new generation; `nil` when the key was written since.
    /// - Throws: ``OriginFailure`` for what can't be saved; what the codec throws; the store's error: then nothing has
    ///   changed.
    @discardableResult
    public func accept(
        _ fetched: Fetched<Value>, for key: Key, fence: Generation?, releasing: LeaseToken? = nil
    ) async throws -> Generation? {
        let value: Value?
        switch fetched.kind {
        case .value(let new): value = new
        case .absent: value = nil
        case .notModified, .notStored: throw OriginFailure("only a value, or that there is none, can be saved by hand")
        }
        let bytes = try value.map { try codec.encode($0) } ?? []
        var metadata = metadata(key, fetched, askedAt: time.steady, isAbsent: value == nil)
        try await settlePurges()
        // It may be purged again before this process knows that it was saved.
        let flight = flights.alone(key)
        defer { flights.takeOut(key, flight) }
        let outcome = try await backend.store.save(
            StoredEntry(metadata: metadata, bytes: bytes), fence: fence, releasing: releasing)
        guard let generation = outcome.generation else { return nil }
        metadata.generation = generation
        metadata.size = bytes.count
        if case .notKept = outcome { noteNotKept(metadata) }
        flights.detach(key, except: flight)
        adopt(makeEntry(value, metadata), key, for: flight, asOf: generation)
        await lookAgain(key, after: flight)
        return generation
    }

    /// Makes an entry stale now (soft purge): readers still get it, and the next one queues a refresh.
    ///
    /// Where the store can't be told, this process acts as if it had been, reads nothing from the store until it has
    /// been, and tells it as soon as it can. The same holds for all purges.
    /// - Returns: whether there was an entry.
    /// - Throws: the store's error.
    @discardableResult
    public func markStale(_ key: Key) async throws -> Bool {
        try await purge(.markStale, .key(entryKey(key)), only: key) { _ in true } > 0
    }

    /// Makes every entry with the tag stale now.
    /// - Returns: how many there were.
    /// - Throws: the store's error; see ``markStale(_:)``.
    @discardableResult
    public func markStale(tag: String) async throws -> Int {
        try await purge(.markStale, .tag(tag, cache: name)) { $0.tags.contains(tag) }
    }

    /// Makes every entry stale now.
    /// - Returns: how many there were.
    /// - Throws: the store's error; see ``markStale(_:)``.
    @discardableResult
    public func markAllStale() async throws -> Int {
        try await purge(.markStale, .cache(name)) { _ in true }
    }

    /// Deletes an entry (hard purge): the next reader asks the origin.
    /// - Returns: whether there was an entry.
    /// - Throws: the store's error; see ``markStale(_:)``.
    @discardableResult
    public func remove(_ key: Key) async throws -> Bool {
        try await purge(.remove, .key(entryKey(key)), only: key) { _ in true } > 0
    }

    /// Deletes every entry with the tag.
    /// - Returns: how many there were.
    /// - Throws: the store's error; see ``markStale(_:)``.
    @discardableResult
    public func remove(tag: String) async throws -> Int {
        try await purge(.remove, .tag(tag, cache: name)) { $0.tags.contains(tag) }
    }

    /// Deletes every entry.
    /// - Returns: how many there were.
    /// - Throws: the store's error; see ``markStale(_:)``.
    @discardableResult
    public func removeAll() async throws -> Int {
        try await purge(.remove, .cache(name)) { _ in true }
    }

    /// - Parameters:
    ///   - only: the key, where it is but one.
    ///   - isMeant: whether an entry of the memory tier is purged.
    private func purge(
        _ kind: PurgeKind, _ selection: Selection, only key: Key? = nil,
        where isMeant: (Entry<Value>) -> Bool
    ) async throws -> Int {
        // A removal by key is so for everybody at once; the others when the store has it.
        if let key, kind == .remove { purgeHere(kind, only: key, where: isMeant) }
        let counted: Result<Int, any Error>
        do {
            try await settlePurges()
            counted = .success(try await backend.store.purge(kind, selection, now: time.now))
        } catch {
            // The store may have done it, or not: twice does no harm.
            owedPurges.add(OwedPurges.Purge(kind: kind, selection: selection))
            counted = .failure(error)
        }
        // A reader may have brought an old entry back meanwhile.
        let marked = purgeHere(kind, only: key, where: isMeant)
        // Their generations are new, which nobody here depends on.
        if case .success = counted { try? await reload(marked) }
        return try counted.get()
    }

    /// Purges what this process has of it.
    /// - Returns: the keys of what is now marked stale.
    @discardableResult
    private func purgeHere(
        _ kind: PurgeKind, only key: Key?, where isMeant: (Entry<Value>) -> Bool
    ) -> [Key] {
        func detach() {
            if let key { flights.detach(key) } else { flights.detachAll() }
        }
        detach()
        // Also those that began meanwhile, and found what was not purged yet.
        defer { detach() }
        if kind == .remove {
            if let key { memory.update(key) { _ in .remove } } else { memory.removeAll { _, entry in isMeant(entry) } }
            return []
        }
        var keys: [Key] = []
        if let key {
            keys = [key]
        } else {
            memory.forEach { key, entry in if isMeant(entry) { keys.append(key) } }
        }
        let now = time.now
        for key in keys {
            memory.update(key) { entry in
                guard let entry else { return .keep }
                var metadata = entry.metadata(of: entryKey(key), format: codec.format)
                metadata.markedStaleAt = min(metadata.markedStaleAt ?? now, now)
                let marked = makeEntry(entry.value, metadata)
                return .replace(marked, cost: cost(marked, key))
            }
        }
        return keys
    }

    /// Reads entries that the memory tier has from the store again.
    /// - Parameter wasWritten: the keys were written by somebody: also what could not be saved goes when the store has
    ///   none.
    func reload(_ keys: [Key], wasWritten: Bool = false, tries: Int = 3) async throws {
        let now = time.now
        var again: [Key] = []
        for start in stride(from: 0, to: keys.count, by: 500) {
            let some = Array(keys[start..<min(start + 500, keys.count)])
            let looks = some.map { flights.alone($0) }
            defer { for (key, look) in zip(some, looks) { flights.takeOut(key, look) } }
            let records = try await backend.store.read(some.map(entryKey))
            for ((key, look), record) in zip(zip(some, looks), records) {
                let entry = decode(record)
                let cost = entry.map { self.cost($0, key) } ?? 0
                memory.update(key) { current in
                    guard let current else { return .keep }
                    guard let entry else {
                        // Written since this was read: the next line of the change feed tells.
                        if current.generation == .zero { return wasWritten ? .remove : .keep }
                        return current.generation > record.fence ? .keep : .remove
                    }
                    if current.generation == entry.generation || current.isNewer(than: entry, at: now) { return .keep }
                    if look.admits(max(entry.generation, record.fence)) { return .replace(entry, cost: cost) }
                    // Purged meanwhile, or not: the store knows.
                    if tries == 1 { return .remove }
                    again.append(key)
                    return .keep
                }
            }
        }
        if !again.isEmpty { try await reload(again, wasWritten: wasWritten, tries: tries - 1) }
    }

    @available(*, deprecated, renamed: "markStale(_:)")
    @discardableResult
    public func expire(_ key: Key) async throws -> Bool { try await markStale(key) }

    @available(*, deprecated, renamed: "markStale(tag:)")
    @discardableResult
    public func expire(tag: String) async throws -> Int { try await markStale(tag: tag) }

    @available(*, deprecated, renamed: "markAllStale()")
    @discardableResult
    public func expireAll() async throws -> Int { try await markAllStale() }

    /// Every entry of the cache that is not dead, in the order of the keys, read from the store page by page.
    /// - Parameter tag: only those with this tag.
    public func all(tag: String? = nil) -> AsyncThrowingStream<(Key, Answer<Value>), any Error> {
        let cursor = PageCursor(cache: self, tag: tag)
        return AsyncThrowingStream { try await cursor.next() }
    }
}

/// Walks through a cache's entries; used by one consumer.
private actor PageCursor<Key: Hashable & Sendable & LosslessStringConvertible, Value: Sendable> {
    private let cache: Cache<Key, Value>
    private let tag: String?
    private var page: ArraySlice<(Key, Answer<Value>)> = []
    private var last: EntryKey?
    private var isAtEnd = false

    init(cache: Cache<Key, Value>, tag: String?) {
        self.cache = cache
        self.tag = tag
    }

    func next() async throws -> (Key, Answer<Value>)? {
        while page.isEmpty {
            if isAtEnd { return nil }
            try await turn()
        }
        return page.popFirst()
    }

    private func turn() async throws {
        let store = cache.backend.store
        let metadata = try await store.list(cache: cache.name, tag: tag, after: last, limit: 200)
        guard let end = metadata.last?.key else {
            isAtEnd = true
            return
        }
        last = end
        let records = try await store.read(metadata.map(\.key))
        let now = cache.time.now
        page =
            zip(metadata, records).compactMap { metadata, record -> (Key, Answer<Value>)? in
                guard metadata.deadAt > now, let key = Key(metadata.key.key), let entry = cache.decode(record) else {
                    return nil
                }
                return (key, Answer(entry, state: entry.freshness.state(at: now), source: .store, at: now))
            }[...]
    }
}
