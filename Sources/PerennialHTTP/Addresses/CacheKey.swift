extension OriginURL {
    /// The key of an address at this origin, in the normal form of RFC 3986 §6.2.2.
    ///
    /// Order and repeats in the query stay. The client's `Host` plays no part.
    ///
    /// - Parameters:
    ///   - target: the request's target: a path with perhaps a query (origin-form, RFC 9112 §3.2.1) or an absolute
    ///     address at this origin (§3.2.2).
    ///   - limit: in bytes. Default: 8,192.
    /// - Throws: ``AddressError`` when it is something else, too long, has a fragment (RFC 9112 §3.2 knows none), or
    ///   has a space, a control or a non-ASCII character.
    public func key(forTarget target: String, limit: Int = 8192) throws(AddressError) -> String {
        let wanted = try RequestTarget(target, limit: limit)
        if wanted.authority == nil { return description + wanted.path }
        guard let key = key(ofAbsolute: wanted) else {
            throw AddressError(.elsewhere, "\(shown(target)) is not at the origin \(self)")
        }
        return key
    }

    /// The key of an absolute address at this origin and below its base path; `nil` for every other target.
    package func key(ofAbsolute target: RequestTarget) -> String? {
        guard target.scheme == scheme, target.authority?.host == host, target.authority?.port == port,
            isBelowBase(target.path)
        else { return nil }
        return "\(scheme)://\(authority)\(target.path)"
    }

    /// The key of what somebody typed: a full address at this origin, or a path alone. A fragment is left out.
    /// - Throws: as ``key(forTarget:limit:)``.
    public func key(forInput text: String, limit: Int = 8192) throws(AddressError) -> String {
        let input = String(text.trimmed)
        guard input.hasPrefix("/") || input.contains("://") else {
            throw AddressError("\(shown(input)) is neither an address nor a path; write \(self)/… or /…")
        }
        return try key(forTarget: String(input.before(UInt8(ascii: "#"))), limit: limit)
    }

    /// The target to ask this origin for, given a key made by it: the path and query, base path included.
    /// - Returns: `nil` for a key of another origin.
    public func target(ofKey key: String) -> String? {
        let prefix = "\(scheme)://\(authority)"
        guard key.hasPrefix(prefix) else { return nil }
        let target = String(key.dropFirst(prefix.count))
        return target.hasPrefix("/") && isBelowBase(target) ? target : nil
    }

    private func isBelowBase(_ path: String) -> Bool {
        guard path.hasPrefix(basePath) else { return false }
        let next = path.dropFirst(basePath.count).first
        return basePath.isEmpty || next == nil || next == "/" || next == "?"
    }
}
