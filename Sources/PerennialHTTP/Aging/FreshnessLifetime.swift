internal import Perennial

/// How long a response is fresh by its origin's own fields (RFC 9111 §4.2.1), as a shared cache reads them: the first
/// of `s-maxage`, `max-age`, `Expires` − `Date` (not beside a targeted field, RFC 9213 §2.2), and, where the response
/// says nothing of the kind, 10 % of the time since `Last-Modified`, at most a day (§4.2.2).
///
/// An `Expires` that is no date counts as stale (§5.3).
func freshnessLifetime(of response: OriginResponse) -> (duration: Duration, basis: ResponseFreshness.Basis) {
    let ruling = RulingDirectives(of: response.fields)
    let directives = ruling.directives
    if directives.noCache == .everything { return (.zero, .noCache) }
    if let sharedMaxAge = directives.sharedMaxAge { return (sharedMaxAge, .sharedMaxAge) }
    if let maxAge = directives.maxAge { return (maxAge, .maxAge) }
    let date = date(of: response) ?? response.receivedAt
    if !ruling.isTargeted, let text = response.fields.first("Expires") {
        let expires = HTTPDate.parse(text.trimmed, now: response.receivedAt)
        return (max(.zero, expires.map { $0 - date } ?? .zero), .expires)
    }
    if directives.isPublic || isHeuristicallyCacheable(response.status),
        let text = response.fields.first("Last-Modified"),
        let modified = HTTPDate.parse(text.trimmed, now: response.receivedAt)
    {
        return (min(.hours(24), max(.zero, date - modified) / 10), .heuristic)
    }
    return (.zero, .nothing)
}

/// How old a response was when it arrived (RFC 9111 §4.2.3, corrected_initial_age): the greater of what the clocks say
/// and what `Age` and the time on the way say.
func initialAge(of response: OriginResponse) -> Duration {
    let delay = max(.zero, response.receivedAt - response.requestedAt)
    let claimed = claimedAge(response.fields) ?? .zero
    let apparent = date(of: response).map { max(.zero, response.receivedAt - $0) } ?? .zero
    // Date is cut to whole seconds, so the part of a second beyond it is no age.
    return max(.seconds(apparent.milliseconds / 1000), claimed + delay)
}

/// What `Age` says: of a list its first member, and nothing if that is no whole number of seconds (RFC 9111 §5.1).
private func claimedAge(_ fields: HeaderFields) -> Duration? {
    fields["Age"].flatMap { listMembers($0).first }.flatMap { deltaSeconds($0) }
}

private func date(of response: OriginResponse) -> Timestamp? {
    response.fields.first("Date").flatMap { HTTPDate.parse($0.trimmed, now: response.receivedAt) }
}
