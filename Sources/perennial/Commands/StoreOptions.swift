import ArgumentParser
import Perennial
import PerennialConsole
import PerennialEngines

/// What every command that looks into a store takes.
struct StoreOptions: ParsableArguments {
    @Option(help: Known.store.argumentHelp) var store: String?
    @Option(help: Known.queue.argumentHelp) var queue: String?
    @Option(
        help: ArgumentHelp(
            "The origin that a path alone belongs to (default: the only one in the store)", valueName: "URL"))
    var origin: String?
    @Option(help: Known.config.argumentHelp) var config: String?
    @Flag(help: "Print JSON.") var json = false

    /// Does something with the store that is named, which must be there, and closes it.
    /// - Parameter isForLooking: whether a file stays as it is, with nothing beside it.
    func use<Result>(
        isForLooking: Bool, _ body: (Administration) async throws -> Result
    ) async throws -> Result {
        let settings = try Settings(config: config)
        let origin = try settings.find(Known.origin, origin)?.value
        let open = try openExisting(
            store: settings.require(Known.store, store), queue: settings.find(Known.queue, queue),
            isForLooking: isForLooking)
        let result: Result
        do {
            result = try await body(
                Administration(store: open.backend.store, queue: open.backend.queue, origin: origin))
        } catch {
            await open.close()
            throw error
        }
        await open.close()
        return result
    }
}

/// Which entries to mark stale or remove, and where: in a store, or through a running gateway.
struct PurgeOptions: ParsableArguments {
    @Argument(help: ArgumentHelp("The address at the origin, or its path alone.", valueName: "URL"))
    var url: String?
    @Option(help: ArgumentHelp("All entries with this tag.", valueName: "T")) var tag: String?
    @Option(help: ArgumentHelp("All entries whose address begins with this.", valueName: "URL")) var prefix: String?
    @Option(
        help: ArgumentHelp(
            "All entries whose address is like this; * is any text, slashes included.", valueName: "PATTERN"))
    var match: String?
    @Flag(help: "All entries. Asks first on a terminal, and needs --yes elsewhere.") var all = false
    @Flag(name: [.long, .short], help: "Don't ask.") var yes = false
    @OptionGroup var store: StoreOptions
    @Option(
        help: ArgumentHelp(
            "Have a running gateway do it, at its admin address, in place of --store.", valueName: "http://HOST:PORT"))
    var admin: String?
    @Option(help: Known.adminToken.argumentHelp) var adminTokenFile: String?

    func target() throws(Failure) -> AdministrationTarget {
        let targets = AdministrationTarget.named(url: url, tag: tag, prefix: prefix, match: match, all: all)
        switch targets.first {
        case nil:
            throw Failure(.usage, "say which entries: an address, --tag T, --prefix URL, --match PATTERN or --all")
        case _ where targets.count > 1:
            throw Failure(.usage, "give one of an address, --tag, --prefix, --match and --all")
        case .prefix("")?: throw Failure(.usage, "--prefix is empty; for all entries, say --all")
        // What means everything is asked about as everything.
        case .match(let pattern)? where !pattern.isEmpty && pattern.allSatisfy { $0 == "*" }: return .all
        case let target?: return target
        }
    }

    /// Marks what is meant stale or removes it, and says how many there were.
    func purge(_ kind: PurgeKind) async throws {
        let target = try target()
        let count: Int
        if let admin {
            guard store.store == nil, store.queue == nil else {
                throw Failure(.usage, "give --admin or --store, not both: a gateway has its own store")
            }
            let gateway = try AdminClient(
                admin, tokenFile: adminTokenFile, settings: Settings(config: store.config))
            if target == .all {
                try await confirm(kind, at: "\(gateway.address)") {
                    try await gateway.ask("/api/stats", as: StatisticsReport.self)
                }
            }
            let answer = try await gateway.ask(
                "/api/\(kind.command)", PurgeRequest(target), timeout: .minutes(10), as: [String: Int].self)
            count = answer[kind.done] ?? 0
        } else {
            count = try await store.use(isForLooking: false) { administration in
                if target == .all {
                    try await confirm(kind, at: "the store") { try await administration.statistics() }
                }
                switch kind {
                case .markStale: return try await administration.markStale(target)
                case .remove: return try await administration.remove(target)
                }
            }
        }
        if store.json { return try Console.print(json: [kind.done: count]) }
        Console.print("\(kind.done) \(count == 1 ? "1 entry" : "\(count) entries")\(kind.state)")
    }

    /// Asks a person whether all entries are meant.
    private func confirm(
        _ kind: PurgeKind, at place: String, _ statistics: () async throws -> StatisticsReport
    ) async throws {
        if yes { return }
        guard Console.canAsk else {
            throw Failure(.usage, "--all means every entry, and there is no terminal to ask on; add --yes")
        }
        let count = try await statistics().store.entries
        guard Console.ask("\(kind.verb) all \(count) entries of \(place)\(kind.state)? [y/N] ") else {
            Console.printError("perennial: nothing was changed")
            throw ExitCode(1)
        }
    }
}

/// The words for it.
extension PurgeKind {
    /// The command's name, and that of the API's request.
    var command: String { self == .markStale ? "mark-stale" : "remove" }
    fileprivate var verb: String { self == .markStale ? "mark" : "remove" }
    /// In the past, as in JSON.
    fileprivate var done: String { self == .markStale ? "marked" : "removed" }
    /// What follows the number.
    fileprivate var state: String { self == .markStale ? " stale" : "" }
}
