import Logging
import Perennial
import PerennialSQLite

/// A store and a queue, and how to close them.
struct OpenBackend {
    let backend: any Backend
    let close: @Sendable () async -> Void
}

/// The store and queue for a gateway or a worker, made if they are not there yet.
func openBackend(
    store: Found<EngineAddress>, queue: Found<EngineAddress>?, limit: Int?, startsAnewWhenDamaged: Bool = true,
    logger: Logger
) throws(Failure) -> OpenBackend {
    let entries = try open(store, limit: limit, startsAnewWhenDamaged, logger: logger)
    guard let queue, queue.value != store.value else { return entries }
    let jobs = try open(queue, limit: nil, startsAnewWhenDamaged, logger: logger)
    return OpenBackend(backend: MixedBackend(store: entries.backend.store, queue: jobs.backend.queue)) {
        await jobs.close()
        await entries.close()
    }
}

/// The store and queue that a gateway has left, for looking into them. Nothing is made that is not there.
func openExisting(store: Found<EngineAddress>, queue: Found<EngineAddress>?) throws(Failure) -> OpenBackend {
    for address in [store] + (queue.map { [$0] } ?? []) {
        switch address.value {
        case .memory:
            throw Failure(
                address.place.code,
                "\(address.name): what is in memory: can't be seen from outside; name a sqlite: file, or ask the gateway's admin address"
            )
        case .sqlite(let path):
            guard exists(path) else {
                throw Failure(
                    .noInput,
                    "\(address.name): there is no file \(path); name the one that the gateway uses, like sqlite:PATH")
            }
            // A gateway moves a damaged file aside and starts anew. Somebody who looks must not do that to any odd file.
            guard isEmptyOrSQLite(path) else {
                throw Failure(.data, "\(address.name): \(path) is no SQLite file; name the one that the gateway uses")
            }
        }
    }
    return try openBackend(
        store: store, queue: queue, limit: nil, startsAnewWhenDamaged: false,
        logger: Logger(label: "perennial") { _ in SwiftLogNoOpLogHandler() })
}

private func open(
    _ address: Found<EngineAddress>, limit: Int?, _ startsAnewWhenDamaged: Bool, logger: Logger
) throws(Failure) -> OpenBackend {
    switch address.value {
    case .memory:
        return OpenBackend(backend: InMemoryBackend(sizeLimit: limit)) {}
    case .sqlite(let path):
        do {
            let backend = try SQLiteBackend(
                path: path, sizeLimit: limit, startsAnewWhenDamaged: startsAnewWhenDamaged, logger: logger)
            return OpenBackend(backend: backend) { await backend.close() }
        } catch let error as SQLiteBackendError {
            throw Failure(code(of: error), "\(address.name): \(error)")
        } catch {
            throw Failure(.cannotCreate, "\(address.name): can't open \(path): \(error)")
        }
    }
}

private func code(of error: SQLiteBackendError) -> Failure.Code {
    switch error.reason {
    case .newerSchema, .foreignDatabase, .damaged: .data
    case .cannotOpen: .cannotCreate
    case .readOnly: .noPermission
    case .closed: .software
    }
}
