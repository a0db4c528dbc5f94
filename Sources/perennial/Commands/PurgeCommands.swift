import ArgumentParser
import Perennial
import PerennialConsole

/// `perennial mark-stale`: soft purge.
struct MarkStaleCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: PurgeKind.markStale.command,
        abstract: "Make entries stale now: readers still get them, a refresh follows.",
        discussion: #"With --json: {"marked": N}. An address that is not there ends with code 66."#)

    @OptionGroup var options: PurgeOptions

    mutating func run() async throws {
        try await options.purge(.markStale)
    }
}

/// The name that it had before; goes with the next release.
struct ExpireCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "expire", abstract: "An older name of mark-stale.", shouldDisplay: false)

    @OptionGroup var options: PurgeOptions

    mutating func run() async throws {
        Console.printError("perennial: “expire” is called “mark-stale” now; the old name goes with the next release")
        try await options.purge(.markStale)
    }
}

/// `perennial remove`: hard purge.
struct RemoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: PurgeKind.remove.command, abstract: "Delete entries: the next reader waits for the origin.",
        discussion: #"With --json: {"removed": N}. An address that is not there ends with code 66."#)

    @OptionGroup var options: PurgeOptions

    mutating func run() async throws {
        try await options.purge(.remove)
    }
}
