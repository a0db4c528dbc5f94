import ArgumentParser
import PerennialConnections
import PerennialConsole

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Runs the command, and turns whatever stops it into one line and an exit code.
@main
struct Main {
    static func main() async {
        do {
            var command = try PerennialCommand.parseAsRoot()
            hidePasswordsInArguments()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            exit(report(error))
        }
    }

    private static func report(_ error: any Error) -> Int32 {
        let code = PerennialCommand.exitCode(for: error)
        if code.isSuccess {
            // Help and version come as errors, too.
            Console.print(PerennialCommand.fullMessage(for: error))
            return 0
        }
        // A command that has said all there is to say.
        if let code = error as? ExitCode { return code.rawValue }
        let failure = failure(for: error, parserCode: code)
        for line in failure.lines { Console.printError("perennial: \(line)") }
        return failure.code.rawValue
    }

    private static func failure(for error: any Error, parserCode: ExitCode) -> Failure {
        switch error {
        case let failure as Failure: return failure
        case let error as AdministrationError:
            return Failure(error.kind == .notFound ? .noInput : .usage, error.description)
        case _ where parserCode == .validationFailure:
            if let hint = unknownCommand(in: Array(CommandLine.arguments.dropFirst())) { return Failure(.usage, hint) }
            return Failure(.usage, "\(PerennialCommand.message(for: error)); see perennial --help")
        default: return Failure(.io, "\(error)")
        }
    }
}

/// The root of the commands.
struct PerennialCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "perennial",
        abstract: "A persistent cache that refreshes itself in the background.",
        discussion: """
            Every option can also be set in the environment (PERENNIAL_REFRESH_AFTER for --refresh-after) or in a YAML \
            file (refresh-after: 1h) named by --config or PERENNIAL_CONFIG. The command line comes before the \
            environment, and that before the file.

            Durations are written 500ms, 2s, 5m, 1h or 7d, sizes 64MB or 10GB.
            """,
        version: Version.current,
        subcommands: [
            ServeCommand.self, WorkerCommand.self, CheckCommand.self, ListCommand.self, InspectCommand.self,
            MarkStaleCommand.self, ExpireCommand.self,
            RemoveCommand.self, JobsCommand.self, OriginCommand.self, StatisticsCommand.self, CopyCommand.self,
            DemoCommand.self,
            DemoOriginCommand.self,
        ])
}

/// Says that what stands where a command is expected is none; `nil`: it is one, or nothing stands there.
func unknownCommand(in arguments: [String], of parent: any ParsableCommand.Type = PerennialCommand.self) -> String? {
    let configuration = parent.configuration
    guard let word = arguments.first, !word.isEmpty, !word.hasPrefix("-") else { return nil }
    let names = configuration.subcommands.flatMap { command in
        [command.configuration.commandName ?? ""] + command.configuration.aliases
    }
    if let command = configuration.subcommands.first(where: {
        $0.configuration.commandName == word || $0.configuration.aliases.contains(word)
    }) {
        return command.configuration.subcommands.isEmpty
            ? nil : unknownCommand(in: Array(arguments.dropFirst()), of: command)
    }
    if names.isEmpty || word == "help" { return nil }
    let path = parent == PerennialCommand.self ? "perennial" : "perennial \(configuration.commandName ?? "")"
    let hint = nearest(to: word, in: names).map { "did you mean “\($0)”?" } ?? "see \(path) --help"
    return "there is no command “\(word)” of \(path); \(hint)"
}

/// Which Perennial this is.
enum Version {
    static let current = "0.1.0"
}
