/// Which requests a route is for, and where at which origin it takes them.
public struct RouteAddress: Hashable, Sendable {
    /// Empty: any host.
    public var hosts: [HostPattern]
    public var path: PathPattern
    /// Whether `path`, in which nothing may be wild then, is left out at the origin.
    public var stripsPath: Bool
    public var origin: OriginURL { didSet { named = Self.named(origin, sentHost) } }
    /// What `Host` the origin is sent. Default: its own.
    public var sentHost: SentHost { didSet { named = Self.named(origin, sentHost) } }
    /// The origin as requests to it name it; before the client's name is known, as its URL does.
    public private(set) var named: OriginURL

    /// - Throws: ``AddressError`` when a wild path is to be stripped.
    public init(
        hosts: [HostPattern] = [], path: PathPattern = .all, stripsPath: Bool = false, origin: OriginURL,
        sentHost: SentHost = .origin
    ) throws(AddressError) {
        guard !stripsPath || path.isLiteral else {
            throw AddressError("path \(shown(path.description)) has an asterisk in it, so that it can't be stripped")
        }
        self.init(checked: hosts, path, stripsPath, origin, sentHost)
    }

    /// All requests.
    public init(origin: OriginURL, sentHost: SentHost = .origin) {
        self.init(checked: [], .all, false, origin, sentHost)
    }

    private init(
        checked hosts: [HostPattern], _ path: PathPattern, _ stripsPath: Bool, _ origin: OriginURL,
        _ sentHost: SentHost
    ) {
        self.hosts = hosts
        self.path = path
        self.stripsPath = stripsPath
        self.origin = origin
        self.sentHost = sentHost
        named = Self.named(origin, sentHost)
    }

    private static func named(_ origin: OriginURL, _ sentHost: SentHost) -> OriginURL {
        if case .name(let name) = sentHost { origin.named(name) } else { origin }
    }

    /// Whether it is for every request.
    public var isForAll: Bool { hosts.isEmpty && path == .all }

    /// How many bytes at the beginning of a path are left out.
    public var strippedBytes: Int { stripsPath ? path.literal?.count ?? 0 : 0 }

    /// - Parameters:
    ///   - host: a value of `Host`; may be empty.
    ///   - path: in normal form, perhaps with a query.
    public func matches(host: String, path: String) -> Bool {
        let (host, path) = (Array(host.bytes), Array(path.bytes))
        return (hosts.isEmpty || hosts.contains { $0.matches(host.span, at: host.indices) })
            && self.path.matches(path.span, at: path.indices)
    }

    /// As ``matches(host:path:)``, of a request as it lies among received bytes.
    package func matches(host: Range<Int>, path: Range<Int>, in bytes: Span<UInt8>) -> Bool {
        var isMeant = hosts.isEmpty
        for pattern in hosts where !isMeant { isMeant = pattern.matches(bytes, at: host) }
        return isMeant && self.path.matches(bytes, at: path)
    }

    /// The origin as it is named in what it is sent for a request.
    /// - Parameter host: the value of `Host`; may be empty.
    /// - Throws: ``AddressError`` when the client's host is to be sent, and can't be.
    public func origin(forHost host: String) throws(AddressError) -> OriginURL {
        guard sentHost == .client, !host.isEmpty else { return named }
        return origin.named(try HostName(host))
    }

    /// The address at the origin.
    /// - Parameters:
    ///   - path: one that this route is for, in normal form, perhaps with a query.
    ///   - host: as for ``origin(forHost:)``.
    public func key(forPath path: String, host: String = "") throws(AddressError) -> String {
        let rest = path.utf8.dropFirst(strippedBytes)
        let slash = rest.first == UInt8(ascii: "/") ? "" : "/"
        return "\(try origin(forHost: host))\(slash)\(Substring(rest))"
    }

    /// The origin as it is named in a key that this route may have made; `nil`: it can't have made it.
    public func origin(ofKey key: String) -> OriginURL? {
        if named.target(ofKey: key) != nil { return sentHost == .client && !isFor(host: named.authority) ? nil : named }
        guard sentHost == .client else { return nil }
        let scheme = "\(origin.scheme)://"
        guard key.hasPrefix(scheme) else { return nil }
        let host = key.dropFirst(scheme.count).before(UInt8(ascii: "/"))
        guard let name = try? HostName(host), name.description == host, isFor(host: name.description) else {
            return nil
        }
        let named = origin.named(name)
        return named.target(ofKey: key) == nil ? nil : named
    }

    /// Whether a key can be one that this route has made, by what is known of it: unless it is the client's that is
    /// sent, the host is not.
    public func mayHaveMade(_ key: String) -> Bool {
        guard let target = origin(ofKey: key)?.target(ofKey: key) else { return false }
        return stripsPath || path.matches(String(target.dropFirst(origin.basePath.count)))
    }

    /// The key of what somebody typed: a full address at this origin, or where that says enough a path alone.
    /// - Throws: as ``OriginURL/key(forInput:limit:)``.
    public func key(forInput text: String, limit: Int = 8192) throws(AddressError) -> String {
        guard sentHost == .client else { return try named.key(forInput: text, limit: limit) }
        let input = String(text.trimmed.before(UInt8(ascii: "#")))
        guard input.contains("://") else {
            throw AddressError("\(shown(input)) names no host, by which addresses are told apart; write http://HOST/…")
        }
        let wanted = try RequestTarget(input, limit: limit)
        let host = wanted.hostAndPort ?? ""
        let named = try origin(forHost: host)
        let key = "\(named.scheme)://\(named.authority)\(wanted.path)"
        guard isFor(host: host), named.target(ofKey: key) != nil else {
            throw AddressError(.elsewhere, "\(shown(text)) is not at the origin \(origin)")
        }
        return key
    }

    private func isFor(host: String) -> Bool { hosts.isEmpty || hosts.contains { $0.matches(host) } }

    /// The paths at the origin.
    private var keyPath: PathPattern { (stripsPath ? .all : path).below(origin.basePath) }

    /// Whether an address at the origin may be that of a request for either.
    public func mayShareKeys(with other: RouteAddress) -> Bool {
        origin.scheme == other.origin.scheme && mayShareHosts(with: other) && keyPath.mayShare(with: other.keyPath)
    }

    private func mayShareHosts(with other: RouteAddress) -> Bool {
        switch (sentHost, other.sentHost) {
        case (.client, .client):
            hosts.isEmpty || other.hosts.isEmpty
                || hosts.contains { host in other.hosts.contains { $0.covers(host) || host.covers($0) } }
        case (.client, _): isFor(host: other.named.authority)
        case (_, .client): other.isFor(host: named.authority)
        default: named.authority == other.named.authority
        }
    }

    /// Whether the key tells which of the two a request was for: an earlier route gets each request for `later` whose
    /// key it could have made itself. Where both send the client's host, the key tells that, too.
    public func goesBefore(_ later: RouteAddress) -> Bool {
        let haveHosts = sentHost == .client && later.sentHost == .client
        if haveHosts && path == .all { return true }
        return (takesHosts(of: later) || haveHosts) && strippedBytes == later.strippedBytes
            && (!stripsPath || path == later.path)
            && origin.basePath == later.origin.basePath
    }

    /// Whether every request for `later` is for this one, too.
    public func takesAll(of later: RouteAddress) -> Bool {
        takesHosts(of: later) && path.covers(later.path)
    }

    private func takesHosts(of other: RouteAddress) -> Bool {
        hosts.isEmpty
            || !other.hosts.isEmpty && other.hosts.allSatisfy { host in hosts.contains { $0.covers(host) } }
    }
}
