package import Logging
package import Perennial
import PerennialConnections
import PerennialSQLite

// The engines this program was built with: package traits leave some of them out.
#if Redis
    import PerennialRedis
#endif
#if PostgreSQL
    import PerennialPostgres
#endif
#if MongoDB
    import PerennialMongoDB
#endif
#if Celery
    import PerennialCelery
#endif

/// A store and a queue, and how to close them.
package struct OpenEngine: Sendable {
    package let backend: any Backend
    package let close: @Sendable () async -> Void

    package init(_ backend: any Backend, close: @escaping @Sendable () async -> Void) {
        self.backend = backend
        self.close = close
    }
}

/// Opens the engine at an address. Servers are reached when they are needed; a file is opened at once.
/// - Parameters:
///   - sizeLimit: the bytes above which the janitor removes the least recently used entries; `nil`: none.
///   - startsAnewWhenDamaged: whether a damaged file is moved aside.
///   - isForLooking: whether a file is left as it is, with nothing beside it.
/// - Throws: ``EngineURLError``; `SQLiteBackendError`; what the engine says of its address. None names a password.
package func openEngine(
    _ address: EngineAddress, sizeLimit: Int?, startsAnewWhenDamaged: Bool = true, isForLooking: Bool = false,
    logger: Logger
) throws -> OpenEngine {
    switch address {
    case .memory:
        return OpenEngine(InMemoryBackend(sizeLimit: sizeLimit)) {}
    case .sqlite(let path):
        let backend = try SQLiteBackend(
            path: path, sizeLimit: sizeLimit, startsAnewWhenDamaged: startsAnewWhenDamaged,
            isForLooking: isForLooking, logger: logger)
        return OpenEngine(backend) { await backend.close() }
    case .server(let url):
        return try openServer(url, sizeLimit: sizeLimit, logger: logger)
    }
}

/// What an engine says of its address before it is used. Engines that this program was built without say nothing.
/// - Throws: ``EngineURLError``, which names no password.
func checkAddress(_ url: EngineURL) throws(EngineURLError) {
    switch Engine(scheme: url.scheme) {
    #if Redis
        case .redis: try RedisBackend.check(url)
    #endif
    #if PostgreSQL
        case .postgres: try PostgresBackend.check(url)
    #endif
    #if MongoDB
        case .mongoDB: try MongoDBBackend.check(url)
    #endif
    #if Celery
        case .celery: try CeleryQueue.check(url)
    #endif
    default: break
    }
}

private func openServer(_ url: EngineURL, sizeLimit: Int?, logger: Logger) throws -> OpenEngine {
    switch Engine(scheme: url.scheme) {
    #if Redis
        case .redis:
            let backend = try RedisBackend(url: url.unredacted, sizeLimit: sizeLimit, logger: logger)
            return OpenEngine(backend) { await backend.close() }
    #endif
    #if PostgreSQL
        case .postgres:
            let backend = try PostgresBackend(url: url.unredacted, sizeLimit: sizeLimit, logger: logger)
            return OpenEngine(backend) { await backend.close() }
    #endif
    #if MongoDB
        case .mongoDB:
            let backend = try MongoDBBackend(url: url.unredacted, sizeLimit: sizeLimit, logger: logger)
            return OpenEngine(backend) { await backend.close() }
    #endif
    case .celery:
        throw EngineURLError("\(url): Celery keeps jobs, not entries; name it as the queue, beside a store")
    default:
        throw EngineURLError(
            "\(url): this program was built without this engine; build it with its trait, like --traits Redis")
    }
}

/// Opens a store and a queue, which may be one engine or two.
/// - Parameter queue: `nil`: with the entries.
/// - Throws: as ``openEngine(_:sizeLimit:startsAnewWhenDamaged:logger:)``.
package func openEngines(
    store: EngineAddress, queue: EngineAddress?, sizeLimit: Int?, startsAnewWhenDamaged: Bool = true,
    isForLooking: Bool = false, logger: Logger
) throws -> OpenEngine {
    let entries = try openEngine(
        store, sizeLimit: sizeLimit, startsAnewWhenDamaged: startsAnewWhenDamaged, isForLooking: isForLooking,
        logger: logger)
    guard let queue, queue != store else { return entries }
    let jobs = try openQueue(
        queue, startsAnewWhenDamaged: startsAnewWhenDamaged, isForLooking: isForLooking, logger: logger)
    return OpenEngine(MixedBackend(store: entries.backend.store, queue: jobs.queue)) {
        await jobs.close()
        await entries.close()
    }
}

private func openQueue(
    _ address: EngineAddress, startsAnewWhenDamaged: Bool, isForLooking: Bool, logger: Logger
) throws -> (queue: any RefreshQueue, close: @Sendable () async -> Void) {
    if case .server(let url) = address, Engine(scheme: url.scheme) == .celery {
        #if Celery
            let queue = try CeleryQueue(url: url.unredacted, logger: logger)
            return (queue, { await queue.close() })
        #else
            throw EngineURLError(
                "\(url): this program was built without this engine; build it with its trait, like --traits Celery")
        #endif
    }
    let engine = try openEngine(
        address, sizeLimit: nil, startsAnewWhenDamaged: startsAnewWhenDamaged, isForLooking: isForLooking,
        logger: logger)
    return (engine.backend.queue, engine.close)
}
