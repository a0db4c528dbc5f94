import ArgumentParser
import Perennial
import PerennialConsole

/// `perennial origin`: what of its origins a running gateway leaves alone.
struct OriginCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "origin",
        abstract: "Show what of its origins a running gateway leaves alone, and have it asked again.",
        usage: """
            perennial origin [--admin http://HOST:PORT] [--admin-token-file FILE] [--config FILE.yaml] [--json]
            perennial origin reopen [ORIGIN|ADDRESS] [--admin http://HOST:PORT] …
            """,
        subcommands: [List.self, Reopen.self], defaultSubcommand: List.self)

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list", abstract: "List the origins and what of them is left alone (the default).",
            discussion: """
                STATE is closed while the origin is asked, open while it is left alone because it failed, half-open while one \
                request tries it, paused while it has asked for a pause. With --json: one JSON object a line.
                """, aliases: ["ls"])

        @OptionGroup var options: AdminOptions

        mutating func run() async throws {
            let origins = try await options.gateway().ask("/api/origins", as: [OriginReport].self)
            if options.json { return try origins.forEach { try Console.print(json: $0) } }
            var table = Table([
                ("ORIGIN", .left), ("STATE", .left), ("UNTIL", .left), ("OPENED", .right), ("REASON", .left),
            ])
            for origin in origins {
                table.add([
                    origin.url, origin.state.rawValue, origin.until ?? "", String(origin.openings), origin.reason ?? "",
                ])
                for address in origin.addresses {
                    table.add([
                        "  " + (address.variant.map { "\(address.url) [\($0)]" } ?? address.url),
                        address.state.rawValue,
                        address.until ?? "", "", address.reason,
                    ])
                }
                let others = origin.addressCount - origin.addresses.count
                if others > 0 { table.add(["  and \(others) other addresses", "", "", "", ""]) }
            }
            table.lines().forEach(Console.printRow)
        }
    }

    struct Reopen: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "reopen", abstract: "Ask again at once what is left alone.",
            discussion: """
                Without an address: all origins with all their addresses. Refreshes that were put off come when they are due. \
                With --json: {"reopened": N}.
                """)

        @OptionGroup var options: AdminOptions
        @Argument(
            help: ArgumentHelp(
                "An origin, with all its addresses, or one address at an origin.", valueName: "ORIGIN|ADDRESS"))
        var target: String?

        mutating func run() async throws {
            let answer = try await options.gateway().ask(
                "/api/origins/reopen", target.map { ["address": $0] } ?? [String: String](), as: [String: Int].self)
            let count = answer["reopened"] ?? 0
            if options.json { return try Console.print(json: ["reopened": count]) }
            Console.print(
                count == 0
                    ? "nothing was left alone" : "\(count) \(count == 1 ? "is" : "are") asked again")
        }
    }
}
