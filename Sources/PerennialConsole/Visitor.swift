/// Who may talk to the admin server: people and programs that mean it, not a web page of another site that
/// makes a visitor's browser do so.
///
/// Two ways in are closed. A page of another site that sends requests here carries its own `Origin` (or
/// `Sec-Fetch-Site: cross-site`). A page whose host name was pointed at this machine (DNS rebinding) carries that name as
/// `Host`: so a name is only accepted when it is `localhost` or was configured. An address in digits can't be rebound.
struct Visitor {
    var host: String?
    var origin: String?
    var fetchSite: String?

    /// Why the visitor is turned away; `nil`: welcome.
    /// - Parameter names: host names that are this server's, besides `localhost`.
    func refusal(names: Set<String>) -> String? {
        guard let host else { return "the request has no Host" }
        let name = Self.name(in: host)
        guard name == "localhost" || Self.isAddress(name) || names.contains(name) else {
            return "“\(name)” is not a name of this server; use its address, or listen on that name with --admin"
        }
        if let origin {
            guard let schemeEnd = origin.firstRange(of: "://"), origin[schemeEnd.upperBound...] == host else {
                return "requests from web pages of other sites are refused"
            }
        }
        if let fetchSite, fetchSite != "same-origin", fetchSite != "none" {
            return "requests from web pages of other sites are refused"
        }
        return nil
    }

    /// A host without its port, in lower case.
    static func name(in authority: String) -> String {
        if authority.hasPrefix("[") { return String(authority.prefix { $0 != "]" }) + "]" }
        return authority.prefix { $0 != ":" }.lowercased()
    }

    private static func isAddress(_ name: String) -> Bool {
        if name.hasPrefix("[") { return true }
        let numbers = name.split(separator: ".", omittingEmptySubsequences: false)
        return numbers.count == 4 && numbers.allSatisfy { UInt8($0) != nil }
    }
}
