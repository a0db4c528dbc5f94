public import Perennial

/// Who says how long a response is fresh.
public enum FreshnessMode: Hashable, Sendable {
    /// The origin's own fields.
    /// - Parameter staleIfError: the age up to which an expired response may be served when the origin fails, where the
    ///   origin neither names one nor forbids it. Default: none.
    case origin(staleIfError: Duration? = nil)
    /// The operator's limits in place of lifetimes that the origin names. What says that it must not be served without
    /// asking, or that it is stale at once, is asked for again all the same, unless ``Allowances/noCache`` is set.
    /// - Parameter clientErrors: for 404, 410 and the other 4xx. Default: the same limits.
    case policy(Limits, clientErrors: Limits? = nil)
}

/// How long a response is fresh, how long it may be served, and how old it already was when it arrived.
public struct ResponseFreshness: Hashable, Sendable {
    /// Ages counted from the moment the origin made or confirmed the response, which is `initialAge` before it arrived.
    public var limits: Limits
    /// How old the response was on arrival (RFC 9111 §4.2.3, corrected_initial_age).
    public var initialAge: Duration
    /// What the freshness lifetime was taken from.
    public var basis: Basis

    /// What a freshness lifetime was taken from.
    public enum Basis: String, Sendable {
        case sharedMaxAge = "s-maxage"
        case maxAge = "max-age"
        case expires
        case heuristic
        /// `no-cache`: never fresh.
        case noCache = "no-cache"
        /// The response says nothing to go by: never fresh.
        case nothing
        /// The operator's limits.
        case policy
    }

    public init(limits: Limits, initialAge: Duration, basis: Basis) {
        self.limits = limits
        self.initialAge = initialAge
        self.basis = basis
    }

    /// The limits counted from arrival.
    public var limitsFromArrival: Limits {
        Limits(
            raising: limits.refreshAfter - initialAge, limits.expireAfter - initialAge,
            limits.staleIfError - initialAge)
    }
}

/// The limits and the initial age of `response`.
///
/// After a 304: pass the merged fields with the 304's times.
/// - Parameter allowances: of these only ``Allowances/noCache`` counts. Default: none.
public func freshness(
    of response: OriginResponse, mode: FreshnessMode, allowances: Allowances = []
) -> ResponseFreshness {
    switch mode {
    case .policy(let limits, let clientErrors):
        var limits = operatorsLimits(limits, clientErrors, status: response.status)
        if !allowances.contains(.noCache) { limits = lowered(limits, by: response) }
        // The operator's limits are about how long ago this cache asked, not how long caches before it have held on.
        return ResponseFreshness(limits: limits, initialAge: .zero, basis: .policy)
    case .origin(let staleIfError):
        let lifetime = freshnessLifetime(of: response)
        return ResponseFreshness(
            limits: limits(
                lifetime: lifetime.duration, directives: RulingDirectives(of: response.fields).directives,
                operatorStaleIfError: staleIfError),
            initialAge: initialAge(of: response), basis: lifetime.basis)
    }
}

/// The limits of a stored response under the limits that the operator has set since it was stored.
///
/// The operator's limits only ever shorten those that the response was stored with; what the origin said of its own
/// response stays as it is. So limits that were lowered hold for what is stored, too, and limits that were raised hold
/// from the next refresh on.
/// - Parameters:
///   - stored: what the response was stored with.
///   - fields: its fields. They are needed only where `staleIfError` may have been the operator's.
///   - mode: who says how long responses are fresh now.
public func currentLimits(
    _ stored: Limits, status: Int, fields: @autoclosure () -> HeaderFields, mode: FreshnessMode
) -> Limits {
    switch mode {
    case .policy(let limits, let clientErrors):
        return stored.atMost(operatorsLimits(limits, clientErrors, status: status))
    case .origin(let staleIfError):
        let operators = max(stored.expireAfter, staleIfError ?? .zero)
        guard stored.staleIfError > operators, RulingDirectives(of: fields()).directives.staleIfError == nil else {
            return stored
        }
        return Limits(raising: stored.refreshAfter, stored.expireAfter, operators)
    }
}

/// The three limits that a lifetime and a response's directives make.
///
/// - `no-cache`: never served without asking (RFC 9111 §5.2.2.4).
/// - `must-revalidate`, `proxy-revalidate`, `s-maxage`: never served stale (§5.2.2.2, §5.2.2.8, §5.2.2.10), also where
///   `stale-while-revalidate` stands beside them: the more restrictive directive counts (§4.2.1).
/// - otherwise `stale-while-revalidate` and `stale-if-error` are added to the lifetime, each by itself (RFC 5861).
private func limits(lifetime: Duration, directives: CacheControl, operatorStaleIfError: Duration?) -> Limits {
    if directives.noCache == .everything { return Limits(raising: .zero, .zero, .zero) }
    if directives.mustRevalidate || directives.proxyRevalidate || directives.sharedMaxAge != nil {
        return Limits(raising: lifetime, lifetime, lifetime)
    }
    let expireAfter = lifetime + (directives.staleWhileRevalidate ?? .zero)
    let staleIfError = directives.staleIfError.map { lifetime + $0 } ?? operatorStaleIfError ?? .zero
    return Limits(raising: lifetime, expireAfter, staleIfError)
}

private func operatorsLimits(_ limits: Limits, _ clientErrors: Limits?, status: Int) -> Limits {
    (400..<500).contains(status) ? clientErrors ?? limits : limits
}

extension Limits {
    /// Each limit, or the other's if that is shorter.
    fileprivate func atMost(_ other: Limits) -> Limits {
        Limits(
            raising: min(refreshAfter, other.refreshAfter), min(expireAfter, other.expireAfter),
            min(staleIfError, other.staleIfError))
    }
}

/// The operator's limits, lowered where the origin says of its response that it is not to be served unasked: those are
/// for what says nothing of the kind.
///
/// - `no-cache`: never served without asking (RFC 9111 §5.2.2.4).
/// - `must-revalidate`, `proxy-revalidate`: never served stale (§5.2.2.2, §5.2.2.8): not beyond the lifetime that the
///   response names, or else the operator's `refreshAfter`.
/// - an `Expires` in the past, or a `max-age` or `s-maxage` of 0: stale at once (§4.2.1, §5.3). It may still be served
///   when the origin fails.
private func lowered(_ limits: Limits, by response: OriginResponse) -> Limits {
    func atMost(_ most: Duration) -> Limits { limits.atMost(Limits(raising: most, most, most)) }
    let directives = RulingDirectives(of: response.fields).directives
    if directives.noCache == .everything { return atMost(.zero) }
    let lifetime = freshnessLifetime(of: response)
    let isNamed = [.sharedMaxAge, .maxAge, .expires].contains(lifetime.basis)
    if directives.mustRevalidate || directives.proxyRevalidate {
        return atMost(isNamed ? max(.zero, lifetime.duration - initialAge(of: response)) : limits.refreshAfter)
    }
    return isNamed && lifetime.duration == .zero ? Limits(raising: .zero, .zero, limits.staleIfError) : limits
}
