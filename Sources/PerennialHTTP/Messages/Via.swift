/// What an origin is told of the gateway that its requests have come through (RFC 9110 §7.6.3).
public enum ViaRule: Hashable, Sendable {
    /// `Via: 1.1 perennial`, behind what is there.
    case on
    /// No `Via`, of nobody: some servers answer otherwise to what has come through a proxy. `CDN-Loop: perennial` (RFC
    /// 8586) takes its place in telling a gateway that its origin leads back to it.
    case off
    /// `Via: 1.1 NAME`.
    case name(String)

    static let own = "perennial"

    /// - Parameter name: a host and port, or a name in their place.
    /// - Returns: `nil` for what can't be one.
    public init?(name: String) {
        let isFit =
            1...64 ~= name.utf8.count && name.bytes.allSatisfy { $0.isTokenCharacter || $0 == UInt8(ascii: ":") }
        guard isFit else { return nil }
        self = name == Self.own ? .on : .name(name)
    }

    /// The fields of a request, of which those for one connection may have been left out, as they are sent.
    /// - Parameters:
    ///   - request: as it was received: what `Connection` names may be left out, but a loop must not be hidden so.
    ///   - version: the one it was received in.
    public func applied(to fields: HeaderFields, of request: HeaderFields, version: String) -> HeaderFields {
        var fields = fields.removing(["Via"])
        let (field, member) =
            switch self {
            case .on: ("Via", "\(version) \(Self.own)")
            case .name(let name): ("Via", "\(version) \(name)")
            case .off: ("CDN-Loop", Self.own)
            }
        let before = request[field].map { "\($0), " } ?? ""
        fields[field] = before + member
        return fields
    }

    /// How often a request has come through a gateway with this rule.
    public func timesPassed(_ request: HeaderFields) -> Int {
        var names = [Self.own]
        if case .name(let name) = self { names.append(name) }
        let via = request.values(of: "Via").flatMap { listMembers($0) }.count { member in
            names.contains { member.hasSuffix(" \($0)") }
        }
        // Perhaps with parameters (RFC 8586 §2).
        let loop = request.values(of: "CDN-Loop").flatMap { listMembers($0) }.count {
            $0.before(UInt8(ascii: ";")).trimmed == Self.own
        }
        return via + loop
    }
}
