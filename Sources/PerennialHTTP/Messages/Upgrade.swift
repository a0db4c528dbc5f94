/// The protocol that a request wants its connection to be changed to, as far as the gateway tunnels it: `websocket` (RFC
/// 6455 §4.1, RFC 9110 §7.8). `nil`: none; the request is then answered as if it had not asked.
///
/// `h2c` is not among them: what a client sends inside could not be told from requests that were looked at (request
/// smuggling).
public func tunnelledProtocol(method: String, fields: HeaderFields) -> String? {
    func names(_ name: String, _ wanted: String) -> Bool {
        fields.values(of: name).contains { value in listMembers(value).contains { $0.equalsIgnoringCase(wanted) } }
    }
    guard method == "GET", names("Connection", "upgrade"), names("Upgrade", "websocket") else { return nil }
    return "websocket"
}

/// Whether a 101 changes to what was asked for, and to nothing else (RFC 9110 §7.8).
public func agrees(toUpgrade wanted: String, _ fields: HeaderFields) -> Bool {
    let members = fields.values(of: "Upgrade").flatMap { listMembers($0) }
    return members.count == 1 && members[0].equalsIgnoringCase(wanted)
}
