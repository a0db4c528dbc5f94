import Logging
import Perennial
import PerennialConnections
import PerennialEngines
import PerennialSQLite

/// The store and queue for a gateway or a worker, made if they are not there yet.
func openBackend(
    store: Found<EngineAddress>, queue: Found<EngineAddress>?, limit: Int?, startsAnewWhenDamaged: Bool = true,
    isForLooking: Bool = false, logger: Logger
) throws(Failure) -> OpenEngine {
    do {
        return try openEngines(
            store: store.value, queue: queue?.value, sizeLimit: limit, startsAnewWhenDamaged: startsAnewWhenDamaged,
            isForLooking: isForLooking, logger: logger)
    } catch let error as SQLiteBackendError {
        throw Failure(code(of: error), "\(store.name): \(error)")
    } catch {
        throw Failure(store.place.code, "\(error)")
    }
}

/// The store and queue that a gateway has left. No file is made that is not there.
/// - Parameter isForLooking: whether a file stays as it is, with nothing beside it; else it may be changed.
func openExisting(
    store: Found<EngineAddress>, queue: Found<EngineAddress>?, isForLooking: Bool
) throws(Failure) -> OpenEngine {
    // What is empty can only be looked into once it has tables.
    var isForLooking = isForLooking
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
            if FileVersion(path)?.size == 0 { isForLooking = false }
        case .server: break
        }
    }
    return try openBackend(
        store: store, queue: queue, limit: nil, startsAnewWhenDamaged: false, isForLooking: isForLooking,
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
