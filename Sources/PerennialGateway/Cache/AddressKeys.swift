internal import PerennialHTTP

/// Makes keys from the targets of requests for one route.
struct AddressKeys: Sendable {
    let address: RouteAddress
    let query: QueryRules
    let limit: Int
    /// What all keys begin with: the origin, or if the client's host follows its scheme alone.
    private let prefix: String
    private let strippedBytes: Int
    private let hasClientHost: Bool

    init(address: RouteAddress, query: QueryRules = .everything, limit: Int) {
        self.address = address
        self.query = query
        self.limit = limit
        hasClientHost = address.sentHost == .client
        prefix = hasClientHost ? "\(address.origin.scheme)://" : address.named.description
        strippedBytes = address.strippedBytes
    }

    /// The key for a request's target: its absolute address at the origin, in normal form.
    ///
    /// Of an absolute target that is below the origin's own address this is the key. Of another, which names this
    /// gateway as clients know it, the path counts as if it had come alone (RFC 9112 §3.2.2).
    ///
    /// Most targets are in normal form already; those cost one look at each byte.
    /// - Parameter host: the value of `Host`; may be empty.
    /// - Throws: as ``PerennialHTTP/RequestTarget/init(_:limit:)``, and for a host that can't be sent to the origin.
    func key(forTarget target: String, host: String) throws(AddressError) -> String {
        if target.utf8.count <= limit && isNormalPath(target) { return try key(forPath: target, host: host) }
        let wanted = try RequestTarget(target, limit: limit)
        if !hasClientHost, let key = address.named.key(ofAbsolute: wanted) { return query.applied(to: key) }
        return try key(forPath: wanted.path, host: wanted.hostAndPort ?? host)
    }

    /// The key for a path in normal form that this route is for.
    func key(forPath path: String, host: String) throws(AddressError) -> String {
        if strippedBytes == 0 && query == .everything && !hasClientHost { return prefix + path }
        return query.applied(to: try address.key(forPath: path, host: host))
    }

    /// The key for a target that is in normal form; `nil`: it may not be.
    /// - Parameter host: the value of `Host`.
    func key(forPlainTarget target: Range<Int>, host: Range<Int>, in bytes: Span<UInt8>) -> String? {
        guard target.count <= limit, isNormalPath(bytes, at: target) else { return nil }
        let target = target.dropFirst(strippedBytes)
        // Without what was stripped, a path may have to get its slash.
        guard strippedBytes == 0 || target.first.map({ bytes[$0] == UInt8(ascii: "/") }) == true else { return nil }
        if hasClientHost { return key(forRest: target, host: host, in: bytes) }
        let size = prefix.utf8.count + target.count
        let key = String(unsafeUninitializedCapacity: size) { place in
            var prefix = prefix
            _ = prefix.withUTF8 { place.update(fromContentsOf: $0) }
            var index = prefix.utf8.count
            for byte in target {
                place[index] = bytes[byte]
                index += 1
            }
            return size
        }
        return query == .everything ? key : query.applied(to: key)
    }

    private func key(forRest rest: Range<Int>, host: Range<Int>, in bytes: Span<UInt8>) -> String? {
        guard bytes.isNormalHost(host) else { return nil }
        var base = address.origin.basePath
        let size = prefix.utf8.count + host.count + base.utf8.count + rest.count
        let key = String(unsafeUninitializedCapacity: size) { place in
            var prefix = prefix
            var index = 0
            func write(_ byte: UInt8) {
                place[index] = byte
                index += 1
            }
            prefix.withUTF8 { for byte in $0 { write(byte) } }
            for byte in host { write(bytes[byte]) }
            base.withUTF8 { for byte in $0 { write(byte) } }
            for byte in rest { write(bytes[byte]) }
            return size
        }
        return query == .everything ? key : query.applied(to: key)
    }
}

/// Whether `target` is a path, perhaps with a query, that normalising would not change. May say no without need.
private func isNormalPath(_ target: String) -> Bool {
    var before: UInt8 = 0
    for byte in target.utf8 {
        if !isNormal(byte, after: before) { return false }
        before = byte
    }
    return before != 0
}

func isNormalPath(_ bytes: Span<UInt8>, at target: Range<Int>) -> Bool {
    var before: UInt8 = 0
    for index in target {
        if !isNormal(bytes[index], after: before) { return false }
        before = bytes[index]
    }
    return before != 0
}

/// - Parameter before: 0 at the beginning.
private func isNormal(_ byte: UInt8, after before: UInt8) -> Bool {
    if before == 0 && byte != UInt8(ascii: "/") { return false }
    if byte < 0x21 || byte > 0x7E || byte == UInt8(ascii: "%") || byte == UInt8(ascii: "#") { return false }
    return byte != UInt8(ascii: ".") || before != UInt8(ascii: "/")
}
