import ArgumentParser
import Perennial
import PerennialConsole

/// `perennial inspect URL`: everything about the entries of one address.
struct InspectCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Show everything about what is saved for one address.",
        discussion: "With --json: one JSON array, with one object a variant. What is not there ends with code 66.")

    @OptionGroup var options: StoreOptions
    @Argument(help: ArgumentHelp("The address at the origin, or its path alone.", valueName: "URL")) var url: String

    mutating func run() async throws {
        let details = try await options.use(isForLooking: true) { try await $0.details(of: url) }
        if options.json { return try Console.print(json: details) }
        for (number, detail) in details.enumerated() {
            if number > 0 { Console.print("") }
            lines(of: detail).forEach(Console.print)
        }
    }

    private func lines(of detail: EntryDetail) -> [String] {
        let entry = detail.entry
        var table = Table([("", .left), ("", .left)])
        func row(_ name: String, _ value: String?) {
            if let value, !value.isEmpty { table.add([name, value]) }
        }
        row("address", entry.url)
        row("variant", entry.variant)
        row("state", entry.absent ? "\(entry.state), absent at the origin" : "\(entry.state)")
        row("age", readable(.seconds(entry.ageSeconds)))
        row("size", entry.absent ? nil : readable(bytes: entry.size))
        row("tags", entry.tags.joined(separator: ", "))
        row("generation", String(entry.generation))
        row("etag", entry.etag)
        row("last modified", entry.lastModified)
        row("saved", entry.savedAt)
        row("confirmed", entry.confirmedAt)
        row("marked stale", entry.markedStaleAt)
        row("stale", moment(entry.staleAt, after: entry.limits.refreshAfterSeconds))
        row("expired", moment(entry.expiresAt, after: entry.limits.expireAfterSeconds))
        row("useless", moment(entry.uselessAt, after: entry.limits.staleIfErrorSeconds))
        if let job = detail.job {
            row("job", "\(job.id), \(job.state)" + (job.failures > 0 ? ", failed \(job.failures) times" : ""))
            row("job's worker", job.worker)
            row("job's error", job.error)
        }
        var lines = table.lines(header: false)
        if let response = detail.response {
            lines += ["", "HTTP \(response.status)"]
            lines += response.headers.map { printable("\($0.name): \($0.value)") }
        }
        return lines
    }

    private func moment(_ time: String?, after seconds: Double) -> String {
        time.map { "\($0) (limit \(readable(.seconds(seconds))))" } ?? "never"
    }
}
