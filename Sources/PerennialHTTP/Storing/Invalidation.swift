/// What an answer to an unsafe request makes out of date (RFC 9111 §4.4, RFC 9875 §3).
public struct Invalidation: Hashable, Sendable {
    /// Addresses, each with all its variants: the request's own first.
    public var keys: [String]
    /// Tags of groups, as ``groupTag(_:origin:)`` makes them.
    public var tags: [String]

    /// The origin has two names: the one that it is asked by, and the one that clients know it by, which is that of the
    /// target URI (RFC 9111 §4.4). Either in `Location` or `Content-Location` means the origin.
    ///
    /// - Parameters:
    ///   - key: the address of the request, in its normal form.
    ///   - fields: the answer's.
    ///   - origin: as `key` names it.
    ///   - aliases: other names that the origin is known by.
    ///   - client: the host that the client named, and what is the key of a path there.
    /// - Returns: `nil` when the answer makes nothing out of date: the method is safe, or the answer is an error.
    public init?(
        method: String, key: String, status: Int, fields: HeaderFields, origin: OriginURL, aliases: [HostName] = [],
        client: (host: HostName, keyOfPath: (String) -> String?)? = nil
    ) {
        guard invalidatesStored(method: method, status: status) else { return nil }
        keys = [key]
        let aliases = aliases + (client.map { [$0.host] } ?? [])
        for name in ["Location", "Content-Location"] {
            guard let reference = fields.first(name).map({ String($0.trimmed) }) else { continue }
            var named = [origin.key(forReference: reference, from: key, aliases: aliases)]
            // Where a route leads elsewhere, or only to a part of the origin, it may be either side's path.
            if let client, let target = try? RequestTarget(String(reference.before(UInt8(ascii: "#")))),
                target.isAt(client.host)
            {
                named.append(client.keyOfPath(target.path))
            }
            for case let other? in named where !keys.contains(other) { keys.append(other) }
        }
        tags = groups(in: fields, named: "Cache-Group-Invalidation").map { groupTag($0, origin: origin) }
    }
}
