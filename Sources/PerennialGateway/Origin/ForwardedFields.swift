// Which of a client's fields go to the origin.

internal import PerennialHTTP

/// The fields of a request that passes through: all but those for one connection, `Host` (it is the origin's), and what
/// says who the client is or what it really asks for, which nobody vouches for here (``PerennialHTTP/isClaim(_:)``).
/// - Parameter receivedVersion: of the message this one stands for (RFC 9110 §7.6.3).
func passedFields(
    of request: HeaderFields, originFields: HeaderFields, receivedVersion: String = "1.1"
) -> HeaderFields {
    // Whether the body follows at once is between the client and the gateway.
    let fields = request.removingHopByHop().removing(["host", "content-length", "expect"])
    let own = Set(originFields.map { foldedName($0.name) })
    let unfit = fields.map(\.name).filter {
        isClaim($0) || isDisguisedFraming($0) || own.contains(foldedName($0))
    }
    var kept = fields.removing(unfit + ["via"])
    for field in originFields { kept.add(field.name, field.value) }
    // What `Connection` names is left out, but a loop must not be hidden that way.
    let before = request["Via"].map { "\($0), " } ?? ""
    kept.add("Via", "\(before)\(receivedVersion) perennial")
    return kept
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
