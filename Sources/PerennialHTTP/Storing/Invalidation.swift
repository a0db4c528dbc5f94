/// What an answer to an unsafe request makes out of date (RFC 9111 §4.4, RFC 9875 §3).
public struct Invalidation: Hashable, Sendable {
    /// Addresses, each with all its variants: the request's own first.
    public var keys: [String]
    /// Tags of groups, as ``groupTag(_:origin:)`` makes them.
    public var tags: [String]

    /// - Parameters:
    ///   - key: the address of the request, in its normal form.
    ///   - fields: the answer's.
    /// - Returns: `nil` when the answer makes nothing out of date: the method is safe, or the answer is an error.
    public init?(method: String, key: String, status: Int, fields: HeaderFields, origin: OriginURL) {
        guard invalidatesStored(method: method, status: status) else { return nil }
        keys = [key]
        for name in ["Location", "Content-Location"] {
            guard let reference = fields.first(name),
                let other = origin.key(forReference: String(reference.trimmed), from: key), !keys.contains(other)
            else { continue }
            keys.append(other)
        }
        tags = groups(in: fields, named: "Cache-Group-Invalidation").map { groupTag($0, origin: origin) }
    }
}
