/// Which requests a route is for, and where at which origin it takes them.
public struct RouteAddress: Hashable, Sendable {
    /// Empty: any host.
    public var hosts: [HostPattern]
    public var path: PathPattern
    /// Whether `path`, in which nothing may be wild then, is left out at the origin.
    public var stripsPath: Bool
    public var origin: OriginURL

    /// - Throws: ``AddressError`` when a wild path is to be stripped.
    public init(
        hosts: [HostPattern] = [], path: PathPattern = .all, stripsPath: Bool = false, origin: OriginURL
    ) throws(AddressError) {
        guard !stripsPath || path.isLiteral else {
            throw AddressError("path \(shown(path.description)) has an asterisk in it, so that it can't be stripped")
        }
        self.init(checked: hosts, path, stripsPath, origin)
    }

    /// All requests.
    public init(origin: OriginURL) {
        self.init(checked: [], .all, false, origin)
    }

    private init(checked hosts: [HostPattern], _ path: PathPattern, _ stripsPath: Bool, _ origin: OriginURL) {
        self.hosts = hosts
        self.path = path
        self.stripsPath = stripsPath
        self.origin = origin
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

    /// The address at the origin.
    /// - Parameter path: one that this route is for, in normal form, perhaps with a query.
    public func key(forPath path: String) -> String {
        let rest = path.utf8.dropFirst(strippedBytes)
        let slash = rest.first == UInt8(ascii: "/") ? "" : "/"
        return "\(origin)\(slash)\(Substring(rest))"
    }

    /// Whether a key can be one that this route has made, by what is known of it: the host is not.
    public func mayHaveMade(_ key: String) -> Bool {
        guard let target = origin.target(ofKey: key) else { return false }
        return stripsPath || path.matches(String(target.dropFirst(origin.basePath.count)))
    }

    /// The paths at the origin.
    private var keyPath: PathPattern { (stripsPath ? .all : path).below(origin.basePath) }

    /// Whether an address at the origin may be that of a request for either.
    public func mayShareKeys(with other: RouteAddress) -> Bool {
        origin.scheme == other.origin.scheme && origin.authority == other.origin.authority
            && keyPath.mayShare(with: other.keyPath)
    }

    /// Whether an earlier route gets each request for `later` whose key it could have made itself: then the key tells
    /// which of the two a request was for.
    public func goesBefore(_ later: RouteAddress) -> Bool {
        takesHosts(of: later) && strippedBytes == later.strippedBytes
            && (!stripsPath || path == later.path) && origin.basePath == later.origin.basePath
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
