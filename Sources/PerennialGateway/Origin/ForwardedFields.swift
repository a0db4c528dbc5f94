// Which of a client's fields go to the origin.

internal import PerennialHTTP

/// The fields of a request that passes through: all but those for one connection, `Host` (it is the origin's), and what
/// says who the client is, which nobody vouches for here.
func passedFields(of request: HeaderFields, originFields: HeaderFields) -> HeaderFields {
    // Whether the body follows at once is between the client and the gateway.
    finished(request.removingHopByHop().removing(["host", "content-length", "expect"]), originFields)
}

/// The fields of a fetch whose response may be shown to others: as ``passedFields(of:originFields:)``, and without conditions and
/// ranges (the whole response is wanted, whatever this client has), cache directives (they are about this client's wishes),
/// credentials that were not lifted, and what says where this client came from.
func sharedFields(of request: HeaderFields, allowances: Allowances, originFields: HeaderFields) -> HeaderFields {
    var unwanted = [
        "if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range", "range", "cache-control",
        "pragma", "referer", "from",
    ]
    if !allowances.contains(.authorization) { unwanted.append("authorization") }
    if !allowances.contains(.cookies) { unwanted.append("cookie") }
    var fields = request.removing(unwanted)
    // Some origins turn away who does not say what they are.
    if !fields.contains("User-Agent") { fields.add("User-Agent", "perennial") }
    return passedFields(of: fields, originFields: originFields)
}

private func finished(_ fields: HeaderFields, _ originFields: HeaderFields) -> HeaderFields {
    let claims = fields.map(\.name).filter { name in
        let name = name.lowercased()
        return name.hasPrefix("x-forwarded-") || ["forwarded", "x-real-ip", "via"].contains(name)
    }
    var kept = fields.removing(claims + originFields.map(\.name))
    for field in originFields { kept.add(field.name, field.value) }
    let before = fields["Via"].map { "\($0), " } ?? ""
    kept.add("Via", "\(before)1.1 perennial")
    return kept
}
