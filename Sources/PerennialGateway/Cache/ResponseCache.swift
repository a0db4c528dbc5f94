public import Logging
public import NIOCore
internal import NIOPosix
public import Perennial
public import PerennialHTTP

/// The gateway's cache of its origins' responses: an engine's cache named `http`, whose fetch speaks HTTP.
///
/// A gateway answers from it. A worker process has one without a gateway: its refresh workers do what gateways on the
/// same backend have queued.
public final class ResponseCache: Sendable {
    /// Entries and jobs carry this name in the backend.
    public static let name = "http"

    public let cache: Cache<String, CachedResponse>
    let routing: Routing
    let unstorable: UnstorableKeys
    let time: any TimeSource
    /// What bodies take on their way from the origins.
    let memory: BodyMemory
    private let logger: Logger
    private let connect: @Sendable (Origin) throws -> OriginClient

    /// - Parameters:
    ///   - group: the event loops for connections to the origins. Default: the process's own.
    ///   - observer: is told what the cache does; must be quick.
    /// - Throws: ``RoutingError`` and ``Perennial/PolicyError`` when settings contradict each other;
    ///   ``CertificateError`` when an origin's certificates can't be used.
    public init(
        configuration: GatewayConfiguration,
        backend: any Backend = InMemoryBackend(),
        group: (any EventLoopGroup)? = nil,
        time: any TimeSource = SystemTime(),
        logger: Logger? = nil,
        observer: (@Sendable (CacheEvent) -> Void)? = nil
    ) throws {
        unstorable = UnstorableKeys(duration: configuration.unstorableMemory)
        self.time = time
        memory = BodyMemory(limit: configuration.bodyMemory)
        let originLogger = logger ?? Logger(label: "perennial.origin") { _ in SwiftLogNoOpLogHandler() }
        self.logger = originLogger
        connect = { [idleTimeout = configuration.idleTimeout] origin in
            try OriginClient(
                origin, idleTimeout: idleTimeout, group: group ?? MultiThreadedEventLoopGroup.singleton,
                logger: originLogger)
        }
        let routing = Routing(
            try RouteTable(
                configuration.routes, previous: nil, limit: configuration.maxTarget, unstorable: unstorable,
                memory: memory, time: time, logger: originLogger, connect: connect))
        self.routing = routing
        let noRoute = OriginTerms(origin: OriginGuard(time: time))
        cache = Cache(
            Self.name, backend: backend, codec: .cachedResponse, memory: MemoryLimits(bytes: configuration.memory),
            terms: { key in
                guard var terms = routing.now.route(ofKey: key)?.terms else { return noRoute }
                terms.endpoint = endpoint(ofKey: key)
                return terms
            },
            limits: { key, response, saved in
                guard let response, let route = routing.now.route(ofKey: key) else { return saved }
                return currentLimits(
                    saved, status: response.status, fields: response.fields, mode: route.rules.effectiveFreshness)
            },
            workers: configuration.workers, time: time, logger: logger, observer: observer
        ) { key, context in
            guard let route = routing.now.route(ofKey: key) else { throw NoRoute(key: key) }
            return try await route.fetch.fetch(key, context, for: nil)
        }
    }

    /// The origins that there are routes to.
    public var origins: [OriginURL] { routing.now.origins.map(\.origin.url) }

    /// What the guards before the origins are doing.
    /// By the origins' addresses.
    public var originStatuses: [String: OriginGuard.Status] {
        Dictionary(routing.now.origins.map { ($0.origin.url.description, $0.limits.status) }) { first, _ in first }
    }

    /// Asks again at once what is left alone because it failed or asked for a pause.
    /// - Parameter target: the URL of an origin: that with all its addresses; an address at one, as for ``key(for:)``:
    ///   its responses, as long as the origin as a whole is asked. Default: all origins.
    /// - Returns: how much was left alone: origins, and each of their addresses.
    /// - Throws: ``PerennialHTTP/AddressError`` for what is no address at an origin.
    @discardableResult
    public func reopenOrigin(_ target: String? = nil) throws(AddressError) -> Int {
        let origins = routing.now.origins
        guard let target else { return origins.reduce(0) { $0 + $1.limits.reopen() } }
        let named = try? OriginURL(target)
        let meant = origins.filter { $0.origin.url == named }
        guard meant.isEmpty else { return meant.reduce(0) { $0 + $1.limits.reopen() } }
        let key = try key(for: target)
        return origins.reduce(0) { $0 + $1.limits.reopen { primaryKey(of: $0) == key } }
    }

    /// Other routes from now on, for refreshes and what is asked of ``cache``. A gateway has to know, too:
    /// ``Gateway/reload(_:)``.
    /// - Throws: as ``init(configuration:backend:group:time:logger:observer:)``; then nothing has changed.
    public func reload(_ routes: [Route]) throws {
        try routing.change { before in
            try RouteTable(
                routes, previous: before, limit: before.limit, unstorable: unstorable, memory: memory,
                time: time, logger: logger, connect: connect)
        }
        // What is stored obeys an operator's new limits at once.
        cache.applyLimits()
    }

