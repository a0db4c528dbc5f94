public import Perennial
public import PerennialHTTP

/// A server behind the gateway, and how it is asked.
public struct Origin: Hashable, Sendable {
    public var url: OriginURL
    /// Fields sent with every request to it, in place of the client's fields of those names. This is where credentials
    /// for the origin belong: they are neither stored nor logged. The client's credentials in those fields play no part
    /// then: what the origin answers to the gateway's own may be shared. Default: none.
    public var fields: HeaderFields = [:]
    /// What it is told of the gateway that requests come through. Default: `Via: 1.1 perennial`.
    public var via = ViaRule.on
    /// Whether and how it is told who a client is whose request passes. Default: it isn't.
    public var forwarded = ForwardedRule.off
    /// Who may have signed the certificate of an `https` origin, and nobody else. Default: those whom the system
    /// trusts.
    public var authorities: TrustedAuthorities?
    /// What shows the origin who asks (TLS client authentication). Default: nothing.
    public var certificate: ClientCertificate?
    /// How long each step may take: a connection, the request's next piece, the head of the answer, a pause in its
    /// body. A body that flows may take longer in all. Default: 30 seconds.
    public var timeout = Duration.seconds(30)
    /// How long a fetch or refresh may take in all, its body included. Default: `nil`, four times `timeout`.
    public var fetchTimeout: Duration?
    /// How long connecting to it may take, at most `timeout`. Default: 10 seconds.
    public var connectTimeout = Duration.seconds(10)
    /// Fetches and refreshes running at the same time; requests that pass through don't count. Default: no limit.
    public var concurrency: Int?
    /// Fetches and refreshes a second, and how many may come at once. Default: no limit.
    public var rate: OriginGuard.Rate?
    /// Of a longer `Retry-After` no more than this is obeyed. Default: 10 minutes.
    public var longestRetryAfter = Duration.minutes(10)

    public init(_ url: OriginURL) {
        self.url = url
    }

    /// ``fetchTimeout`` or its default; never shorter than ``timeout``.
    public var wholeTimeout: Duration { max(timeout, fetchTimeout ?? timeout * 4) }
}

/// What holds for the responses of a route.
public struct ResponseRules: Hashable, Sendable {
    /// Who says how long responses are fresh. Default: the origin.
    public var freshness = FreshnessMode.origin()
    /// Whether a request's `Cache-Control` is obeyed. Default: it is where the origin says how long responses are
    /// fresh, and not where the operator does.
    public var clientDirectives: ClientDirectives?
    /// Protections of a shared cache that are lifted. Default: none.
    public var allowances: Allowances = []
    /// How long a reader of an expired response that is usable on error waits for the origin. Default: until the
    /// origin's time-out.
    public var softTimeout: Duration?
    /// The largest body that is stored, in bytes; larger ones stream through. Default: 16 MiB.
    public var maxBody = 16 << 20
    /// Which parameters of a query count. Default: all, in their order.
    public var query = QueryRules.everything
    /// Which cookies of a request count. Default: all.
    public var cookies = CookieRules.everything
    /// Which request fields choose a response. Default: those that its `Vary` names.
    public var vary = VaryRules.none
    /// Whether pages of other origins read the responses (CORS): then `Origin` chooses among them, and answers to
    /// preflights are kept. Default: no.
    public var cors = false

    public init() {}

    /// Whether clients' directives count.
    public var effectiveClientDirectives: ClientDirectives { clientDirectives ?? ClientDirectives(for: freshness) }

    /// Which request fields choose a response, `Origin` among them where pages of other origins read it.
    var effectiveVary: VaryRules {
        guard cors, !vary.added.contains("origin") else { return vary }
        return VaryRules(added: vary.added + ["origin"], ignored: vary.ignored.filter { $0 != "origin" })
    }

    /// The freshness mode with limits for "no such thing" filled in: never longer than ``Perennial/Limits/absent``
    /// unless given.
    var effectiveFreshness: FreshnessMode {
        guard case .policy(let limits, clientErrors: nil) = freshness else { return freshness }
        let shorter = Limits(
            raising: min(limits.refreshAfter, Limits.absent.refreshAfter),
            min(limits.expireAfter, Limits.absent.expireAfter),
            min(limits.staleIfError, Limits.absent.staleIfError))
        return .policy(limits, clientErrors: shorter)
    }

