import Perennial

extension StoreConformance {
    /// Something that is written after the fence was taken and must keep the older work from saving.
    private struct Interruption: Sendable {
        let name: String
        let write: @Sendable (any Store) async throws -> Void
    }

    private static let interruptions = [
        Interruption(name: "saved") { store in try await store.save(Samples.entry(bytes: [2])) },
        Interruption(name: "confirmed") { store in
            _ = try await store.confirm(Samples.entry(tags: ["tag"]).metadata, fence: nil, releasing: nil)
        },
        Interruption(name: "expired by key") { store in
            _ = try await store.markStale(.key(Samples.key()), now: Samples.now)
        },
        Interruption(name: "removed by key") { store in
            _ = try await store.remove(.key(Samples.key()), now: Samples.now)
        },
        Interruption(name: "expired by tag") { store in
            _ = try await store.markStale(.tag("tag", cache: "people"), now: Samples.now)
        },
        Interruption(name: "removed by tag") { store in
            _ = try await store.remove(.tag("tag", cache: "people"), now: Samples.now)
        },
        Interruption(name: "expired with its cache") { store in
            _ = try await store.markStale(.cache("people"), now: Samples.now)
        },
        Interruption(name: "removed with its cache") { store in
            _ = try await store.remove(.cache("people"), now: Samples.now)
        },
        Interruption(name: "removed and saved again") { store in
            _ = try await store.remove(.key(Samples.key()), now: Samples.now)
            try await store.save(Samples.entry(bytes: [2]))
        },
    ]

    /// The same for a key that has no entry. (A confirmation needs one.)
    private static let interruptionsOfMissing = interruptions.filter { $0.name != "confirmed" }

