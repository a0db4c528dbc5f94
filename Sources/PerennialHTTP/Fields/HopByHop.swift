extension HeaderFields {
    /// These fields without those meant for one connection only, which no intermediary may forward or store:
    /// `Connection`, every field it names, and the well-known ones it may have forgotten (RFC 9110 §7.6.1).
    ///
    /// `Cache-Control`, its targeted forms and `Vary` stay even when `Connection` names them: they are meant for every
    /// recipient, and a `no-store` must not be lost that way.
    public func removingHopByHop() -> HeaderFields {
        let named = values(of: "Connection").flatMap { listMembers($0) }.map(\.lowercasedASCII)
        return removing(Set(named).subtracting(unhideableNames).union(hopByHopNames))
    }
}

/// The fields that say what may be done with a response; nothing in the response can take them away.
let unhideableNames: Set<String> = ["cache-control", "cdn-cache-control", ownTargetedField.lowercasedASCII, "vary"]

/// `Proxy-Status` is not among them: it is for the end of the chain (RFC 9209 §2).
private let hopByHopNames: Set<String> = [
    "connection", "keep-alive", "proxy-authenticate", "proxy-authentication-info", "proxy-authorization",
    "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings",
]
