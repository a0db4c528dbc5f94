import Perennial

extension StoreConformance {
    private static let soon = Samples.now + .seconds(30)
    private static let later = Samples.now + .seconds(60)

    static let leaseChecks: [Check] = [
        Check("removing ends the leases on what is removed, by key, by tag and by cache") { store in
            let keys = ["key", "tag", "cache"].map { Samples.key($0) }
            for key in keys { try await store.save(Samples.entry(key, tags: key.key == "tag" ? ["x"] : [])) }
            let selections: [Selection] = [.key(keys[0]), .tag("x", cache: keys[1].cache), .cache(keys[2].cache)]
            for (key, selection) in zip(keys, selections) {
                let until = Samples.now + .minutes(5)
                _ = try await store.lease([key], token: "before", until: until, now: Samples.now)
                _ = try await store.remove(selection, now: Samples.now)
                let outcome = try await store.lease([key], token: "after", until: until, now: Samples.now)[0]
                guard case .granted = outcome else {
                    throw ConformanceFailure(description: "the lease on \(key) outlived its removal")
                }
            }
        },
        Check("a lease is granted once, and the others learn until when it is held") { store in
            let first = try await store.lease(Samples.key(), token: "a", until: soon, now: Samples.now)
            try require(first.isGranted, "the first was not granted")
            let second = try await store.lease(Samples.key(), token: "b", until: later, now: Samples.now)
            guard case .held(let until, _) = second else {
                throw ConformanceFailure(description: "the second was granted, too")
            }
            try requireEqual(until, soon, "the end of the lease")
        },
        Check("both outcomes carry the entry and the fence of that moment") { store in
            try await store.save(Samples.entry(bytes: [7]))
            for token in ["a", "b"] {
                let outcome = try await store.lease(Samples.key(), token: token, until: soon, now: Samples.now)
                let read = try await store.read(Samples.key())
                try requireEqual(outcome.record.entry, read.entry, "the entry")
                let generation = read.entry?.metadata.generation ?? .zero
                try require(outcome.record.fence >= generation, "the fence is before the entry")
            }
        },
        Check("leases come in the order of the keys; each key is leased by itself") { store in
            let keys = ["c", "a", "b"].map { Samples.key($0) }
            try await store.save(Samples.entry(keys[2], bytes: [2]))
            _ = try await store.lease(keys[1], token: "other", until: soon, now: Samples.now)
            let outcomes = try await store.lease(keys, token: "mine", until: soon, now: Samples.now)
            try requireEqual(outcomes.map(\.isGranted), [true, false, true], "which leases were granted")
            try requireEqual(outcomes.map { $0.record.entry?.bytes }, [nil, nil, [2]], "the values")
            let place = try await store.lease(
                Samples.key("a", cache: "places"), token: "x", until: soon, now: Samples.now)
            try require(place.isGranted, "a lease held the same key of another cache")
        },
        Check("the same token may take its lease again, and so prolongs it") { store in
            _ = try await store.lease(Samples.key(), token: "a", until: soon, now: Samples.now)
            let again = try await store.lease(Samples.key(), token: "a", until: later, now: Samples.now)
            try require(again.isGranted, "the same token was refused")
            let other = try await store.lease(Samples.key(), token: "b", until: later, now: soon)
            try require(!other.isGranted, "the lease was not prolonged")
        },
        Check("a lease ends by its time, to the millisecond") { store in
            _ = try await store.lease(Samples.key(), token: "a", until: soon, now: Samples.now)
            let before = Timestamp(milliseconds: soon.milliseconds - 1)
            let early = try await store.lease(Samples.key(), token: "b", until: later, now: before)
            try require(!early.isGranted, "the lease ended too early")
            let late = try await store.lease(Samples.key(), token: "b", until: later, now: soon)
            try require(late.isGranted, "the lease did not end")
            let old = try await store.lease(Samples.key(), token: "a", until: later, now: soon)
            try require(!old.isGranted, "the old token took the lease from the new one")
        },
        Check("a save ends the lease it names, and only that") { store in
            _ = try await store.lease(Samples.key(), token: "a", until: soon, now: Samples.now)
            _ = try await store.save(Samples.entry(), fence: nil, releasing: nil)
            _ = try await store.save(Samples.entry(), fence: nil, releasing: "b")
            let held = try await store.lease(Samples.key(), token: "c", until: soon, now: Samples.now)
            try require(!held.isGranted, "a save ended a lease that it did not name")
            _ = try await store.save(Samples.entry(), fence: nil, releasing: "a")
            let free = try await store.lease(Samples.key(), token: "c", until: soon, now: Samples.now)
            try require(free.isGranted, "the save did not end the lease it named")
        },
        Check("a superseded save ends the lease it names") { store in
            let lease = try await store.lease(Samples.key(), token: "a", until: soon, now: Samples.now)
            try await store.save(Samples.entry())
            let outcome = try await store.save(Samples.entry(), fence: lease.record.fence, releasing: "a")
            try requireEqual(outcome, .superseded, "the outcome")
            let free = try await store.lease(Samples.key(), token: "b", until: soon, now: Samples.now)
            try require(free.isGranted, "the lease did not end")
        },
        Check("a confirmation ends the lease it names, also when it is superseded") { store in
            _ = try await store.lease(Samples.key(), token: "a", until: soon, now: Samples.now)
            let missing = try await store.confirm(Samples.entry().metadata, fence: nil, releasing: "a")
            try requireEqual(missing, .superseded, "the outcome for a missing key")
            let first = try await store.lease(Samples.key(), token: "b", until: soon, now: Samples.now)
            try require(first.isGranted, "a superseded confirmation did not end the lease")
            try await store.save(Samples.entry())
            _ = try await store.confirm(Samples.entry().metadata, fence: nil, releasing: "b")
            let second = try await store.lease(Samples.key(), token: "c", until: soon, now: Samples.now)
            try require(second.isGranted, "a confirmation did not end the lease")
        },
        Check("a released lease is free; a foreign token releases nothing") { store in
            try await store.releaseLease(Samples.key(), token: "nobody")
            _ = try await store.lease(Samples.key(), token: "a", until: soon, now: Samples.now)
            try await store.releaseLease(Samples.key(), token: "b")
            let held = try await store.lease(Samples.key(), token: "c", until: soon, now: Samples.now)
            try require(!held.isGranted, "a foreign token released the lease")
            try await store.releaseLease(Samples.key(), token: "a")
            let free = try await store.lease(Samples.key(), token: "c", until: soon, now: Samples.now)
            try require(free.isGranted, "the lease was not released")
        },
        Check("a holder extends its lease, to a longer or a shorter time") { store in
            _ = try await store.lease(Samples.key(), token: "a", until: soon, now: Samples.now)
            let longer = try await store.extendLease(Samples.key(), token: "a", until: later, now: Samples.now)
            try require(longer, "the holder could not extend")
            let held = try await store.lease(Samples.key(), token: "b", until: later, now: soon)
            try require(!held.isGranted, "the lease was not extended")
            let shorter = try await store.extendLease(
                Samples.key(), token: "a", until: Samples.now + .seconds(1), now: Samples.now)
            try require(shorter, "the holder could not shorten")
            let free = try await store.lease(
                Samples.key(), token: "b", until: later, now: Samples.now + .seconds(1))
            try require(free.isGranted, "the lease was not shortened")
        },
        Check("a lease that has ended can be extended while nobody else has taken it") { store in
            _ = try await store.lease(Samples.key(), token: "a", until: soon, now: Samples.now)
            _ = try await store.maintain(now: soon + .hours(3))
            let lapsed = try await store.extendLease(
                Samples.key(), token: "a", until: soon + .hours(4), now: soon + .hours(3))
            try require(lapsed, "a lapsed lease could not be extended")
            let held = try await store.lease(
                Samples.key(), token: "b", until: soon + .hours(5), now: soon + .hours(3))
            try require(!held.isGranted, "the extended lease was not held")
        },
        Check("a lease that somebody else has taken can't be extended") { store in
            _ = try await store.lease(Samples.key(), token: "a", until: soon, now: Samples.now)
            _ = try await store.lease(Samples.key(), token: "b", until: later, now: soon)
            let extended = try await store.extendLease(Samples.key(), token: "a", until: later + .hours(1), now: soon)
            try require(!extended, "the old token extended a lease that is somebody else's")
            let free = try await store.lease(Samples.key(), token: "c", until: later + .hours(1), now: later)
            try require(free.isGranted, "a refused extension changed the lease")
        },
        Check("the janitor leaves held leases alone") { store in
            _ = try await store.lease(Samples.key(), token: "a", until: soon, now: Samples.now)
            _ = try await store.maintain(now: Samples.now)
            let held = try await store.lease(Samples.key(), token: "b", until: soon, now: Samples.now)
            try require(!held.isGranted, "the janitor took a lease away")
        },
        Check("of 200 that ask for one lease at once, one gets it") { store in
            let granted = try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in 0..<200 {
                    group.addTask {
                        try await store.lease(
                            Samples.key(), token: "token \(number)", until: soon, now: Samples.now
                        ).isGranted
                    }
                }
                return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            try requireEqual(granted, 1, "the number of leases granted")
        },
    ]
}