    static let fenceChecks: [Check] =
        interruptions.flatMap { interruption in
            [
                Check("nothing is saved over a key that was \(interruption.name) meanwhile") { store in
                    try await store.save(Samples.entry(bytes: [1], tags: ["tag"]))
                    let fence = try await store.read(Samples.key()).fence
                    try await interruption.write(store)
                    try await refusesLateSave(store, fence: fence)
                },
                Check("nothing is confirmed over a key that was \(interruption.name) meanwhile") { store in
                    try await store.save(Samples.entry(bytes: [1], tags: ["tag"]))
                    let fence = try await store.read(Samples.key()).fence
                    try await interruption.write(store)
                    let before = try await store.read(Samples.key()).entry
                    let late = Samples.entry(at: Samples.now + .hours(5), tags: ["tag"]).metadata
                    let outcome = try await store.confirm(late, fence: fence, releasing: nil)
                    try requireEqual(outcome, .superseded, "the outcome")
                    try requireEqual(try await store.read(Samples.key()).entry, before, "the entry")
                },
            ]
        }
        + interruptionsOfMissing.map { interruption in
            Check("nothing is saved for a missing key that was \(interruption.name) meanwhile") { store in
                let fence = try await store.read(Samples.key()).fence
                try await interruption.write(store)
                try await refusesLateSave(store, fence: fence)
            }
        } + [
            Check("a fence of a lease's record holds as one of a read does") { store in
                let until = Samples.now + .minutes(1)
                let outcome = try await store.lease(Samples.key(), token: "a", until: until, now: Samples.now)
                _ = try await store.remove(.key(Samples.key()), now: Samples.now)
                let saved = try await store.save(Samples.entry(), fence: outcome.record.fence, releasing: "a")
                try requireEqual(saved, .superseded, "the outcome")
                let after = try await store.lease(Samples.key(), token: "b", until: until, now: Samples.now)
                try require(after.isGranted, "the lease did not end with the superseded save")
                let second = try await store.save(Samples.entry(), fence: after.record.fence, releasing: "b")
                _ = try second.generation()
            },
            Check("what happens to other keys, tags and caches supersedes nothing") { store in
                try await store.save(Samples.entry(tags: ["mine"]))
                let fence = try await store.read(Samples.key()).fence
                try await store.save(Samples.entry(Samples.key("other"), tags: ["mine", "other"]))
                _ = try await store.markStale(.key(Samples.key("other")), now: Samples.now)
                _ = try await store.remove(.key(Samples.key("another")), now: Samples.now)
                _ = try await store.remove(.tag("other", cache: "people"), now: Samples.now)
                _ = try await store.remove(.tag("mine", cache: "places"), now: Samples.now)
                _ = try await store.remove(.key(Samples.key(cache: "places")), now: Samples.now)
                _ = try await store.markStale(.cache("places"), now: Samples.now)
                let outcome = try await store.save(
                    Samples.entry(bytes: [9], tags: ["mine"]), fence: fence, releasing: nil)
                _ = try outcome.generation()
                try requireEqual(try await store.read(Samples.key()).entry?.bytes, [9], "the value")
            },
            Check("a purge of a tag supersedes work whose new entry carries it, though the old one did not") { store in
                try await store.save(Samples.entry(tags: ["old"]))
                let fence = try await store.read(Samples.key()).fence
                _ = try await store.remove(.tag("new", cache: "people"), now: Samples.now)
                let late = Samples.entry(bytes: [9], tags: ["new", "other"])
                let outcome = try await store.save(late, fence: fence, releasing: nil)
                try requireEqual(outcome, .superseded, "the outcome")
                let confirmed = try await store.confirm(late.metadata, fence: fence, releasing: nil)
                try requireEqual(confirmed, .superseded, "the outcome of confirming")
            },
            Check("a save without a fence saves always") { store in
                _ = try await store.remove(.key(Samples.key()), now: Samples.now)
                _ = try await store.remove(.cache("people"), now: Samples.now)
                try await store.save(Samples.entry(bytes: [1]))
                try requireEqual(try await store.read(Samples.key()).entry?.bytes, [1], "the value")
            },
            Check("a fence taken after a write lets work save, once") { store in
                _ = try await store.remove(.cache("people"), now: Samples.now)
                let fence = try await store.read(Samples.key()).fence
                let first = try await store.save(Samples.entry(bytes: [1]), fence: fence, releasing: nil)
                _ = try first.generation()
                let second = try await store.save(Samples.entry(bytes: [2]), fence: fence, releasing: nil)
                try requireEqual(second, .superseded, "the outcome of a second save behind the same fence")
                try requireEqual(try await store.read(Samples.key()).entry?.bytes, [1], "the value")
            },
            Check("of many that save behind one fence, one saves") { store in
                let fence = try await store.read(Samples.key()).fence
                let saved = try await withThrowingTaskGroup(of: Bool.self) { group in
                    for number in 0..<100 {
                        group.addTask {
                            let entry = Samples.entry(bytes: [UInt8(number)])
                            return try await store.save(entry, fence: fence, releasing: nil) != .superseded
                        }
                    }
                    return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
                }
                try requireEqual(saved, 1, "the number of saves")
            },
            Check("the janitor lets no older work save over what it removed") { store in
                let fence = try await store.read(Samples.key()).fence
                var entry = Samples.entry(bytes: [1])
                entry.metadata.limits = Limits(raising: .zero, .zero, .zero)
                try await store.save(entry)
                _ = try await store.remove(.key(Samples.key("removed")), now: Samples.now)
                _ = try await store.remove(.tag("removed", cache: "people"), now: Samples.now)
                _ = try await store.maintain(now: Samples.now + .days(2))
                _ = try await store.maintain(now: Samples.now + .days(4))
                for late in [
                    Samples.entry(), Samples.entry(Samples.key("removed")),
                    Samples.entry(Samples.key("tagged"), tags: ["removed"]),
                ] {
                    let outcome = try await store.save(late, fence: fence, releasing: nil)
                    try requireEqual(outcome, .superseded, "the outcome for \(late.metadata.key)")
                }
                let later = try await store.read(Samples.key()).fence
                _ = try await store.save(Samples.entry(), fence: later, releasing: nil).generation()
            },
        ]

