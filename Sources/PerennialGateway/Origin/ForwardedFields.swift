// Which of a client's fields go to the origin.

internal import PerennialHTTP

/// The fields of a request that passes through: all but those for one connection, `Host` (it is the origin's), and what
/// says who the client is or what it really asks for, which nobody vouches for here
/// (``PerennialHTTP/RequestFieldClass/claim``).
/// - Parameter receivedVersion: of the message this one stands for (RFC 9110 §7.6.3).
func passedFields(of request: HeaderFields, origin: Origin, receivedVersion: String = "1.1") -> HeaderFields {
    let own = Set(origin.fields.map { foldedName($0.name) })
    var kept = request.removingHopByHop().removing { field in
        !RequestFieldClass(field.name).isSentOn || own.contains(foldedName(field.name))
    }
    for field in origin.fields { kept.add(field.name, field.value) }
    return origin.via.applied(to: kept, of: request, version: receivedVersion)
}

/// The fields of a fetch whose response may be shown to others: as ``passedFields(of:origin:receivedVersion:)``, and
/// without conditions and ranges (the whole response is wanted, whatever this client has), cache directives (they are
/// about this client's wishes), credentials that were not lifted, and what says where this client came from.
/// `Accept-Encoding` is that of all clients who take the same.
func sharedFields(of request: HeaderFields, allowances: Allowances, origin: Origin) -> HeaderFields {
    var fields = request.removing { field in
        switch RequestFieldClass(field.name) {
        case .validation, .precondition, .range, .cacheDirective, .referrer, .methodOverride: true
        case .credential: !allowances.contains(.authorization)
        case .cookie: !allowances.contains(.cookies)
        default: false
        }
    }
    // Some origins turn away who does not say what they are.
    if !fields.contains("User-Agent") { fields.add("User-Agent", "perennial") }
    return passedFields(of: withNormalisedCodings(fields), origin: origin)
}

extension RequestFieldClass {
    /// Whether an origin may get the field as the client sent it.
    fileprivate var isSentOn: Bool {
        switch self {
        // Whether the body follows at once (`Expect`) is between the client and the gateway.
        case .host, .framing, .disguisedFraming, .connection, .hopByHop, .upgrade, .expectation, .proxyCredential,
            .claim:
            false
        case .ordinary, .precondition, .validation, .range, .cacheDirective, .cookie, .credential, .methodOverride,
            .referrer:
            true
        }
    }
}