    /// The engine's policy. Limits always come with the response; these are for what has none.
    func policy(for origin: Origin) throws(PolicyError) -> Policy {
        var policy: Policy
        if case .policy(let limits, _) = freshness {
            policy = try Policy(limits: limits, softTimeout: softTimeout, timeout: origin.timeout)
        } else {
            // What the origin said about its own response is kept to the second.
            policy = try Policy(jitter: 0, softTimeout: softTimeout, timeout: origin.timeout)
        }
        // The steps have time-outs of their own.
        policy.timeout = origin.wholeTimeout
        policy.turnTimeout = origin.timeout
        return policy
    }
}

/// Takes some requests to an origin, and says what holds for the responses.
public struct Route: Hashable, Sendable {
    /// For people: in messages and metrics.
    public var name: String
    public var address: RouteAddress
    public var origin: Origin { didSet { address.origin = origin.url } }
    public var rules = ResponseRules()

    /// Takes every request to an origin.
    public init(name: String = "default", origin: Origin) {
        self.name = name
        self.origin = origin
        address = RouteAddress(origin: origin.url)
    }

    /// - Parameters:
    ///   - hosts: empty: any.
    ///   - stripsPath: whether `path` is left out at the origin.
    ///   - sentHost: what `Host` the origin is sent.
    /// - Throws: ``PerennialHTTP/AddressError`` when a path with asterisks is to be left out.
    public init(
        name: String, hosts: [HostPattern] = [], path: PathPattern = .all, stripsPath: Bool = false, origin: Origin,
        sentHost: SentHost = .origin, rules: ResponseRules = ResponseRules()
    ) throws(AddressError) {
        self.name = name
        self.origin = origin
        self.rules = rules
        address = try RouteAddress(
            hosts: hosts, path: path, stripsPath: stripsPath, origin: origin.url, sentHost: sentHost)
    }
}

/// Routes that don't go together.
public struct RoutingError: Error, Hashable, CustomStringConvertible {
    /// What is wrong and what to do, in one line.
    public let description: String
    /// The route that it is about, counted from 0; of two the later one. `nil`: there is none.
    public let route: Int?
}

/// Sees that a request's route can be told from its key: a refresh, which has nothing but the key, must ask as its
/// route says.
///
/// Each request goes to the first route that is for it.
/// - Throws: ``RoutingError`` for none at all, for two of one name, for one that gets no requests, and for two with
///   different rules for the same addresses.
public func check(_ routes: [Route]) throws(RoutingError) {
    if let error = routingErrors(in: routes).first { throw error }
}

/// All that ``check(_:)`` would throw, one after the other: of each route the first.
public func routingErrors(in routes: [Route]) -> [RoutingError] {
    if routes.isEmpty { return [RoutingError(description: "there is no route; name an origin", route: nil)] }
    return routes.indices.compactMap { index in
        routes[..<index].lazy.compactMap { complaint(about: routes[index], behind: $0) }.first
            .map { RoutingError(description: $0, route: index) }
    }
}

private func complaint(about later: Route, behind earlier: Route) -> String? {
    let names = "routes “\(earlier.name)” and “\(later.name)”"
    if earlier.name == later.name {
        return "two routes have the name “\(later.name)”; give one of them another"
    }
    if earlier.address.takesAll(of: later.address) {
        // To change their order would only hide the other one.
        if later.address.takesAll(of: earlier.address) {
            return "\(names) are for the same requests, so none gets to “\(later.name)”; "
                + "give one of them another host or path, or leave one out"
        }
        return "no request gets to route “\(later.name)”: all of its requests go to "
            + "“\(earlier.name)”, which comes before it; put “\(later.name)” first"
    }
    if earlier.origin == later.origin && earlier.rules == later.rules { return nil }
    // A client that names an origin's own host in place of its own is told so.
    if (earlier.address.sentHost == .client) != (later.address.sentHost == .client) { return nil }
    if earlier.address.mayShareKeys(with: later.address) && !earlier.address.goesBefore(later.address) {
        return "\(names) lead to the same addresses at \(later.address.named), with different rules: "
            + "nobody could tell whose rules hold for a response; give them the same rules, or paths that have nothing in common"
    }
    return nil
}
