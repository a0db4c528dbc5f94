/// What a request asks for, in the normal form of RFC 3986 §6.2.2: a path with perhaps a query (origin-form, RFC 9112
/// §3.2.1) or an absolute address (§3.2.2).
public struct RequestTarget: Sendable {
    /// Of an absolute address.
    let scheme: String?
    let authority: Authority?
    /// Path and query; an empty path is `/`.
    public let path: String

    /// Of an absolute address: its host, in lower case. It counts in place of `Host`.
    public var host: String? { authority?.host }

    /// Of an absolute address: its host, and its port unless it is the scheme's own.
    public var hostAndPort: String? {
        guard let scheme, let authority else { return nil }
        return authority.port == defaultPort(of: scheme) ? authority.host : "\(authority.host):\(authority.port)"
    }

    /// - Parameter limit: in bytes. Default: 8,192.
    /// - Throws: ``AddressError`` when it is something else, too long, has a fragment (RFC 9112 §3.2 knows none), or
    ///   has a space, a control or a non-ASCII character.
    public init(_ target: String, limit: Int = 8192) throws(AddressError) {
        guard target.utf8.count <= limit else {
            throw AddressError(.tooLong, "the address has \(target.utf8.count) bytes; at most \(limit) are accepted")
        }
        guard target.bytes.allSatisfy(\.isVisible) else {
            throw AddressError(
                "address \(shown(target)) has a space, control or non-ASCII character; percent-encode it")
        }
        guard !target.bytes.contains(UInt8(ascii: "#")) else {
            throw AddressError("address \(shown(target)) has a fragment; leave out what follows the #")
        }
        if target.utf8.first == UInt8(ascii: "/") {
            scheme = nil
            authority = nil
            path = isNormal(target) ? target : normalPath(target[...])
            return
        }
        let (scheme, rest) = try splitScheme(target, what: "address \(shown(target))")
        let end = rest.bytes.firstIndex { "/?".utf8.contains($0) } ?? rest.endIndex
        self.scheme = scheme
        authority = try Authority(rest[..<end], scheme: scheme, what: "address \(shown(target))")
        path = normalPath(rest[end...])
    }
}

/// Whether a path surely is in normal form already, as nearly all are: it has nothing encoded, and no segment that
/// begins with a dot.
private func isNormal(_ path: String) -> Bool {
    var before: UInt8 = 0
    for byte in path.bytes {
        if byte == UInt8(ascii: "%") { return false }
        if byte == UInt8(ascii: ".") && before == UInt8(ascii: "/") { return false }
        before = byte
    }
    return true
}

/// The path and query in normal form; an empty path is `/`.
private func normalPath(_ target: Substring) -> String {
    let mark = target.bytes.firstIndex(of: UInt8(ascii: "?")) ?? target.endIndex
    let path = removingDotSegments(normalisingPercentEncoding(target[..<mark].bytes))
    let query = normalisingPercentEncoding(target[mark...].bytes)
    return String(decoding: path + query, as: UTF8.self)
}
