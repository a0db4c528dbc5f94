internal import Logging
internal import NIOConcurrencyHelpers
internal import NIOCore
internal import NIOHTTP1
internal import Perennial
internal import PerennialHTTP

/// A route at work.
final class ActiveRoute: Sendable {
    let route: Route
    let origin: ActiveOrigin
    let keys: AddressKeys
    let fetch: OriginFetch
    let terms: OriginTerms
    /// Whether a client's host may make a key that is another route's.
    let mayTakeOthersKeys: Bool
    /// The hosts by which other routes' origins are asked, where the client's is sent here.
    private let foreignHosts: [[UInt8]]
    /// The credentials in whose place the origin is sent the gateway's own; folded.
    private let replacedSecrets: Set<String>

    /// - Parameter others: all routes.
    init(
        _ route: Route, _ origin: ActiveOrigin, others: [Route], limit: Int, unstorable: UnstorableKeys,
        memory: BodyMemory, time: any TimeSource, logger: Logger
    ) throws(PolicyError) {
        self.route = route
        self.origin = origin
        let sharing = route.address.sentHost == .client ? others.filter { route.mayTakeKeys(of: $0) } : []
        mayTakeOthersKeys = !sharing.isEmpty
        foreignHosts = sharing.filter { $0.address.sentHost != .client }.map { Array($0.address.named.authority.utf8) }
        replacedSecrets = Set(
            route.origin.fields.filter { RequestFieldClass($0.name).isSecret }.map { foldedName($0.name) })
        keys = AddressKeys(address: route.address, query: route.rules.query, limit: limit)
        fetch = OriginFetch(
            origin: route.origin, address: route.address, rules: route.rules, client: origin.client,
            unstorable: unstorable, memory: memory, silence: SilenceLog(route: route.name, logger: logger), time: time)
        terms = OriginTerms(policy: try route.rules.policy(for: route.origin), origin: origin.limits)
    }

    var rules: ResponseRules { route.rules }

    /// Whether a host in normal form is one by which another route's origin is asked.
    fileprivate func isForeign(_ host: Range<Int>, in bytes: Span<UInt8>) -> Bool {
        for foreign in foreignHosts where foreign.count == host.count {
            var index = 0
            while index < foreign.count, foreign[index] == bytes[host.lowerBound + index] { index += 1 }
            if index == foreign.count { return true }
        }
        return false
    }

    /// What counts of a request's fields where its answer may be from the cache or for it.
    func countedFields(of request: HeaderFields) -> HeaderFields {
        let fields = rules.cookies.applied(to: request)
        guard !replacedSecrets.isEmpty else { return fields }
        return fields.removing(where: { replacedSecrets.contains(foldedName($0.name)) })
    }

    /// The key of the answer to a preflight that may be kept; `nil`: it is no preflight, or its answer is not kept here.
    func preflightKey(primary: String, _ method: HTTPMethod, _ fields: HeaderFields) -> String? {
        guard rules.cors, method == .OPTIONS, primary != ClientRequest.serverItself else { return nil }
        return Preflight(method: method.rawValue, fields: fields)?.key(primary: primary)
    }

    /// Whether the same is asked for a key by either.
    fileprivate func hasSameKeys(as other: ActiveRoute) -> Bool {
        self === other || route.origin == other.route.origin && route.rules == other.route.rules
    }
}

extension Route {
    fileprivate func mayTakeKeys(of other: Route) -> Bool {
        (origin != other.origin || rules != other.rules) && address.mayShareKeys(with: other.address)
    }
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
                route, origin, others: routes, limit: limit, unstorable: unstorable, memory: memory, time: time,
                logger: logger)
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
    /// - Throws: ``PerennialHTTP/AddressError``, of the kind `noRoute` when there is no route, and of the kind
    ///   `elsewhere` when the host is one by which another route's origin is asked.
    func find(target: String, host: String) throws(AddressError) -> (ActiveRoute, key: String) {
        if let only { return (only, try only.keys.key(forTarget: target, host: host)) }
        let wanted = try RequestTarget(target, limit: limit)
        let host = wanted.hostAndPort ?? host
        guard let found = routes.first(where: { $0.route.address.matches(host: host, path: wanted.path) }) else {
            throw .noRoute(host: host, path: wanted.path)
        }
        let key = try found.keys.key(forPath: wanted.path, host: host)
        // What one client asks for by another origin's name must not be taken for that origin's.
        guard !found.mayTakeOthersKeys || route(ofKey: key).map({ found.hasSameKeys(as: $0) }) == true else {
            throw .elsewhere(host: host)
        }
        return (found, key)
    }

    /// As ``find(target:host:)``, of a request as it lies among received bytes; `nil`: it needs a closer look.
    func find(_ head: RequestHead, in bytes: Span<UInt8>) -> (ActiveRoute, key: String)? {
        if let only {
            return only.keys.key(forPlainTarget: head.target, host: head.host, in: bytes).map { (only, $0) }
        }
        // Paths that normalising would change belong to the route that they are for then.
        guard head.target.count <= limit, isNormalPath(bytes, at: head.target) else { return nil }
        for route in routes where route.route.address.matches(host: head.host, path: head.target, in: bytes) {
            if route.mayTakeOthersKeys, route.isForeign(head.host, in: bytes) { return nil }
            return route.keys.key(forPlainTarget: head.target, host: head.host, in: bytes).map { (route, $0) }
        }
        return nil
    }

    /// The route whose rules hold for a key; `nil`: none makes such keys.
    func route(ofKey key: String) -> ActiveRoute? {
        let address = primaryKey(of: key)
        // A name that an origin is known to have means that origin, whatever hosts clients may name elsewhere.
        return routes.first { $0.route.address.sentHost != .client && $0.route.address.mayHaveMade(address) }
            ?? routes.first { $0.route.address.sentHost == .client && $0.route.address.mayHaveMade(address) }
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
