extension Cache {
    /// Saves a value by hand. Fetches and refreshes that began before do not overwrite it.
    /// - Parameters:
    ///   - limits: default: the policy's.
    ///   - tags: names to expire or remove it by, together with others.
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
    ///   - fence: the generation of the entry that was found stale: if the key was written since, nothing is saved. `nil`: saves
    ///     always.
    ///   - releasing: the token of the lease that the work was done under, which ends.
    /// - Returns: the new generation; `nil` when the key was written since.
    /// - Throws: ``OriginFailure`` for what can't be saved; what the codec throws; the store's error: then nothing has changed.
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
        var metadata = metadata(key, fetched, isAbsent: value == nil)
        let outcome = try await backend.store.save(
            StoredEntry(metadata: metadata, bytes: bytes), fence: fence, releasing: releasing)
        guard let generation = outcome.generation else { return nil }
        metadata.generation = generation
        metadata.size = bytes.count
        if case .notKept = outcome { noteNotKept(metadata) }
        flights.detach(key)
        adopt(makeEntry(value, metadata), key)
        return generation
    }

    /// Makes an entry stale now (soft purge): readers still get it, and the next one queues a refresh.
    /// - Returns: whether there was an entry.
    /// - Throws: the store's error.
    @discardableResult
    public func expire(_ key: Key) async throws -> Bool {
        let now = time.now
        let count = try await backend.store.expire(.key(entryKey(key)), now: now)
        flights.detach(key)
        try await reload([key])
        return count > 0
    }

    /// Makes every entry with the tag stale now.
    /// - Returns: how many there were.
    /// - Throws: the store's error.
    @discardableResult
    public func expire(tag: String) async throws -> Int {
        try await expire(.tag(tag, cache: name)) { $0.tags.contains(tag) }
    }

    /// Makes every entry stale now.
    /// - Returns: how many there were.
    /// - Throws: the store's error.
    @discardableResult
    public func expireAll() async throws -> Int {
        try await expire(.cache(name)) { _ in true }
    }

    /// Deletes an entry (hard purge): the next reader asks the origin.
    /// - Returns: whether there was an entry.
    /// - Throws: the store's error; the memory tier has then forgotten it all the same.
    @discardableResult
    public func remove(_ key: Key) async throws -> Bool {
        flights.detach(key)
        memory.update(key) { _ in .remove }
        let count = try await backend.store.remove(.key(entryKey(key)), now: time.now)
        // A reader may have brought the old entry back meanwhile.
        flights.detach(key)
        memory.update(key) { _ in .remove }
        return count > 0
    }

    /// Deletes every entry with the tag.
    /// - Returns: how many there were.
    /// - Throws: the store's error.
    @discardableResult
    public func remove(tag: String) async throws -> Int {
        try await remove(.tag(tag, cache: name)) { $0.tags.contains(tag) }
    }

    /// Deletes every entry.
    /// - Returns: how many there were.
    /// - Throws: the store's error.
    @discardableResult
    public func removeAll() async throws -> Int {
        try await remove(.cache(name)) { _ in true }
    }

    private func expire(_ selection: Selection, where isMeant: (Entry<Value>) -> Bool) async throws -> Int {
        let count = try await backend.store.expire(selection, now: time.now)
        flights.detachAll()
        var keys: [Key] = []
        memory.forEach { key, entry in if isMeant(entry) { keys.append(key) } }
        try await reload(keys)
        return count
    }

    private func remove(_ selection: Selection, where isMeant: (Entry<Value>) -> Bool) async throws -> Int {
        let count = try await backend.store.remove(selection, now: time.now)
        flights.detachAll()
        memory.removeAll { _, entry in isMeant(entry) }
        return count
    }

    /// Reads entries that the memory tier has from the store again.
    /// - Parameter wasWritten: the keys were written by somebody: also what could not be saved goes when the store has none.
    func reload(_ keys: [Key], wasWritten: Bool = false) async throws {
        for start in stride(from: 0, to: keys.count, by: 500) {
            let some = Array(keys[start..<min(start + 500, keys.count)])
            let records = try await backend.store.read(some.map(entryKey))
            for (key, record) in zip(some, records) {
                let entry = decode(record)
                let cost = entry.map { self.cost($0, key) } ?? 0
                memory.update(key) { current in
                    guard let current else { return .keep }
                    guard let entry else {
                        // Written since this was read: the next line of the change feed tells.
                        if current.generation == .zero { return wasWritten ? .remove : .keep }
                        return current.generation > record.fence ? .keep : .remove
                    }
                    if current.generation == entry.generation || current.isNewer(than: entry) { return .keep }
                    return .replace(entry, cost: cost)
                }
            }
        }
    }

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
