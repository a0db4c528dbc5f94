import ArgumentParser
import Perennial
import PerennialConsole

/// `perennial stats`: how much is in a store and its queue.
struct StatisticsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stats", abstract: "Show how much is in a store and its queue.",
        discussion: """
            With --json: {"store": {"entries", "bytes", "limit", "tombstones", "diskBytes"}, \
            "jobs": {"queued", "running", "dead"}}.
            """)

    @OptionGroup var options: StoreOptions

    mutating func run() async throws {
        let statistics = try await options.use(isForLooking: true) { try await $0.statistics() }
        if options.json { return try Console.print(json: statistics) }
        var table = Table([("", .left), ("", .right)])
        table.add(["entries", String(statistics.store.entries)])
        table.add(["bytes", readable(bytes: statistics.store.bytes)])
        if let limit = statistics.store.limit { table.add(["limit", readable(bytes: limit)]) }
        if let count = statistics.store.tombstones { table.add(["tombstones", String(count)]) }
        if let bytes = statistics.store.diskBytes { table.add(["on disk", readable(bytes: bytes)]) }
        table.add(["jobs queued", String(statistics.jobs.queued)])
        table.add(["jobs running", String(statistics.jobs.running)])
        table.add(["jobs dead", String(statistics.jobs.dead)])
        table.lines(header: false).forEach(Console.print)
    }
}
