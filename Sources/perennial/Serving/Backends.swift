import Logging
import Perennial
import PerennialConnections
import PerennialEngines
import PerennialSQLite

/// The store and queue for a gateway or a worker, made if they are not there yet.
func openBackend(
    store: Found<EngineAddress>, queue: Found<EngineAddress>?, limit: Int?, startsAnewWhenDamaged: Bool = true,
    logger: Logger
) throws(Failure) -> OpenEngine {
    do {
        return try openEngines(
            store: store.value, queue: queue?.value, sizeLimit: limit, startsAnewWhenDamaged: startsAnewWhenDamaged,
            logger: logger)
    } catch let error as SQLiteBackendError {
        throw Failure(code(of: error), "\(store.name): \(error)")
    } catch {
        throw Failure(store.place.code, "\(error)")
    }
}

/// The store and queue that a gateway has left, for looking into them. No file is made that is not there.
func openExisting(store: Found<EngineAddress>, queue: Found<EngineAddress>?) throws(Failure) -> OpenEngine {
    for address in [store] + (queue.map { [$0] } ?? []) {
        switch address.value {
        case .memory:
            throw Failure(
                address.place.code,
                "\(address.name): what is in memory: can't be seen from outside; name a sqlite: file or a server, or ask the gateway's admin address"
            )
        case .sqlite(let path):
            guard exists(path) else {
                throw Failure(
                    .noInput,
                    "\(address.name): there is no file \(path); name the one that the gateway uses, like sqlite:PATH")
            }
        case .server: break
        }
    }
    return try openBackend(
        store: store, queue: queue, limit: nil, startsAnewWhenDamaged: false,
        logger: Logger(label: "perennial") { _ in SwiftLogNoOpLogHandler() })
}

private func code(of error: SQLiteBackendError) -> Failure.Code {
    switch error.reason {
    case .newerSchema, .foreignDatabase, .damaged: .data
    case .cannotOpen: .cannotCreate
    case .readOnly, .noPermission: .noPermission
    case .locked: .temporary
    case .closed: .software
    }
}
