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
        /// A part is asked for; parts are the origin's to cut.
        case range
        /// `If-Match` and `If-Unmodified-Since` are for the origin alone (RFC 9111 §4.3.2).
        case precondition
        /// Another protocol is asked for.
        case upgrade
        case authorization
        case cookies
    }
}

/// Whether a request may be answered from the cache.
///
/// Requests with `Authorization` or `Cookie` pass unless the operator has lifted that: what is stored was made for a
/// request without, and the origin may well answer differently.
public func admission(of method: String, fields: HeaderFields, allowances: Allowances = []) -> Admission {
    if method != "GET" && method != "HEAD" { return .pass(.method) }
    for field in fields {
        switch field.name.lowercasedASCII {
        case "content-length" where field.value.trimmed != "0", "transfer-encoding": return .pass(.body)
        case "range": return .pass(.range)
        case "if-match", "if-unmodified-since": return .pass(.precondition)
        case "upgrade": return .pass(.upgrade)
        case "authorization" where !allowances.contains(.authorization): return .pass(.authorization)
        case "cookie" where !allowances.contains(.cookies): return .pass(.cookies)
        default: break
        }
    }
    return .cache
}

/// Whether the answer to a request makes what is stored for its address out of date: an unsafe method, or one nobody
/// knows, that did not fail (RFC 9111 §4.4).
public func invalidatesStored(method: String, status: Int) -> Bool {
    !["GET", "HEAD", "OPTIONS", "TRACE"].contains(method) && (200..<400).contains(status)
}
