import Perennial

extension MetricFamily {
    /// What the store and the queue hold, whoever put it there.
    public static func families(of statistics: StatisticsReport) -> [MetricFamily] {
        var families = [
            MetricFamily(
                "perennial_store_entries", .gauge, help: "Entries in the store.", value: statistics.store.entries),
            MetricFamily(
                "perennial_store_bytes", .gauge, help: "Bytes in the store that count against its limit.",
                value: statistics.store.bytes),
        ]
        if let limit = statistics.store.limit {
            families.append(
                MetricFamily(
                    "perennial_store_limit_bytes", .gauge, help: "The store's size limit in bytes.", value: limit))
        }
        if let tombstones = statistics.store.tombstones {
            families.append(
                MetricFamily(
                    "perennial_store_tombstones", .gauge,
                    help: "Removals, purges and evictions that are remembered one by one.", value: tombstones))
        }
        if let diskBytes = statistics.store.diskBytes {
            families.append(
                MetricFamily(
                    "perennial_store_disk_bytes", .gauge, help: "Bytes that the store takes on this machine's disk.",
                    value: diskBytes))
        }
        families.append(
            MetricFamily(
                "perennial_jobs", .gauge, help: "Refresh jobs in the queue, by state.", label: "state",
                values: [
                    "queued": statistics.jobs.queued, "running": statistics.jobs.running, "dead": statistics.jobs.dead,
                ]))
        return families
    }
}
