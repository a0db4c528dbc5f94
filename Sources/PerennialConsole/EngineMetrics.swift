public import Perennial

extension MetricFamily {
    /// What the engine has done in this process.
    public static func families(of statistics: CacheStatistics) -> [MetricFamily] {
        [
            MetricFamily(
                "perennial_cache_reads_total", .counter, help: "Reads answered from what was saved, by where it was.",
                label: "source", values: ["memory": statistics.memoryHits, "store": statistics.storeHits]),
            MetricFamily(
                "perennial_cache_memory_misses_total", .counter, help: "Reads that the memory tier had nothing for.",
                value: statistics.memoryMisses),
            MetricFamily(
                "perennial_cache_stale_reads_total", .counter, help: "Reads answered with a stale value.",
                value: statistics.staleHits),
            MetricFamily(
                "perennial_cache_stale_on_error_total", .counter,
                help: "Reads answered with an expired value because the origin failed or was slow.",
                value: statistics.staleOnError),
            MetricFamily(
                "perennial_cache_collapsed_total", .counter, help: "Reads that joined another reader's fetch.",
                value: statistics.collapsed),
            MetricFamily(
                "perennial_fetches_total", .counter, help: "Questions to the origin while a reader waited.",
                value: statistics.fetches),
            MetricFamily(
                "perennial_fetch_failures_total", .counter, help: "Those of them that failed.",
                value: statistics.fetchFailures),
            MetricFamily(
                "perennial_refreshes_queued_total", .counter, help: "Refreshes queued by readers of this process.",
                value: statistics.refreshesQueued),
            MetricFamily(
                "perennial_refreshes_total", .counter, help: "Refreshes done by this process.",
                value: statistics.refreshes),
            MetricFamily(
                "perennial_refreshes_adopted_total", .counter,
                help: "Those of them that found a newer value and asked nobody.", value: statistics.refreshesAdopted),
            MetricFamily(
                "perennial_refresh_failures_total", .counter, help: "Attempts at a refresh that failed.",
                value: statistics.refreshFailures),
            MetricFamily(
                "perennial_dead_letters_total", .counter, help: "Refreshes given up after their last attempt.",
                value: statistics.deadLetters),
            MetricFamily(
                "perennial_jobs_of_other_stores_total", .counter,
                help: "Jobs about another store than this process has, which were left to others.",
                value: statistics.jobsOfOtherStores),
            MetricFamily(
                "perennial_superseded_total", .counter,
                help: "Results not kept because the key was written meanwhile.", value: statistics.superseded),
            MetricFamily(
                "perennial_not_kept_total", .counter,
                help: "Entries that the store can't keep: too large, or with a key that it can't have.",
                value: statistics.notKept),
            MetricFamily(
                "perennial_undecodable_total", .counter, help: "Stored entries that could not be read.",
                value: statistics.undecodable),
            MetricFamily(
                "perennial_confirmed_ahead_total", .counter,
                help:
                    "Stored entries read that were confirmed by a clock ahead of this machine's; they count as stale.",
                value: statistics.confirmedAhead),
            MetricFamily(
                "perennial_backend_failures_total", .counter, help: "Calls to the store or the queue that failed.",
                value: statistics.backendFailures),
            MetricFamily(
                "perennial_memory_entries", .gauge, help: "Entries in the memory tier.", value: statistics.memoryCount),
            MetricFamily(
                "perennial_memory_bytes", .gauge, help: "Bytes in the memory tier.", value: statistics.memoryBytes),
            MetricFamily(
                "perennial_memory_evictions_total", .counter,
                help: "Entries that made room for others in the memory tier.", value: statistics.memoryEvictions),
        ]
    }

    /// Whether the engine reaches what it needs, and what the origin guard does.
    public static func families(of health: CacheHealth) -> [MetricFamily] {
        [
            MetricFamily(
                "perennial_backend_up", .gauge, help: "Whether the last call of its kind succeeded.", label: "part",
                values: [
                    "store_reads": health.storeReads == nil ? 1 : 0, "store_writes": health.storeWrites == nil ? 1 : 0,
                    "queue": health.queue == nil ? 1 : 0,
                ])
        ]
    }

    /// What the guards before origins are doing.
    /// - Parameter origins: by the origins' addresses.
    public static func families(ofOrigins origins: [String: OriginGuard.Status]) -> [MetricFamily] {
        let sorted = origins.sorted { $0.key < $1.key }
        func family(_ name: String, help: String, _ value: (OriginGuard.Status) -> Int) -> MetricFamily {
            let samples = sorted.map { origin, status in
                MetricFamily.Sample(Double(value(status)), labels: [MetricFamily.Label("origin", origin)])
            }
            return MetricFamily(name, .gauge, help: help, samples: samples)
        }
        let openings = sorted.flatMap { origin, status in
            [("origin", status.openings), ("address", status.addressOpenings)].map { scope, count in
                MetricFamily.Sample(Double(count), labels: [.init("origin", origin), .init("scope", scope)])
            }
        }
        return [
            family("perennial_origin_running", help: "Questions to the origin in progress.") { $0.running },
            family("perennial_origin_waiting", help: "Questions that wait for their turn.") { $0.waiting },
            family(
                "perennial_origin_closed",
                help: "1 while the origin is left alone: it failed too often, or asked for a pause."
            ) { $0.state == .closed ? 0 : 1 },
            family(
                "perennial_origin_closed_addresses",
                help: "Addresses that are left alone: they failed too often, or asked for a pause."
            ) { $0.addressCount },
            MetricFamily(
                "perennial_origin_circuit_openings_total", .counter,
                help: "How often the circuit of the origin, or of one of its addresses, has opened.", samples: openings),
        ]
    }
}

extension Readiness {
    /// What keeps a cache from doing all of its work. A failing origin is no such thing, and only noted: answers go on.
    /// - Parameter origins: by the origins' addresses.
    public init(_ health: CacheHealth, origins: [String: OriginGuard.Status] = [:]) {
        self.init(
            reasons: [
                health.storeReads.map { "the store can't be read: \($0)" },
                health.storeWrites.map { "the store can't be written: \($0)" },
                health.queue.map { "the queue can't be reached: \($0)" },
            ].compactMap { $0 },
            notes: origins.sorted { $0.key < $1.key }.flatMap { Readiness.notes(on: $0.key, $0.value) })
    }

    private static func notes(on origin: String, _ status: OriginGuard.Status) -> [String] {
        var notes: [String] = []
        if status.state != .closed {
            let until = status.closedUntil?.iso8601.map { " until \($0)" } ?? ""
            notes.append("\(origin) is left alone\(until): \(status.reason ?? "")")
        }
        if let first = status.addresses.first {
            let count = status.addressCount
            notes.append(
                "\(count) \(count == 1 ? "address" : "addresses") of \(origin) \(count == 1 ? "is" : "are") left alone, "
                    + "such as \(KeyParts(first.address).url): \(first.reason)")
        }
        return notes
    }
}
