import ArgumentParser
import Perennial
import PerennialConsole

/// `perennial ls`: the entries, one a line.
struct ListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "List the entries of a store, in the order of their addresses.",
        discussion: "With --json: one JSON object a line.")

    @OptionGroup var options: StoreOptions
    @Option(help: ArgumentHelp("Only entries whose address begins with this.", valueName: "URL")) var prefix: String?
    @Option(help: ArgumentHelp("Only entries with this tag.", valueName: "T")) var tag: String?
    @Option(help: ArgumentHelp("At most so many (default: all)", valueName: "N")) var limit: Int?

    mutating func run() async throws {
        if let limit, limit < 1 { throw Failure(.usage, "--limit: “\(limit)” is not a whole number of 1 or more") }
        try await options.use(isForLooking: true) { administration in
            var left = limit ?? .max
            var after: String?
            repeat {
                // A page at a time: a store may hold millions.
                let page = try await administration.entries(
                    prefix: prefix, tag: tag, after: after, limit: min(left, 1000))
                try show(page.items, isFirst: after == nil)
                left -= page.items.count
                after = page.next
            } while after != nil && left > 0
        }
    }

    private func show(_ entries: [EntryReport], isFirst: Bool) throws {
        if options.json { return try entries.forEach { try Console.print(json: $0) } }
        var table = Table([("STATE", .left), ("AGE", .right), ("SIZE", .right), ("TAGS", .left), ("ADDRESS", .left)])
        for entry in entries {
            table.add([
                entry.state.rawValue, readable(.seconds(entry.ageSeconds)),
                entry.absent ? "absent" : readable(bytes: entry.size), entry.tags.joined(separator: ","),
                entry.variant.map { "\(entry.url) [\($0)]" } ?? entry.url,
            ])
        }
        table.lines(header: isFirst).forEach(Console.printRow)
    }
}
