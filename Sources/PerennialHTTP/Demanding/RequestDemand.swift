public import Perennial

/// What a request asks of a cache that has something stored (RFC 9111 §5.2.1, RFC 5861 §4).
///
/// A pure value: ``verdict(on:permitsStale:at:)`` says what it means for one stored response.
public struct RequestDemand: Hashable, Sendable {
    /// `no-cache`, `max-age=0`, or `Pragma: no-cache` where there is no `Cache-Control` (§5.2.1.4, §5.4): only what the
    /// origin has confirmed for this request.
    public var mustValidate = false
    /// Nothing older than this, and nothing stale unless `maxStale` is there, too (§5.2.1.1).
    public var maxAge: Duration?
    /// Only what stays fresh for this much longer (§5.2.1.3).
    public var minFresh: Duration?
    /// Stale by no more than this is welcome (§5.2.1.2); `Duration.forever`: however stale.
    public var maxStale: Duration?
    /// Nobody is to be asked (§5.2.1.7).
    public var onlyIfCached = false
    /// When the origin fails, stale by no more than this is welcome (RFC 5861 §4).
    public var staleIfError: Duration?

    public init() {}

    /// - Returns: `nil` when the request asks for nothing.
    ///
    /// A `max-age` that is no number counts as 0, a `stale-if-error` that is none as well; a `min-fresh` or `max-stale`
    /// that is none is ignored. From 2³¹ seconds on a number is 2³¹ (§1.3).
    public init?(_ fields: HeaderFields) {
        if fields.contains("Cache-Control") {
            let directives = CacheControl(fields)
            // However precisely ages are known here: 0 asks for an answer that is new.
            mustValidate = directives.noCache != .nothing || directives.maxAge == .zero
            maxAge = directives.maxAge
            minFresh = directives.minFresh
            maxStale = directives.maxStale
            onlyIfCached = directives.onlyIfCached
            staleIfError = directives.staleIfError
        } else if let pragma = fields["Pragma"] {
            mustValidate = listMembers(pragma).contains { $0.equalsIgnoringCase("no-cache") }
        }
        if self == RequestDemand() { return nil }
    }

    /// What remains where the operator does not let clients decide when the origin is asked and what is too old: the
    /// wish that nobody be asked.
    public var withoutDirections: RequestDemand? {
        guard onlyIfCached else { return nil }
        var rest = RequestDemand()
        rest.onlyIfCached = true
        return rest
    }

    /// `Cache-Control` for the question that this makes the cache ask, so that caches between it and the origin heed
    /// it, too (§5.2); `nil`: nothing that asks for something newer.
    public var forwarded: String? {
        if mustValidate { return "no-cache" }
        let members = [("max-age", maxAge), ("min-fresh", minFresh)].compactMap { name, time in
            time.map { "\(name)=\($0.milliseconds / 1000)" }
        }
        return members.isEmpty ? nil : members.joined(separator: ", ")
    }
}

extension RequestDemand {
    /// What to do for a request with what is stored.
    public enum Verdict: Hashable, Sendable {
        /// Answer with it.
        case serve
        /// Ask the origin.
        case fetch
        /// Neither: 504 (§5.2.1.7).
        case refuse
    }

    /// What to do with a stored response, or without one.
    /// - Parameters:
    ///   - freshness: of what is stored; `nil`: nothing is.
    ///   - permitsStale: whether its origin lets it be served beyond what it says about staleness itself
    ///     (``permitsStale(_:)``).
    public func verdict(on freshness: Freshness?, permitsStale: Bool, at now: Timestamp) -> Verdict {
        if let freshness, accepts(freshness, permitsStale: permitsStale, at: now) { return .serve }
        return onlyIfCached ? .refuse : .fetch
    }

    /// Whether a stored response is what was asked for.
    ///
    /// Between `staleAt` and `expiresAt` a response is stale by leave of its origin (`stale-while-revalidate`) and is
    /// served unless the request says otherwise; beyond, only `max-stale` opens the door, and not where the origin has
    /// closed it (RFC 9111 §4.2.4).
    public func accepts(_ freshness: Freshness, permitsStale: Bool, at now: Timestamp) -> Bool {
        if mustValidate { return false }
        if let maxAge, freshness.age(at: now) > maxAge { return false }
        if let minFresh, !freshness.isFresh(at: now) || freshness.staleAt - now < minFresh { return false }
        switch freshness.state(at: now) {
        case .fresh: return true
        case .stale: return maxStale.map { isStale(freshness, byAtMost: $0, at: now) } ?? (maxAge == nil)
        case .expired: return permitsStale && maxStale.map { isStale(freshness, byAtMost: $0, at: now) } ?? false
        case .missing: return false
        }
    }

    /// Whether a stored response may answer the request when the origin has failed: as far as the request's own
    /// `stale-if-error` goes, or without one, as far as the response's or the operator's.
    ///
    /// One that is fresh is not stale: it is served if there is any such leave, though it was not what was asked for.
    public func acceptsOnError(_ freshness: Freshness, permitsStale: Bool, at now: Timestamp) -> Bool {
        let isUsable = freshness.uselessAt > freshness.expiresAt && freshness.isUsableOnError(at: now)
        guard let staleIfError else { return isUsable }
        if freshness.isFresh(at: now) { return true }
        return (isUsable || permitsStale) && isStale(freshness, byAtMost: staleIfError, at: now)
    }

    private func isStale(_ freshness: Freshness, byAtMost limit: Duration, at now: Timestamp) -> Bool {
        limit == .forever || now - freshness.staleAt <= limit
    }
}

/// Whether a response lets caches serve it stale where a client wants that: not with `no-cache`, `must-revalidate`,
/// `proxy-revalidate` or `s-maxage` (RFC 9111 §4.2.4) among the directives that rule it here (RFC 9213 §2.2).
public func permitsStale(_ fields: HeaderFields) -> Bool {
    let directives = RulingDirectives(of: fields).directives
    return directives.noCache != .everything && !directives.mustRevalidate && !directives.proxyRevalidate
        && directives.sharedMaxAge == nil
}
