/// Which request fields choose among an address's responses, beside what the origin's `Vary` says.
public struct VaryRules: Hashable, Sendable {
    /// In lower case: these choose, whether or not `Vary` names them.
    public var added: [String]
    /// In lower case: these don't choose, even if `Vary` names them, and are not sent to the origin.
    public var ignored: [String]

    public init(added: [String] = [], ignored: [String] = []) {
        self.added = added.map(\.lowercasedASCII)
        self.ignored = ignored.map(\.lowercasedASCII)
    }

    /// What the origin says.
    public static let none = VaryRules()

    /// A response's fields with the `Vary` that holds here and for caches before this one.
    public func applied(to response: HeaderFields) -> HeaderFields {
        let said = Vary(response)
        if said.isAny || self == .none { return response }
        let names = said.names.filter { !ignored.contains($0) } + added.filter { !said.names.contains($0) }
        var fields = response
        fields["Vary"] = names.isEmpty ? nil : names.joined(separator: ", ")
        return fields
    }
}

/// What keeps a request field from choosing among responses, in one line; `nil`: nothing does.
public func complaint(aboutSelectingField name: String) -> String? {
    guard name.isToken else { return "“\(name)” is no name of a field; write it like Accept-Language" }
    guard !RequestFieldClass(name).isSecret else {
        return "\(name) carries credentials, which don't belong in keys; leave it out"
    }
    return nil
}

/// What keeps a request field that `Vary` names from being ignored, in one line; `nil`: nothing does.
public func complaint(aboutIgnoredField name: String) -> String? {
    let passes = "requests with \(name) pass uncached, whatever Vary says"
    switch RequestFieldClass(name) {
    case .cookie: return "\(passes); say which cookies don't count, like “cookies: {drop: [_ga*]}”"
    case .credential, .proxyCredential:
        return "\(passes); give the origin one of your own with “fields” of “origins”, in place of the client's"
    default: return complaint(aboutSelectingField: name)
    }
}
