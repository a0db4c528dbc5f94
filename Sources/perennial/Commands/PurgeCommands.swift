import ArgumentParser
import Perennial
import PerennialConsole

/// `perennial expire`: soft purge.
struct ExpireCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "expire", abstract: "Make entries stale now: readers still get them, a refresh follows.",
        discussion: #"With --json: {"expired": N}. An address that is not there ends with code 66."#)

    @OptionGroup var options: PurgeOptions

    mutating func run() async throws {
        try await options.purge("expire", done: "expired") { try await $0.expire($1) }
    }
}

/// `perennial remove`: hard purge.
struct RemoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Delete entries: the next reader waits for the origin.",
        discussion: #"With --json: {"removed": N}. An address that is not there ends with code 66."#)

    @OptionGroup var options: PurgeOptions

    mutating func run() async throws {
        try await options.purge("remove", done: "removed") { try await $0.remove($1) }
    }
}
