import ArgumentParser
import Logging
import Perennial
import PerennialConsole
import PerennialEngines

/// `perennial copy`: moves a cache to another engine.
struct CopyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "copy", abstract: "Copy the entries of one store into another, of any engine.",
        discussion: """
            What the other store has as new or newer is left alone, so a copy that was stopped is begun again by the same \
            command. Refresh jobs are not copied: the next reader of a stale entry queues its own.

            With --json: {"copied", "kept", "dropped", "bytes"}.
            """)

    @Option(help: ArgumentHelp("The store to read.", valueName: "ENGINE")) var from: String
    @Option(help: ArgumentHelp("The store to write.", valueName: "ENGINE")) var to: String
    @Option(help: ArgumentHelp("Only the entries of this cache (default: all).", valueName: "NAME")) var cache: String?
    @Flag(help: "Print JSON.") var json = false

    mutating func run() async throws {
        let source = Found(value: try address(from, "--from"), place: .commandLine, name: "--from")
        let target = Found(value: try address(to, "--to"), place: .commandLine, name: "--to")
        guard source.value != target.value else { throw Failure(.usage, "--from and --to are the same store") }
        guard target.value != .memory else {
            throw Failure(.usage, "--to: what is in memory: is gone with this command; name a sqlite: file or a server")
        }
        let old = try openExisting(store: source, queue: nil, isForLooking: false)
        let new = try openBackend(store: target, queue: nil, limit: nil, logger: makeLogger(.warning))
        let total = try await old.backend.store.statistics().entries
        let bar = ProgressBar(total: cache == nil ? total : nil)
        let progress = try await StoreCopy(from: old.backend.store, to: new.backend.store)
            .run(cache: cache) { bar.show($0.seen) }
        bar.end()
        await new.close()
        await old.close()
        if json { return try Console.print(json: progress) }
        Console.print(
            "copied \(progress.copied) entries (\(readable(bytes: progress.bytes))) from \(source.value) to \(target.value);"
                + " \(progress.kept) were there already, \(progress.dropped) were dead")
    }

    private func address(_ text: String, _ option: String) throws(Failure) -> EngineAddress {
        do throws(Unreadable) {
            return try engineAddress(text)
        } catch {
            throw Failure(.usage, "\(option): \(error)")
        }
    }
}
