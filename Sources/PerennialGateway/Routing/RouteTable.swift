internal import Logging
internal import NIOConcurrencyHelpers
internal import NIOCore
internal import Perennial
internal import PerennialHTTP

/// A route at work.
final class ActiveRoute: Sendable {
    let route: Route
    let origin: ActiveOrigin
    let keys: AddressKeys
    let fetch: OriginFetch
    let terms: OriginTerms

    init(
        _ route: Route, _ origin: ActiveOrigin, limit: Int, unstorable: UnstorableKeys, memory: BodyMemory,
        time: any TimeSource, logger: Logger
    ) throws(PolicyError) {
        self.route = route
        self.origin = origin
        keys = AddressKeys(address: route.address, query: route.rules.query, limit: limit)
        fetch = OriginFetch(
            origin: route.origin, rules: route.rules, client: origin.client, unstorable: unstorable, memory: memory,
            silence: SilenceLog(route: route.name, logger: logger), time: time)
        terms = OriginTerms(policy: try route.rules.policy(for: route.origin), origin: origin.limits)
    }

    var rules: ResponseRules { route.rules }
}

/// An origin at work: connections to it, and the guard before it.
struct ActiveOrigin: Sendable {
    let origin: Origin
    let client: OriginClient
    let limits: OriginGuard
}

/// The routes at a moment. Each request goes to the first that is for it.
final class RouteTable: Sendable {
    let routes: [ActiveRoute]
    let limit: Int
    /// The one for all requests, if there is but one.
    let only: ActiveRoute?

    /// - Parameter previous: what can stay of it does: connections, and what its guards know.
    /// - Throws: ``RoutingError``, ``Perennial/PolicyError``.
    init(
        _ routes: [Route], previous: RouteTable?, limit: Int, unstorable: UnstorableKeys, memory: BodyMemory,
        time: any TimeSource, logger: Logger, connect: (Origin) throws -> OriginClient
    ) throws {
        try check(routes)
        // First what can fail.
        for route in routes { _ = try route.rules.policy(for: route.origin) }
        var origins: [Origin: ActiveOrigin] = [:]
        for origin in previous?.routes.map(\.origin) ?? [] { origins[origin.origin] = origin }
        self.routes = try routes.map { route in
            let origin =
                try origins[route.origin]
                ?? ActiveOrigin(
                    origin: route.origin, client: connect(route.origin),
                    limits: OriginGuard(
                        name: route.origin.url.description, concurrency: route.origin.concurrency,
                        rate: route.origin.rate, longestRetryAfter: route.origin.longestRetryAfter, time: time))
            origins[route.origin] = origin
            return try ActiveRoute(
                route, origin, limit: limit, unstorable: unstorable, memory: memory, time: time, logger: logger)
        }
        self.limit = limit
        only = routes.count == 1 && routes[0].address.isForAll ? self.routes[0] : nil
    }

    /// Every origin once.
    var origins: [ActiveOrigin] {
        var seen: Set<Origin> = []
        return routes.map(\.origin).filter { seen.insert($0.origin).inserted }
    }

    /// The route of a request, and the key of what it asks for.
    ///
    /// An absolute address names the host in place of `Host` (RFC 9112 §3.2.2).
    /// - Parameter host: the value of `Host`.
    /// - Throws: ``PerennialHTTP/AddressError``, of the kind `unknown` when there is no route.
    func find(target: String, host: String) throws(AddressError) -> (ActiveRoute, key: String) {
        if let only { return (only, try only.keys.key(forTarget: target)) }
        let wanted = try RequestTarget(target, limit: limit)
        let host = wanted.host ?? host
        guard let found = routes.first(where: { $0.route.address.matches(host: host, path: wanted.path) }) else {
            throw .noRoute(host: host, path: wanted.path)
        }
        return (found, found.keys.key(forPath: wanted.path))
    }

    /// As ``find(target:host:)``, of a request as it lies among received bytes; `nil`: it needs a closer look.
    func find(_ head: RequestHead, in bytes: Span<UInt8>) -> (ActiveRoute, key: String)? {
        if let only {
            return only.keys.key(forPlainTarget: head.target, in: bytes).map { (only, $0) }
        }
        // Paths that normalising would change belong to the route that they are for then.
        guard head.target.count <= limit, isNormalPath(bytes, at: head.target) else { return nil }
        for route in routes where route.route.address.matches(host: head.host, path: head.target, in: bytes) {
            return route.keys.key(forPlainTarget: head.target, in: bytes).map { (route, $0) }
        }
        return nil
    }

    /// The route whose rules hold for a key; `nil`: none makes such keys.
    func route(ofKey key: String) -> ActiveRoute? {
        let address = primaryKey(of: key)
        return routes.first { $0.route.address.mayHaveMade(address) }
    }
}

/// The routes now.
final class Routing: Sendable {
    private let table: NIOLockedValueBox<RouteTable>

    init(_ table: RouteTable) {
        self.table = NIOLockedValueBox(table)
    }

    var now: RouteTable { table.withLockedValue { $0 } }

    /// Puts another table in the place of the one there is.
    func change(_ make: (RouteTable) throws -> RouteTable) rethrows {
        try table.withLockedValue { $0 = try make($0) }
    }
}

/// What a refresh of a key fails with that no route makes any more.
struct NoRoute: OriginError, CustomStringConvertible {
    let key: String
    var retryAfter: Duration? { nil }
    var isPermanent: Bool { true }
    var description: String { "no route leads to \(primaryKey(of: key)) any more" }
}
