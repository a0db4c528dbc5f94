/// Whether a request may be answered from the cache at all.
public enum Admission: Hashable, Sendable {
    case cache
    /// To the origin and back, past the cache.
    case pass(Reason)

    /// Why; the raw value is fit for `Cache-Status`'s `detail`.
    public enum Reason: String, Sendable, CaseIterable {
        /// Neither GET nor HEAD.
        case method
        /// The request has a body, which could matter to the origin.
        case body
        /// `If-Match` and `If-Unmodified-Since` are for the origin alone (RFC 9111 §4.3.2).
        case precondition
        /// Another protocol is asked for.
        case upgrade
        /// `Connection` names fields of the request that are then not sent on.
        case connection
        /// A field says that the method is really another.
        case override = "method-override"
        case authorization
        case cookies

        /// The same for `Cache-Status`.
        public var forward: CacheStatus.Forward {
            self == .method ? .method : .bypass
        }
    }
}

/// Whether a request may be answered from the cache.
///
/// Requests with `Authorization` or another credential (``RequestFieldClass/credential``), or with `Cookie`, pass
/// unless the operator has lifted that: what is stored was made for a request without, and the origin may well answer
/// differently.
public func admission(of method: String, fields: HeaderFields, allowances: Allowances = []) -> Admission {
    if method != "GET" && method != "HEAD" { return .pass(.method) }
    for field in fields {
        if let reason = reasonToPass(field, allowances) { return .pass(reason) }
    }
    if fields.connectionNamesOthers { return .pass(.connection) }
    return .cache
}

private func reasonToPass(_ field: HeaderFields.Field, _ allowances: Allowances) -> Admission.Reason? {
    switch RequestFieldClass(field.name) {
    case .framing:
        let isEmpty = field.name.equalsIgnoringCase("Content-Length") && field.value.trimmed == "0"
        return isEmpty ? nil : .body
    case .precondition: return .precondition
    case .upgrade: return .upgrade
    case .methodOverride: return .override
    case .credential: return allowances.contains(.authorization) ? nil : .authorization
    case .cookie: return allowances.contains(.cookies) ? nil : .cookies
    case .ordinary, .host, .disguisedFraming, .connection, .hopByHop, .expectation, .validation, .range,
        .cacheDirective, .proxyCredential, .claim, .referrer:
        return nil
    }
}

/// Whether the answer to a request makes what is stored for its address out of date: an unsafe method, or one nobody
/// knows, that did not fail (RFC 9111 §4.4).
public func invalidatesStored(method: String, status: Int) -> Bool {
    !["GET", "HEAD", "OPTIONS", "TRACE"].contains(method) && (200..<400).contains(status)
}
