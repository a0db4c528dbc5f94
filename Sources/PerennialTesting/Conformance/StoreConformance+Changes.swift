import Perennial

extension StoreConformance {
    /// Reads the feed until it has named each key with at least its generation, or says that changes were missed.
    private static func follow(
        _ stream: AsyncStream<[StoreChange]>, until wanted: [EntryKey: Generation]
    ) async throws {
        try await withinAMinute("the change feed") {
            var open = wanted
            for await changes in stream {
                for change in changes {
                    switch change {
                    case .missed: return
                    case .written(let key, let generation):
                        if let least = open[key], generation >= least { open[key] = nil }
                    case .purged(let cache, _, let generation):
                        open = open.filter { key, least in key.cache != cache || generation < least }
                    }
                }
                if open.isEmpty { return }
            }
            throw ConformanceFailure(description: "the change feed ended before it had named \(open.keys)")
        }
    }

    static let changeChecks: [Check] = [
        Check("the change feed tells of saves, confirmations, expirations and removals") { store in
            let entry = Samples.entry(tags: ["x"])
            let stream = store.changes()
            let saved = try await store.save(entry)
            try await follow(stream, until: [Samples.key(): saved])
            let second = store.changes()
            let confirmed = try await store.confirm(entry.metadata, fence: nil, releasing: nil).generation()
            try await follow(second, until: [Samples.key(): confirmed])
            let third = store.changes()
            _ = try await store.markStale(.tag("x", cache: "people"), now: Samples.now)
            let expired = try await store.read(Samples.key()).entry?.metadata.generation ?? .zero
            try await follow(third, until: [Samples.key(): expired])
            let fourth = store.changes()
            _ = try await store.remove(.cache("people"), now: Samples.now)
            try await follow(fourth, until: [Samples.key(): Generation(expired.number + 1)])
        },
        Check("the change feed tells of a purge of a key that had no entry: somebody may have one in memory alone") {
            store in
            let before = try await store.save(Samples.entry())
            _ = try await store.remove(.key(Samples.key()), now: Samples.now)
            for isRemoval in [true, false] {
                let stream = store.changes()
                if isRemoval {
                    _ = try await store.remove(.key(Samples.key()), now: Samples.now)
                } else {
                    _ = try await store.markStale(.key(Samples.key()), now: Samples.now)
                }
                try await follow(stream, until: [Samples.key(): Generation(before.number + 2)])
            }
        },
        Check("every stream of the change feed gets every change") { store in
            let streams = [store.changes(), store.changes(), store.changes()]
            var wanted: [EntryKey: Generation] = [:]
            for number in 0..<50 {
                let key = Samples.key("\(number)")
                wanted[key] = try await store.save(Samples.entry(key))
            }
            for stream in streams { try await follow(stream, until: wanted) }
        },
        Check("a stream of the change feed ends when its consumer is cancelled") { store in
            let stream = store.changes()
            let reader = Task { for await _ in stream {} }
            reader.cancel()
            try await withinAMinute("the end of the stream") { await reader.value }
        },
    ]
}