    /// The key of an address as a person writes it: a URL at an origin, by the name that the origin is asked by, or
    /// with one origin a path alone.
    /// - Throws: ``PerennialHTTP/AddressError``, in one line for whoever wrote it.
    public func key(for input: String) throws(AddressError) -> String {
        let table = routing.now
        let addresses = table.routes.map(\.route.address)
        let fitting = addresses.first { (try? $0.key(forInput: input, limit: table.limit)) != nil }
        let key = try (input.contains("://") ? fitting ?? addresses[0] : addresses[0])
            .key(forInput: input, limit: table.limit)
        return canonical(key)
    }

    /// The key that requests for an address at an origin get by the rules of its route.
    private func canonical(_ key: String) -> String {
        routing.now.route(ofKey: key)?.rules.query.applied(to: key) ?? key
    }

    /// Marks every response stored for an address stale (soft purge).
    /// - Parameter key: from ``key(for:)``.
    /// - Returns: how many there were.
    public func markStale(_ key: String) async throws -> Int {
        let variants = try await cache.markStale(tag: key)
        return try await cache.markStale(key) ? variants + 1 : variants
    }

    /// Removes every response stored for an address (hard purge).
    /// - Parameter key: from ``key(for:)``.
    /// - Returns: how many there were.
    @discardableResult
    public func remove(_ key: String) async throws -> Int {
        let variants = try await cache.remove(tag: key)
        return try await cache.remove(key) ? variants + 1 : variants
    }

    /// Removes what the answer to an unsafe request makes out of date: it has to be asked for again, so marking it
    /// stale would not do (RFC 9111 §4.4).
    /// - Throws: the store's first error, when all has been tried.
    func remove(_ invalidation: Invalidation) async throws {
        var failure: (any Error)?
        let keys = invalidation.keys.map(canonical)
        for tag in keys + invalidation.tags {
            do { try await cache.remove(tag: tag) } catch { failure = failure ?? error }
        }
        for key in keys {
            do { try await cache.remove(key) } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
    }

    /// Saves what somebody else asked the origin for, as if a refresh had brought it.
    /// - Parameters:
    ///   - key: as a job names it: from ``key(for:)``, with a variant behind it or not.
    ///   - fence: the generation of the entry that was found stale: if it was written since, nothing is saved. `nil`:
    ///     saves always.
    ///   - lease: the lease that the work was done under, which ends.
    /// - Returns: the new generation; `nil` when the entry was written since.
    /// - Throws: ``NotAccepted`` when the answer may not be saved; the store's error.
    public func accept(
        _ key: String, status: Int, fields: HeaderFields, body: [UInt8], fence: Generation?, lease: LeaseToken?
    ) async throws -> Generation? {
        guard let route = routing.now.route(ofKey: key) else {
            let origins = origins.map(\.description).joined(separator: ", ")
            throw NotAccepted(reason: "no route leads to \(primaryKey(of: key)); the origins are \(origins)")
        }
        guard body.count <= route.rules.maxBody else {
            throw NotAccepted(
                reason:
                    "the body has \(body.count) bytes, and no more than \(route.rules.maxBody) are kept (--max-body)",
                isTooLarge: true)
        }
        let address = primaryKey(of: key)
        let normal: String
        do throws(AddressError) {
            normal = try self.key(for: address)
        } catch {
            throw NotAccepted(reason: "\(error)")
        }
        guard normal == address else {
            throw NotAccepted(reason: "no reader asks for \(address), which is not in normal form; hand over \(normal)")
        }
        let now = time.now
        let response = OriginResponse(status: status, fields: fields, requestedAt: now, receivedAt: now)
        let request = cache.peek(key)?.value?.requestFields ?? selectingFields(ofKey: key)
        let fetched = try route.fetch.accept(response, body, key: key, request: request).get()
        return try await cache.accept(fetched, for: key, fence: fence, releasing: lease)
    }

    /// Stops the workers, which finish or hand back what they do, and closes the connections to the origins.
    public func shutdown(deadline: Duration = .seconds(10)) async {
        await cache.shutdown(deadline: deadline)
        for origin in routing.now.origins { origin.client.close() }
    }
}

/// What addresses with different queries, and their variants, have in common: one that fails with any of them says
/// nothing of the rest of the origin.
private func endpoint(ofKey key: String) -> String {
    let address = primaryKey(of: key)
    return address.utf8.firstIndex(of: UInt8(ascii: "?")).map { String(address[..<$0]) } ?? address
}

/// Why an answer that was handed over is not saved.
public struct NotAccepted: Error, Hashable, CustomStringConvertible {
    public let reason: String
    /// Whether the body is larger than what is kept.
    public var isTooLarge = false
    public var description: String { reason }
}
