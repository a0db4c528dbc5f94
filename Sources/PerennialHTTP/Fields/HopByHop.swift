extension HeaderFields {
    /// These fields without those meant for one connection only, which no intermediary may forward or store:
    /// `Connection`, every field it names, and the well-known ones it may have forgotten (RFC 9110 §7.6.1).
    ///
    /// `Cache-Control`, its targeted forms and `Vary` stay even when `Connection` names them: they are meant for every
    /// recipient, and a `no-store` must not be lost that way. So does `Content-Length`, without which the end of a message is another.
    public func removingHopByHop() -> HeaderFields {
        let named = values(of: "Connection").flatMap { listMembers($0) }.map(\.lowercasedASCII)
        return removing(Set(named).subtracting(unhideableNames).subtracting(["content-length"]).union(hopByHopNames))
    }

    /// Whether `Connection` names a field that is not meant for one connection anyway. Whoever sends it makes the gateway leave out a
    /// field which the origin might have answered by, so the answer is nobody else's.
    public var connectionNamesOthers: Bool {
        values(of: "Connection").contains { value in
            listMembers(value).contains { option in
                let option = option.lowercasedASCII
                return option != "close" && !hopByHopNames.contains(option)
            }
        }
    }
}

/// The fields that say what may be done with a response; nothing in the response can take them away.
let unhideableNames: Set<String> = ["cache-control", "cdn-cache-control", ownTargetedField.lowercasedASCII, "vary"]

/// `Proxy-Status` is not among them: it is for the end of the chain (RFC 9209 §2).
let hopByHopNames: Set<String> = [
    "connection", "keep-alive", "proxy-authenticate", "proxy-authentication-info", "proxy-authorization",
    "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings",
]
