import Perennial

/// The clock of who calls may have been set since the last call, or another machine's be wrong: a store does what the
/// times say, and loses nothing by them.
extension StoreConformance {
    private static let jumps: [(name: String, by: Duration)] = [
        ("a year", .days(365)), ("two hours", .hours(2)), ("a minute", .minutes(1)),
    ]

    static let clockChecks: [Check] = jumps.flatMap { name, jump in
        [
            Check("the clock jumps \(name) back: what is there is read, listed, confirmed and saved over") { store in
                let (ahead, now) = (Samples.now + jump, Samples.now)
                try await store.save(Samples.entry(bytes: [1], at: ahead, tags: ["x"]))
                _ = try await store.maintain(now: now)
                let read = try await store.read(Samples.key())
                try requireEqual(read.entry?.bytes, [1], "the value")
                try requireEqual(read.entry?.metadata.confirmedAt, ahead, "confirmedAt")
                let listed = try await store.list(cache: nil, tag: "x", after: nil, limit: 10)
                try requireEqual(listed.map(\.confirmedAt), [ahead], "what is listed")
                var metadata = Samples.entry(at: now, tags: ["x"]).metadata
                metadata.confirmedAt = now
                let confirmed = try await store.confirm(metadata, fence: read.fence, releasing: nil)
                let generation = try confirmed.generation()
                try require(
                    generation > read.entry?.metadata.generation ?? .zero, "the confirmation is not the newer write")
                try requireEqual(
                    try await store.read(Samples.key()).entry?.metadata.confirmedAt, now, "confirmedAt, confirmed again"
                )
                let fence = try await store.read(Samples.key()).fence
                let saved = try await store.save(Samples.entry(bytes: [2], at: now), fence: fence, releasing: nil)
                try require(try saved.generation() > generation, "the save is not the newer write")
                try requireEqual(try await store.read(Samples.key()).entry?.bytes, [2], "the value saved over it")
            },
            Check("the clock jumps \(name) back: a purge holds, and work from before it saves nothing") { store in
                let (ahead, now) = (Samples.now + jump, Samples.now)
                try await store.save(Samples.entry(bytes: [1], at: ahead))
                let fence = try await store.read(Samples.key()).fence
                try requireEqual(try await store.markStale(.key(Samples.key()), now: now), 1, "the number expired")
                let late = try await store.save(Samples.entry(bytes: [2], at: ahead), fence: fence, releasing: nil)
                try requireEqual(late, .superseded, "a save from before the purge")
                try require(
                    try await store.read(Samples.key()).entry?.metadata.markedStaleAt != nil, "it is not marked stale")
                try requireEqual(try await store.remove(.key(Samples.key()), now: now), 1, "the number removed")
                try requireEqual(try await store.read(Samples.key()).entry, nil, "the entry")
            },
            Check("the clock jumps \(name) back: a lease of before is had by who names its end as the time") { store in
                let end = Samples.now + jump + .seconds(30)
                _ = try await store.lease(Samples.key(), token: "a", until: end, now: Samples.now + jump)
                let until = Samples.now + .seconds(30)
                let held = try await store.lease(Samples.key(), token: "b", until: until, now: Samples.now)
                guard case .held(end, _) = held else {
                    throw ConformanceFailure(description: "the outcome is \(held), should be held until \(end)")
                }
                let taken = try await store.lease(Samples.key(), token: "b", until: until, now: end)
                try require(taken.isGranted, "the lease was not to be had")
                let before = Timestamp(milliseconds: until.milliseconds - 1)
                let other = try await store.lease(Samples.key(), token: "c", until: until, now: before)
                try require(!other.isGranted, "the new lease does not hold")
                let later = try await store.lease(Samples.key(), token: "c", until: until + .seconds(30), now: until)
                try require(later.isGranted, "the new lease does not end when it should")
            },
            Check("the clock jumps \(name) back: the holder's heartbeat makes its lease as long as it says") { store in
                let ahead = Samples.now + jump
                _ = try await store.lease(Samples.key(), token: "a", until: ahead + .seconds(30), now: ahead)
                let until = Samples.now + .seconds(30)
                let extended = try await store.extendLease(Samples.key(), token: "a", until: until, now: Samples.now)
                try require(extended, "the holder could not extend")
                let free = try await store.lease(Samples.key(), token: "b", until: until + .seconds(30), now: until)
                try require(free.isGranted, "the lease still holds as by the clock of before")
            },
            Check("the clock jumps \(name) forward and back again: what was used and saved goes on as before") {
                store in
                try await store.save(Samples.entry(bytes: [1]))
                try await store.touch([Samples.key()], now: Samples.now + jump)
                try await store.save(Samples.entry(Samples.key("b"), bytes: [2], at: Samples.now + jump))
                _ = try await store.maintain(now: Samples.now)
                try await store.touch([Samples.key(), Samples.key("b")], now: Samples.now)
                let entries = try await store.read([Samples.key(), Samples.key("b")]).map(\.entry?.bytes)
                try requireEqual(entries, [[1], [2]], "the values")
            },
        ]
    }
}
