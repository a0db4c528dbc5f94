import ArgumentParser
import Perennial
import PerennialConsole

/// `perennial jobs` and `perennial jobs replay`.
struct JobsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "jobs", abstract: "List refresh jobs, or replay dead ones.",
        usage: """
            perennial jobs [--dead] [--store ENGINE] [--queue ENGINE] [--config FILE.yaml] [--json]
            perennial jobs replay (ID | --all) [--store ENGINE] …
            """,
        discussion: "--dead lists only the jobs whose last attempt failed. All options: perennial jobs list --help.",
        subcommands: [List.self, Replay.self], defaultSubcommand: List.self)

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list", abstract: "List refresh jobs (the default).",
            discussion: "With --json: one JSON object a line.")

        @OptionGroup var options: StoreOptions
        @Flag(help: "Only jobs whose last attempt failed.") var dead = false

        mutating func run() async throws {
            try await options.use(isForLooking: true) { administration in
                var after: String?
                repeat {
                    let page = try await administration.jobs(state: dead ? .dead : nil, after: after, limit: 1000)
                    try show(page.items, isFirst: after == nil)
                    after = page.next
                } while after != nil
            }
        }

        private func show(_ jobs: [JobReport], isFirst: Bool) throws {
            if options.json { return try jobs.forEach { try Console.print(json: $0) } }
            var table = Table([
                ("ID", .left), ("STATE", .left), ("FAILED", .right), ("AGE", .right), ("AT", .left), ("ADDRESS", .left),
                ("ERROR", .left),
            ])
            for job in jobs {
                table.add([
                    job.id, job.state.rawValue, String(job.failures), readable(.seconds(job.ageSeconds)), job.at ?? "",
                    job.variant.map { "\(job.url) [\($0)]" } ?? job.url, job.error ?? "",
                ])
            }
            table.lines(header: isFirst).forEach(Console.printRow)
        }
    }

    struct Replay: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "replay", abstract: "Queue dead jobs again, due at once.",
            discussion:
                #"With --json: {"replayed": N}, and with --all "left", the dead jobs that can't be replayed. An id that is no dead job's ends with code 66."#
        )

        @OptionGroup var options: StoreOptions
        @Argument(help: ArgumentHelp("The job's id, as perennial jobs --dead shows it.", valueName: "ID")) var id:
            String?
        @Flag(help: "All dead jobs.") var all = false

        mutating func run() async throws {
            guard (id == nil) == all else {
                throw Failure(.usage, "say which jobs: an ID from perennial jobs --dead, or --all")
            }
            let (count, left) = try await options.use(isForLooking: false) { administration in
                let count = try await administration.replay(id)
                return (count, all ? try await administration.statistics().jobs.dead : 0)
            }
            if options.json {
                return try Console.print(json: all ? ["replayed": count, "left": left] : ["replayed": count])
            }
            Console.print(
                "replayed \(count) \(count == 1 ? "job" : "jobs")"
                    + (left == 0 ? "" : "; \(left) can't be replayed, since their messages make no sense"))
        }
    }
}
