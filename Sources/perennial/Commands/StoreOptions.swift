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

    /// What can be done with the store that is named, which must be there.
    func open() throws -> Administration {
        let settings = try Settings(config: config)
        let backend = try openExisting(
            store: settings.require(Known.store, store), queue: settings.find(Known.queue, queue)
        ).backend
        return Administration(
            store: backend.store, queue: backend.queue, origin: try settings.find(Known.origin, origin)?.value)
    }
}

/// Which entries: an address or a tag.
struct TargetOptions: ParsableArguments {
    @Argument(help: ArgumentHelp("The address at the origin, or its path alone.", valueName: "URL"))
    var url: String?
    @Option(help: ArgumentHelp("All entries with this tag.", valueName: "T")) var tag: String?

    func target() throws(Failure) -> AdministrationTarget {
        switch (url, tag) {
        case (let url?, nil): return .url(url)
        case (nil, let tag?): return .tag(tag)
        case (nil, nil): throw Failure(.usage, "say which entries: an address, or --tag T")
        default: throw Failure(.usage, "give an address or --tag, not both")
        }
    }
}
