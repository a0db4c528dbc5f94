extension OriginURL {
    /// The key of what a reference in a response names, such as `Location`'s (RFC 3986 §5.2).
    ///
    /// - Parameters:
    ///   - reference: an address, or a part of one: `/items/7`, `7`, `?page=2`, `//host/x`.
    ///   - key: the address the response came from.
    ///   - aliases: other names that this origin goes by, whatever the scheme.
    /// - Returns: `nil` for what is not at this origin or below its base path, and for what is no reference.
    public func key(forReference reference: String, from key: String, aliases: [HostName] = []) -> String? {
        let reference = reference.before(UInt8(ascii: "#"))
        guard let target = target(ofKey: key) else { return nil }
        let path = target.before(UInt8(ascii: "?"))
        let address: String
        if hasScheme(reference) {
            address = String(reference)
        } else if reference.hasPrefix("//") {
            address = "\(scheme):\(reference)"
        } else if reference.hasPrefix("/") {
            address = absolute(reference)
        } else if reference.hasPrefix("?") {
            address = absolute(path + reference)
        } else if reference.isEmpty {
            address = key
        } else {
            let folder = path.bytes.lastIndex(of: UInt8(ascii: "/")).map { path[...$0] } ?? "/"
            address = absolute(folder + reference)
        }
        guard let wanted = try? RequestTarget(address) else { return nil }
        if let key = self.key(ofAbsolute: wanted) { return key }
        guard aliases.contains(where: { wanted.isAt($0) }) else { return nil }
        let other = "\(scheme)://\(authority)\(wanted.path)"
        return self.target(ofKey: other) == nil ? nil : other
    }

    private func absolute(_ target: some StringProtocol) -> String {
        "\(scheme)://\(authority)\(target)"
    }
}

extension RequestTarget {
    /// Whether it is an absolute address with this host, whatever its scheme.
    func isAt(_ name: HostName) -> Bool {
        guard let scheme, let authority else { return false }
        return name.isMeant(by: authority, scheme: scheme)
    }
}

/// Whether a reference begins with a scheme: what stands before its first colon, if no slash or question mark does (RFC
/// 3986 §4.2).
private func hasScheme(_ reference: Substring) -> Bool {
    reference.bytes.first { ":/?".utf8.contains($0) } == UInt8(ascii: ":")
}