    /// Removes keys that were never there, with names of 4,000 bytes.
    private static func removeMissing(_ count: Int, from store: any Store) async throws {
        let tail = String(repeating: "x", count: 4_000)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<count {
                group.addTask {
                    _ = try await store.remove(.key(Samples.key("\(number) \(tail)")), now: Samples.now)
                }
            }
            try await group.waitForAll()
        }
    }

    static let memoryChecks: [Check] = [
        Check("a removal takes little, counted room, however long the name of the key, the tag or the cache") { store in
            let before = try await store.statistics()
            try await removeMissing(100, from: store)
            let long = String(repeating: "x", count: 4_000)
            _ = try await store.remove(.tag(long, cache: "people"), now: Samples.now)
            _ = try await store.markStale(.key(Samples.key(long)), now: Samples.now)
            let after = try await store.statistics()
            try requireEqual(after.entries, before.entries, "the number of entries")
            if let tombstones = after.tombstones {
                try require(tombstones >= 100, "only \(tombstones) removals are counted")
                try require(after.bytes > before.bytes, "what is remembered of removals does not count")
            }
        },
        Check(
            "what is remembered of removals is bounded by the limit, and takes no room from entries", sizeLimit: 100_000
        ) {
            store in
            for number in 0..<10 {
                try await store.save(
                    Samples.entry(Samples.key("\(number)"), bytes: [UInt8](repeating: 1, count: 5_000)))
            }
            try await removeMissing(200, from: store)
            _ = try await store.maintain(now: Samples.now)
            let statistics = try await store.statistics()
            try requireEqual(statistics.entries, 10, "the number of entries")
            try require(statistics.bytes <= 100_000, "\(statistics.bytes) bytes count, over the limit")
        },
        Check("work from before a removal is refused also after many others and the janitor", sizeLimit: 100_000) {
            store in
            let entry = Samples.entry(tags: ["tag"])
            for selection in [Selection.key(Samples.key()), .tag("tag", cache: "people"), .cache("people")] {
                let fence = try await store.read(Samples.key()).fence
                _ = try await store.remove(selection, now: Samples.now)
                try await removeMissing(150, from: store)
                _ = try await store.maintain(now: Samples.now)
                _ = try await store.maintain(now: Samples.now + .days(1))
                let outcome = try await store.save(entry, fence: fence, releasing: nil)
                try requireEqual(outcome, .superseded, "the outcome after \(selection)")
                let later = try await store.read(Samples.key()).fence
                _ = try await store.save(entry, fence: later, releasing: nil).generation()
            }
        },
        Check("work from before an entry that made room for others is refused", sizeLimit: 100_000) { store in
            let fence = try await store.read(Samples.key()).fence
            try await store.save(Samples.entry(bytes: [1]))
            for number in 0..<20 {
                let at = Samples.now + .seconds(Int64(number + 1))
                try await store.save(
                    Samples.entry(Samples.key("\(number)"), bytes: [UInt8](repeating: 1, count: 10_000), at: at))
            }
            _ = try await store.maintain(now: Samples.now + .minutes(1))
            try requireEqual(try await store.read(Samples.key()).entry, nil, "the least recently used entry")
            let outcome = try await store.save(Samples.entry(bytes: [9]), fence: fence, releasing: nil)
            try requireEqual(outcome, .superseded, "the outcome")
        },
    ]

    private static func refusesLateSave(_ store: any Store, fence: Generation) async throws {
        let before = try await store.read(Samples.key()).entry
        let late = Samples.entry(bytes: [9], tags: ["tag"])
        let outcome = try await store.save(late, fence: fence, releasing: nil)
        try requireEqual(outcome, .superseded, "the outcome")
        try requireEqual(try await store.read(Samples.key()).entry, before, "the entry")
    }
}
