internal import Synchronization

extension Cache {
    /// What `call` reads; `nil` when the store can't be reached, or could not be told yet of a purge made here.
    func reading<Result>(_ call: (any Store) async throws -> Result) async -> Result? {
        await storeReads.attempt {
            try await settlePurges()
            return try await call(backend.store)
        }
    }

    /// As ``reading(_:)``, for what writes.
    func writing<Result>(_ call: (any Store) async throws -> Result) async -> Result? {
        let result = await storeWrites.attempt {
            try await settlePurges()
            return try await call(backend.store)
        }
        if result != nil, !unsaved.isEmpty { Task { await saveUnsaved() } }
        return result
    }

    /// Tells the store of the purges that it could not be told of.
    /// - Throws: the store's error.
    func settlePurges() async throws {
        if owedPurges.isEmpty { return }
        try await owedPurges.settle { [backend, time] purge in
            _ = try await backend.store.purge(purge.kind, purge.selection, now: time.now)
        }
    }

    /// Where the store stands, as far as this process knows: a fence for work that begins now.
    var standing: Generation { Generation(newestGeneration.load(ordering: .relaxed)) }

    func noteStanding(_ generation: Generation) {
        newestGeneration.max(generation.number, ordering: .relaxed)
    }

    // MARK: What could not be saved

    /// Saves what is in the memory tier alone, since the store could not be reached: each entry unless its key, one of
    /// its tags or the cache was written to since. Then it is forgotten.
    func saveUnsaved() async {
        guard let fence = unsaved.take() else { return }
        var keys: [Key] = []
        memory.forEach { key, entry in if entry.generation == .zero { keys.append(key) } }
        for key in keys {
            guard let entry = memory.peek(key), entry.generation == .zero else { continue }
            guard await save(unsaved: entry, key, fence: fence) else { return unsaved.note(fence) }
        }
    }

    /// - Returns: `false` when the store can't be reached.
    private func save(unsaved entry: Entry<Value>, _ key: Key, fence: Generation) async -> Bool {
        var metadata = entry.metadata(of: entryKey(key), format: codec.format)
        var saved: Entry<Value>?
        let flight = flights.alone(key)
        defer { flights.takeOut(key, flight) }
        if let bytes = try? entry.value.map({ try codec.encode($0) }) ?? [] {
            let outcome = await writing {
                try await $0.save(StoredEntry(metadata: metadata, bytes: bytes), fence: fence, releasing: nil)
            }
            switch outcome {
            // The store can't have this one; it has answered.
            case nil: return storeWrites.failure == nil
            case .superseded: break
            case .saved(let generation), .notKept(let generation):
                metadata.generation = generation
                metadata.size = bytes.count
                saved = makeEntry(entry.value, metadata)
            }
        }
        memory.update(key) { current in
            guard current === entry else { return .keep }
            guard let saved, flight.admits(saved.generation) else { return .remove }
            return .replace(saved, cost: cost(saved, key))
        }
        return true
    }
}

/// Whether the memory tier has entries that are not in the store, and where the store stood before the first of them.
final class UnsavedEntries: Sendable {
    private let fence = Locked<Generation?>(nil)
    private let hasSome = Atomic(false)

    var isEmpty: Bool { !hasSome.load(ordering: .acquiring) }

    /// - Parameter standing: where the store stood, at the latest, when the origin was asked.
    func note(_ standing: Generation) {
        fence.withLock { fence in
            fence = fence.map { min($0, standing) } ?? standing
            hasSome.store(true, ordering: .releasing)
        }
    }

    /// Where the store stood before the first of them; `nil`: there are none. From now on others count.
    func take() -> Generation? {
        fence.withLock { fence in
            defer { fence = nil }
            hasSome.store(false, ordering: .releasing)
            return fence
        }
    }
}
