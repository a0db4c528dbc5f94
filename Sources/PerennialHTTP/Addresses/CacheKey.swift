extension OriginURL {
    /// The key of what a client asks for: its absolute address at this origin, in the normal form of RFC 3986 §6.2.2.
    ///
    /// Order and repeats in the query stay. The client's `Host` plays no part.
    ///
    /// - Parameters:
    ///   - target: the request's target: a path with perhaps a query (origin-form, RFC 9112 §3.2.1) or an absolute
    ///     address at this origin (§3.2.2).
    ///   - limit: in bytes. Default: 8,192.
    /// - Throws: ``AddressError`` when it is something else, too long, has a fragment (RFC 9112 §3.2 knows none), or has a space,
    ///   a control or a non-ASCII character.
    public func key(forTarget target: String, limit: Int = 8192) throws(AddressError) -> String {
        guard target.utf8.count <= limit else {
            throw AddressError(.tooLong, "the address has \(target.utf8.count) bytes; at most \(limit) are accepted")
        }
        guard target.utf8.allSatisfy(\.isVisible) else {
            throw AddressError(
                "address \(shown(target)) has a space, control or non-ASCII character; percent-encode it")
        }
        guard !target.utf8.contains(UInt8(ascii: "#")) else {
            throw AddressError("address \(shown(target)) has a fragment; leave out what follows the #")
        }
        if target.utf8.first == UInt8(ascii: "/") {
            return description + (isNormal(target) ? target : normalPath(target[...]))
        }
        let (scheme, rest) = try splitScheme(target, what: "address \(shown(target))")
        let end = rest.firstIndex { "/?".contains($0) } ?? rest.endIndex
        let other = try Authority(rest[..<end], scheme: scheme, what: "address \(shown(target))")
        guard scheme == self.scheme, other.host == host, other.port == port else {
            throw AddressError(.elsewhere, "\(shown(target)) is not at the origin \(self)")
        }
        let path = normalPath(rest[end...])
        guard isBelowBase(path) else { throw AddressError(.elsewhere, "\(shown(target)) is not below \(self)") }
        return "\(scheme)://\(authority)\(path)"
    }

    /// The key of what somebody typed: a full address at this origin, or a path alone. A fragment is left out.
    /// - Throws: as ``key(forTarget:limit:)``.
    public func key(forInput text: String, limit: Int = 8192) throws(AddressError) -> String {
        let input = String(text.trimmed)
        guard input.hasPrefix("/") || input.contains("://") else {
            throw AddressError("\(shown(input)) is neither an address nor a path; write \(self)/… or /…")
        }
        return try key(forTarget: String(input.prefix { $0 != "#" }), limit: limit)
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

/// Whether a path surely is in normal form already, as nearly all are: it has nothing encoded, and no segment that begins with
/// a dot.
private func isNormal(_ path: String) -> Bool {
    var before: UInt8 = 0
    for byte in path.utf8 {
        if byte == UInt8(ascii: "%") { return false }
        if byte == UInt8(ascii: ".") && before == UInt8(ascii: "/") { return false }
        before = byte
    }
    return true
}

/// The path and query in normal form; an empty path is `/`.
private func normalPath(_ target: Substring) -> String {
    let mark = target.firstIndex(of: "?") ?? target.endIndex
    let path = removingDotSegments(normalisingPercentEncoding(target[..<mark].utf8))
    let query = normalisingPercentEncoding(target[mark...].utf8)
    return String(decoding: path + query, as: UTF8.self)
}

/// The key of a client's target at the origin whose address is given: ``OriginURL/key(forTarget:limit:)``.
public func cacheKey(origin: OriginURL, target: String, limit: Int = 8192) throws(AddressError) -> String {
    try origin.key(forTarget: target, limit: limit)
}
