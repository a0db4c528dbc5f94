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
                "perennial_superseded_total", .counter,
                help: "Results not kept because the key was written meanwhile.", value: statistics.superseded),
            MetricFamily(
                "perennial_undecodable_total", .counter, help: "Stored entries that could not be read.",
                value: statistics.undecodable),
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
        func family(_ name: String, help: String, _ value: (OriginGuard.Status) -> Int) -> MetricFamily {
            let samples = origins.sorted { $0.key < $1.key }.map { origin, status in
                MetricFamily.Sample(Double(value(status)), labels: [MetricFamily.Label("origin", origin)])
            }
            return MetricFamily(name, .gauge, help: help, samples: samples)
        }
        return [
            family("perennial_origin_running", help: "Questions to the origin in progress.") { $0.running },
            family("perennial_origin_waiting", help: "Questions that wait for their turn.") { $0.waiting },
            family(
                "perennial_origin_closed",
                help: "1 while the origin is not asked: it failed too often, or asked for a pause."
            ) { $0.closedUntil == nil ? 0 : 1 },
        ]
    }
}

extension Readiness {
    /// What keeps a cache from doing all of its work. A failing origin is no such thing: answers go on.
    public init(_ health: CacheHealth) {
        self.init(
            reasons: [
                health.storeReads.map { "the store can't be read: \($0)" },
                health.storeWrites.map { "the store can't be written: \($0)" },
                health.queue.map { "the queue can't be reached: \($0)" },
            ].compactMap { $0 })
    }
}
