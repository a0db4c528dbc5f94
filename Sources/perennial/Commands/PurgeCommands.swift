import ArgumentParser
import Perennial
import PerennialConsole

/// `perennial expire`: soft purge.
struct ExpireCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "expire", abstract: "Make entries stale now: readers still get them, a refresh follows.",
        discussion: #"With --json: {"expired": N}. An address that is not there ends with code 66."#)

    @OptionGroup var target: TargetOptions
    @OptionGroup var options: StoreOptions

    mutating func run() async throws {
        let target = try target.target()
        try options.tell("expired", try await options.open().expire(target))
    }
}

/// `perennial remove`: hard purge.
struct RemoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Delete entries: the next reader waits for the origin.",
        discussion: #"With --json: {"removed": N}. An address that is not there ends with code 66."#)

    @OptionGroup var target: TargetOptions
    @OptionGroup var options: StoreOptions

    mutating func run() async throws {
        let target = try target.target()
        try options.tell("removed", try await options.open().remove(target))
    }
}

extension StoreOptions {
    fileprivate func tell(_ what: String, _ count: Int) throws {
        if json { return try Console.print(json: [what: count]) }
        Console.print("\(what) \(count) \(count == 1 ? "entry" : "entries")")
    }
}
