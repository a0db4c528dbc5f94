import Perennial

extension StoreConformance {
    /// Saves entries of 10,000 bytes, a second apart.
    private static func fill(_ store: any Store, _ numbers: Range<Int>) async throws {
        for number in numbers {
            let at = Samples.now + .seconds(Int64(number))
            let bytes = [UInt8](repeating: 1, count: 10_000)
            try await store.save(Samples.entry(Samples.key("\(number)"), bytes: bytes, at: at))
        }
    }

    private static func left(in store: any Store) async throws -> Set<EntryKey> {
        try await Set(store.list(cache: nil, tag: nil, after: nil, limit: 1_000).map(\.key))
    }

    static let limitChecks: [Check] = [
        Check("the limit holds while the store is written, not only when the janitor comes", sizeLimit: 400_000) {
            store in
            for round in 0..<10 {
                try await fill(store, round * 20..<(round + 1) * 20)
                let bytes = try await store.statistics().bytes
                try require(bytes <= 500_000, "\(bytes) bytes count, far over the limit")
            }
            try require(try await store.statistics().entries >= 30, "much less is left than the limit allows")
        },
        Check("the limit holds for many who write at once", sizeLimit: 400_000) { store in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for part in 0..<20 {
                    group.addTask { try await fill(store, part * 20..<(part + 1) * 20) }
                }
                try await group.waitForAll()
            }
            let bytes = try await store.statistics().bytes
            try require(bytes <= 600_000, "\(bytes) bytes count, far over the limit")
        },
        Check("over its limit the store loses the least recently used, and no more than it must", sizeLimit: 250_000) {
            store in
            try await fill(store, 0..<20)
            let read = [3, 0, 7].map { Samples.key("\($0)") }
            try await store.touch(read + [Samples.key("missing")], now: Samples.now + .seconds(30))
            try await fill(store, 40..<50)
            _ = try await maintain(store, now: Samples.now + .minutes(2))
            let statistics = try await store.statistics()
            try requireEqual(statistics.limit, 250_000, "the limit")
            try require(statistics.bytes <= 250_000, "\(statistics.bytes) bytes are left, over the limit")
            try require(statistics.entries >= 20, "only \(statistics.entries) entries are left")
            let byUse = [1, 2, 4, 5, 6] + Array(8..<20) + [0, 3, 7] + Array(40..<50)
            let wanted = Set(byUse.suffix(statistics.entries).map { Samples.key("\($0)") })
            try requireEqual(try await left(in: store), wanted, "what is left")
        },
        Check("what can't fit is not kept, and nothing else makes room for it", sizeLimit: 120_000) { store in
            try await fill(store, 0..<8)
            let large = Samples.entry(
                Samples.key("large"), bytes: [UInt8](repeating: 1, count: 300_000), at: Samples.now)
            let fence = try await store.read(Samples.key("large")).fence
            let outcome = try await store.save(large, fence: fence, releasing: nil)
            try requireEqual(outcome, .notKept(try outcome.generation()), "the outcome")
            _ = try await maintain(store, now: Samples.now + .minutes(1))
            try requireEqual(try await store.read(Samples.key("large")).entry, nil, "the large entry")
            try requireEqual(try await left(in: store), Set((0..<8).map { Samples.key("\($0)") }), "what is left")
            let late = try await store.save(Samples.entry(Samples.key("large")), fence: fence, releasing: nil)
            try requireEqual(late, .superseded, "the outcome of work from before")
        },
        Check("what can't fit pushes nothing out, however full the store is", sizeLimit: 1_000_000) { store in
            try await fill(store, 0..<80)
            _ = try await maintain(store, now: Samples.now + .minutes(2))
            let before = try await left(in: store)
            try require(before.count >= 60, "only \(before.count) entries were kept")
            for number in 0..<3 {
                let bytes = [UInt8](repeating: 1, count: 3_000_000)
                let large = Samples.entry(Samples.key("large \(number)"), bytes: bytes, at: Samples.now + .minutes(1))
                _ = try await store.save(large, fence: nil, releasing: nil).generation()
                _ = try await maintain(store, now: Samples.now + .minutes(2))
            }
            let gone = before.subtracting(try await left(in: store))
            // What is remembered of the three takes a little.
            try require(gone.count <= 1, "\(gone.count) entries made room for what was not kept")
        },
        Check("a value that can't fit takes the one before it away", sizeLimit: 120_000) { store in
            try await store.save(Samples.entry(bytes: [1], tags: ["x"]))
            try await store.save(Samples.entry(bytes: [UInt8](repeating: 1, count: 300_000), tags: ["x"]))
            try requireEqual(try await store.read(Samples.key()).entry, nil, "the entry")
            try requireEqual(try await store.statistics().entries, 0, "the number of entries")
            try await store.save(Samples.entry(bytes: [2]))
            try requireEqual(try await store.read(Samples.key()).entry?.bytes, [2], "the entry saved afterwards")
        },
        Check("touching an earlier time, or a missing key, changes nothing", sizeLimit: 32_000) { store in
            try await fill(store, 0..<3)
            try await store.touch([Samples.key("2")], now: Samples.now - .days(1))
            try await store.touch([], now: Samples.now)
            try await store.touch([Samples.key("missing")], now: Samples.now)
            try await fill(store, 3..<4)
            _ = try await maintain(store, now: Samples.now + .minutes(1))
            try require(try await store.read(Samples.key("2")).entry != nil, "a recently used entry was evicted")
            try require(try await store.read(Samples.key("0")).entry == nil, "the least recently used entry is left")
            try requireEqual(try await store.read(Samples.key("missing")).entry, nil, "the missing entry")
        },
    ]
}
