/// Whether and how an origin is told who a client is, with requests that pass: their answers go to that client alone.
public enum ForwardedRule: String, Hashable, Sendable, CaseIterable {
    /// It is not told.
    case off
    /// `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`.
    case x
    /// `Forwarded` (RFC 7239).
    case rfc

    /// - Parameters:
    ///   - address: the client's, without a port or brackets; `nil`: it has none.
    ///   - scheme: what the client spoke with the gateway.
    ///   - host: the value of `Host`; empty: none.
    public func fields(address: String?, scheme: String, host: String) -> HeaderFields {
        switch self {
        case .off: return [:]
        case .x:
            let fields = [
                ("X-Forwarded-For", address), ("X-Forwarded-Proto", scheme),
                ("X-Forwarded-Host", host.isEmpty ? nil : host),
            ]
            return HeaderFields(fields.compactMap { name, value in value.map { (name, $0) } })
        case .rfc:
            var members = ["for=\(address.map(Self.node) ?? "unknown")", "proto=\(scheme)"]
            if !host.isEmpty { members.append("host=\(Self.value(host))") }
            return ["Forwarded": members.joined(separator: ";")]
        }
    }

    /// RFC 7239 §6: an IPv6 address in brackets, which have to be quoted.
    private static func node(_ address: String) -> String {
        address.contains(":") ? "\"[\(address)]\"" : address
    }

    /// A token, or a quoted string. A host has neither quotes nor backslashes.
    private static func value(_ text: String) -> String {
        text.isToken ? text : "\"\(text)\""
    }
}
