import Perennial

extension StoreConformance {
    /// Runs the janitor until it has nothing to do.
    static func maintain(_ store: any Store, now: Timestamp) async throws -> MaintenanceReport {
        var sum = MaintenanceReport()
        for _ in 0..<1000 {
            let report = try await store.maintain(now: now)
            sum.dead += report.dead
            sum.evicted += report.evicted
            if !report.isUnfinished { return sum }
        }
        throw ConformanceFailure(description: "the janitor has not finished after 1000 runs")
    }

    static let janitorChecks: [Check] = [
        Check("the janitor removes what is past staleIfError, to the millisecond, and nothing else") { store in
            for (name, life) in [("a", Duration.hours(1)), ("b", .hours(2)), ("c", .forever)] {
                var entry = Samples.entry(Samples.key(name), tags: ["x"])
                entry.metadata.limits = Limits(raising: .zero, .zero, life)
                try await store.save(entry)
            }
            let end = Samples.now + .hours(1)
            let early = try await maintain(store, now: Timestamp(milliseconds: end.milliseconds - 1))
            try requireEqual(early, MaintenanceReport(), "the report before anything is dead")
            let report = try await maintain(store, now: end)
            try requireEqual(report, MaintenanceReport(dead: 1), "the report")
            let left = try await store.list(cache: nil, tag: "x", after: nil, limit: 10).map(\.key.key)
            try requireEqual(left, ["b", "c"], "what is left")
            try requireEqual(try await store.statistics().entries, 2, "the number of entries")
        },
        Check("an entry with a validator is kept a day longer, for the origin to confirm") { store in
            try await store.save(Samples.entry(validator: Validator(etag: "\"1\"")))
            let end = Samples.now + .days(7)
            let early = try await maintain(store, now: end + .hours(23))
            try requireEqual(early, MaintenanceReport(), "the report on the same day")
            let report = try await maintain(store, now: end + .days(1))
            try requireEqual(report, MaintenanceReport(dead: 1), "the report a day later")
        },
        Check("a confirmation keeps an entry from the janitor") { store in
            let entry = Samples.entry()
            try await store.save(entry)
            var confirmed = entry.metadata
            confirmed.confirmedAt = Samples.now + .days(6)
            _ = try await store.confirm(confirmed, fence: nil, releasing: nil)
            let report = try await maintain(store, now: Samples.now + .days(8))
            try requireEqual(report, MaintenanceReport(), "the report")
        },
        Check("expiring by hand does not make an entry dead") { store in
            try await store.save(Samples.entry())
            _ = try await store.markStale(.key(Samples.key()), now: Samples.now)
            let report = try await maintain(store, now: Samples.now + .days(6))
            try requireEqual(report, MaintenanceReport(), "the report")
        },
        Check("a thousand dead entries go, in as many runs as it takes") { store in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<1000 {
                    group.addTask { try await store.save(Samples.entry(Samples.key("\(number)"))) }
                }
                try await group.waitForAll()
            }
            let report = try await maintain(store, now: Samples.now + .days(30))
            try requireEqual(report.dead, 1000, "the number of dead entries")
            try requireEqual(try await store.statistics().entries, 0, "the number of entries")
        },
        Check("without a limit nothing usable is removed") { store in
            try await store.save(Samples.entry(bytes: Array(repeating: 1, count: 1_000_000)))
            try requireEqual(try await maintain(store, now: Samples.now), MaintenanceReport(), "the report")
            try requireEqual(try await store.statistics().limit, nil, "the limit")
        },
    ]
}
