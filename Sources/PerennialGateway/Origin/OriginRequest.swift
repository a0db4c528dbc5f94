internal import NIOCore
internal import NIOHTTP1
internal import PerennialHTTP

/// A request as it is sent to an origin: its target goes out byte for byte, for nobody reads it again on the way.
struct OriginRequest: Sendable {
    var method: HTTPMethod
    /// The value of `Host`.
    var host: String
    /// Path and query, as they stand in the request's first line.
    var target: String
    /// All fields but `Host` and those that say how the body is framed.
    var fields: HeaderFields
    var body: RequestBody?
    /// What comes with the request and its answer beside heads and bodies.
    var extras: MessageExtras?
    /// What the connection is to be changed to. Goes out on a connection of HTTP/1.1 of its own.
    var tunnel: Tunnel?

    /// Whether it may be sent twice without anybody noticing (RFC 9110 §9.2.2).
    var mayBeRepeated: Bool {
        body == nil && tunnel == nil && [.GET, .HEAD, .OPTIONS, .TRACE, .PUT, .DELETE].contains(method)
    }

    /// The value of `Content-Length`; `nil`: the body comes in chunks, or there is none and none is expected (RFC 9110
    /// §8.6).
    var announcedLength: Int64? {
        if let body { return body.length }
        return [.GET, .HEAD, .OPTIONS, .TRACE, .DELETE].contains(method) ? nil : 0
    }
}

/// A wish for another protocol on the connection: if the origin agrees (101), bytes go both ways until one side ends.
struct Tunnel: Sendable {
    /// As `Upgrade` names it.
    var name: String
    /// What the client sends once it is agreed upon.
    var bytes: RequestBody
}

/// Whose places on the way to an origin a request takes.
enum OriginRank: Hashable, Sendable {
    /// Its answer is for the cache.
    case fetch
    /// Its answer goes through to one client.
    /// - Parameter client: `nil`: it has no address.
    case pass(client: ClientAddress?)
    /// It asks for a tunnel, and keeps its place for as long as it has one.
    case tunnel(client: ClientAddress?)
}

/// What is asked for a key, and by what name.
struct OriginQuestion {
    /// The origin as the key names it.
    let origin: OriginURL
    let target: String

    var host: String { origin.authority }

    /// - Parameters:
    ///   - key: of an address or one of its variants.
    ///   - address: the route's.
    /// - Throws: ``NoRoute`` for a key that the route can't have made.
    init(_ key: String, _ address: RouteAddress) throws(NoRoute) {
        let primary = primaryKey(of: key)
        guard let origin = address.origin(ofKey: primary), let target = origin.target(ofKey: primary) else {
            throw NoRoute(key: key)
        }
        self.origin = origin
        self.target = target
    }
}
