internal import Perennial

/// Whether a response may be stored.
public enum Storability: Hashable, Sendable {
    case store
    /// A failure with explicit freshness, where the origin rules: fit to be stored where nothing is, and to be replaced
    /// by anything that is no failure; never in the place of something better.
    case storeIfNothingBetter
    case doNotStore(Reason)

    /// Why not; the raw value is fit for `Cache-Status`'s `detail`.
    public enum Reason: String, Sendable, CaseIterable {
        /// The request is neither GET nor HEAD.
        case method
        /// The body did not arrive whole.
        case incomplete
        /// 206: a part of a representation.
        case partial
        /// The status isn't final, isn't understood, or can't be stored without explicit freshness.
        case status
        /// The origin could not answer (``isFailure(_:)``).
        case failure
        /// 401, 403 or 407: about the asker, not about the resource.
        case refused
        /// 400, 406, 413, 415, 416, 417, 421, 426, 428 or 431: about the request as it was sent, not about the
        /// resource.
        case badRequest = "bad-request"
        case noStore = "no-store"
        /// The request is marked `no-store`.
        case requestNoStore = "request-no-store"
        case onlyPrivate = "private"
        /// The request has `Authorization` or another credential.
        case authorization
        /// The request has `Cookie`.
        case cookies
        case setCookie = "set-cookie"
        /// `Vary: *`, or a `Vary` that can't be read: no later request would match.
        case varyAny = "vary-any"
        /// `Vary` names a field with credentials, and the request has it: it would end up in a key.
        case varyCredentials = "vary-credentials"
        /// Never fresh, never to be served stale, and no validator to ask with.
        case useless

        /// Whether it is the request that the reason lies in. Other requests for the address may well get an answer
        /// that can be stored.
        public var isAboutRequest: Bool {
            switch self {
            case .method, .refused, .badRequest, .requestNoStore, .authorization, .cookies, .varyCredentials: true
            default: false
            }
        }
    }
}

/// Whether a shared cache may store `response` (RFC 9111 §3).
///
/// Responses to requests with `Authorization` or another credential are stored where the origin rules and says that
/// they may be (``permitsStoringAuthorized(_:)``). Stricter than the RFC where that protects users, until the operator
/// lifts it by name (``Allowances``): responses to requests with `Cookie`, and those with `Set-Cookie`, are not stored.
/// Refusals never are.
///
/// A 5xx that says how long it is fresh is ``Storability/storeIfNothingBetter``, but for 511, which is about the
/// network and must not be stored (RFC 6585 §6). The failures which one request may have brought on itself, 408, 425
/// and 429, are not stored (RFC 6585 §4).
///
/// - Parameters:
///   - method: the request's method, case-sensitive. What a HEAD brought has no body, so it can't answer a GET.
///   - requestFields: the request's fields as the client sent them.
///   - mode: with ``FreshnessMode/policy(_:clientErrors:)`` a response needs neither freshness nor a validator of its
///     own, unless it says that it must not be served without asking.
public func storability(
    of response: OriginResponse, method: String, requestFields: HeaderFields, mode: FreshnessMode = .origin(),
    allowances: Allowances = []
) -> Storability {
    let reason =
        refusalByStatus(response, method: method)
        ?? (isFailure(response.status) ? refusalOfFailure(response, mode) : nil)
        ?? refusalByDirectives(response, requestFields, allowances)
        ?? refusalByUser(response, requestFields, mode, allowances)
        ?? refusalByUse(response, mode, allowances)
    if let reason { return .doNotStore(reason) }
    return isFailure(response.status) ? .storeIfNothingBetter : .store
}

/// Whether a response says that a shared cache may store it although its request had a credential: `public`, `s-maxage`
/// or `must-revalidate` is among the directives that rule it here (RFC 9111 §3.5, RFC 9213 §2.2).
public func permitsStoringAuthorized(_ fields: HeaderFields) -> Bool {
    let directives = RulingDirectives(of: fields).directives
    return directives.isPublic || directives.mustRevalidate || directives.sharedMaxAge != nil
}

private func refusalByStatus(_ response: OriginResponse, method: String) -> Storability.Reason? {
    switch response.status {
    case _ where method != "GET" && method != "HEAD": .method
    case _ where !response.isComplete: .incomplete
    case ..<200, 304: .status
    case 206: .partial
    case let status where isRefusal(status): .refused
    case let status where isAboutTheMessage(status): .badRequest
    default: nil
    }
}

/// Why a failure may not even be stored where there is nothing better.
private func refusalOfFailure(_ response: OriginResponse, _ mode: FreshnessMode) -> Storability.Reason? {
    guard case .origin = mode, 500...599 ~= response.status, response.status != 511 else { return .failure }
    let freshness = freshness(of: response, mode: mode)
    switch freshness.basis {
    case .sharedMaxAge, .maxAge, .expires:
        return freshness.limits.expireAfter > freshness.initialAge ? nil : .failure
    case .heuristic, .noCache, .nothing, .policy: return .failure
    }
}

/// RFC 9111 §5.2.1.5, §5.2.2.3, §5.2.2.5, §5.2.2.7.
private func refusalByDirectives(
    _ response: OriginResponse, _ requestFields: HeaderFields, _ allowances: Allowances
) -> Storability.Reason? {
    let directives = RulingDirectives(of: response.fields).directives
    if directives.mustUnderstand && !isUnderstood(response.status) { return .status }
    if !allowances.contains(.noStore) {
        // must-understand with a status that is understood overrides the no-store beside it.
        if directives.noStore && !directives.mustUnderstand { return .noStore }
        if CacheControl(requestFields).noStore { return .requestNoStore }
    }
    if directives.onlyPrivate == .everything && !allowances.contains(.onlyPrivate) { return .onlyPrivate }
    return nil
}

/// What could show one user's answer to another.
private func refusalByUser(
    _ response: OriginResponse, _ requestFields: HeaderFields, _ mode: FreshnessMode, _ allowances: Allowances
) -> Storability.Reason? {
    let classes = Set(requestFields.map { RequestFieldClass($0.name) })
    if classes.contains(.credential) && !allowances.contains(.authorization) {
        guard case .origin = mode, permitsStoringAuthorized(response.fields) else { return .authorization }
    }
    if classes.contains(.cookie) && !allowances.contains(.cookies) { return .cookies }
    if fieldsToStore(of: response.fields).contains("Set-Cookie") && !allowances.contains(.setCookie) {
        return .setCookie
    }
    let vary = Vary(response.fields)
    if vary.isAny { return .varyAny }
    if !vary.credentials(in: requestFields).isEmpty { return .varyCredentials }
    return nil
}

/// What could never be used again.
private func refusalByUse(
    _ response: OriginResponse, _ mode: FreshnessMode, _ allowances: Allowances
) -> Storability.Reason? {
    let ruling = RulingDirectives(of: response.fields)
    let isExplicit =
        ruling.directives.sharedMaxAge != nil || ruling.directives.maxAge != nil || ruling.directives.isPublic
        || !ruling.isTargeted && response.fields.contains("Expires")
    guard isExplicit || isHeuristicallyCacheable(response.status) else { return .status }
    guard validator(from: response.fields) == nil else { return nil }
    let freshness = freshness(of: response, mode: mode, allowances: allowances)
    return freshness.limits.staleIfError > freshness.initialAge ? nil : .useless
}
