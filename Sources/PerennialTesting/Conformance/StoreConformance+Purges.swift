import Perennial

extension StoreConformance {
    /// Entries a and b with tag "x", c without, and one of the same key and tag in another cache.
    private static func fill(_ store: any Store) async throws {
        try await store.save(Samples.entry(Samples.key("a"), tags: ["x"]))
        try await store.save(Samples.entry(Samples.key("b"), tags: ["x", "y"]))
        try await store.save(Samples.entry(Samples.key("c"), tags: ["y"]))
        try await store.save(Samples.entry(Samples.key("a", cache: "places"), tags: ["x"]))
    }

    private static let everyKey = [
        Samples.key("a"), Samples.key("b"), Samples.key("c"), Samples.key("a", cache: "places"),
    ]

    private static let selections: [(selection: Selection, matches: [Bool])] = [
        (.key(Samples.key("a")), [true, false, false, false]),
        (.key(Samples.key("missing")), [false, false, false, false]),
        (.tag("x", cache: "people"), [true, true, false, false]),
        (.tag("missing", cache: "people"), [false, false, false, false]),
        (.cache("people"), [true, true, true, false]),
        (.cache("missing"), [false, false, false, false]),
    ]

    static let purgeChecks: [Check] =
        selections.flatMap { selection, matches in
            [
                Check("expiring \(selection) marks what it selects, keeps the values, and counts") { store in
                    try await fill(store)
                    let now = Samples.now + .minutes(10)
                    let count = try await store.markStale(selection, now: now)
                    try requireEqual(count, matches.count { $0 }, "the number of entries marked")
                    let records = try await store.read(everyKey)
                    let marks = records.map { $0.entry?.metadata.markedStaleAt }
                    try requireEqual(marks, matches.map { $0 ? now : nil }, "markedStaleAt")
                    try require(records.allSatisfy { $0.entry?.bytes.isEmpty == false }, "a value is gone")
                    let states = records.map { $0.entry?.metadata.freshness.state(at: now) }
                    try requireEqual(states, matches.map { $0 ? .stale : .fresh }, "the states")
                },
                Check("removing \(selection) deletes what it selects, and counts") { store in
                    try await fill(store)
                    let count = try await store.remove(selection, now: Samples.now)
                    try requireEqual(count, matches.count { $0 }, "the number of entries removed")
                    let isThere = try await store.read(everyKey).map { $0.entry != nil }
                    try requireEqual(isThere, matches.map { !$0 }, "which entries are left")
                    let listed = try await store.list(cache: nil, tag: nil, after: nil, limit: 10).map(\.key)
                    try requireEqual(listed.count, matches.count { !$0 }, "the number of listed entries")
                    let again = try await store.remove(selection, now: Samples.now)
                    try requireEqual(again, 0, "the number of entries removed the second time")
                },
            ]
        } + [
            Check("expiring again keeps the earlier mark") { store in
                try await store.save(Samples.entry())
                _ = try await store.markStale(.key(Samples.key()), now: Samples.now)
                let count = try await store.markStale(.key(Samples.key()), now: Samples.now + .minutes(5))
                try requireEqual(count, 1, "the number of entries marked")
                let mark = try await store.read(Samples.key()).entry?.metadata.markedStaleAt
                try requireEqual(mark, Samples.now, "markedStaleAt")
            },
            Check("a tag that an entry lost no longer selects it") { store in
                try await store.save(Samples.entry(tags: ["x"]))
                try await store.save(Samples.entry(tags: ["y"]))
                let count = try await store.remove(.tag("x", cache: "people"), now: Samples.now)
                try requireEqual(count, 0, "the number of entries removed")
            },
            Check("removing a tag of a thousand entries removes them all") { store in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<1000 {
                        group.addTask { try await store.save(Samples.entry(Samples.key("\(number)"), tags: ["x"])) }
                    }
                    try await group.waitForAll()
                }
                let count = try await store.remove(.tag("x", cache: "people"), now: Samples.now)
                try requireEqual(count, 1000, "the number of entries removed")
                try requireEqual(try await store.statistics().entries, 0, "the number of entries left")
            },
        ]
}
