internal import NIOCore
internal import NIOHTTP1
internal import PerennialHTTP

/// A client's request on its way through the gateway.
struct ClientRequest: Sendable {
    /// The target of an OPTIONS request that asks about the server as a whole (RFC 9112 §3.2.4); its `key`, too.
    static let serverItself = "*"

    /// Whose rules hold.
    var route: ActiveRoute
    var method: HTTPMethod
    /// The key of the address asked for.
    var key: String
    /// The host that the client named, and perhaps a port; empty: none.
    var host: String
    /// As the client sent them; what does not count here is left out where the answer may be from the cache or for it.
    var fields: HeaderFields
    /// `nil`: the request has none.
    var body: RequestBody?
    /// What it wants its connection to be changed to; `nil`: nothing that is tunnelled.
    var tunnel: Tunnel?
    /// What comes with it and its answer beside heads and bodies.
    var extras: MessageExtras
    /// Where it came from.
    var address: SocketAddress?
    /// Whether it came with TLS.
    var isSecure: Bool
    /// The one that the client's connection lives on.
    var eventLoop: any EventLoop
    /// HTTP/1.0 and older: knows no chunks. So is HTTP/2, which needs none.
    var isOldVersion: Bool
    /// The version it was received in, as `Via` has it (RFC 9110 §7.6.3): `1.0`, `1.1` or `2`.
    var version: String

    var isHead: Bool { method == .HEAD }
    var client: ClientAddress? { ClientAddress(address) }
}

/// How a request is handled, as far as its own head says.
enum Plan: Equatable {
    /// Ask the cache. With a demand, the request says what it may be answered with.
    case cache(RequestDemand?)
    /// Its response must not be kept, but what is kept may answer it.
    case keepNothing(RequestDemand?)
    /// Past the cache, for this reason.
    case pass(CacheStatus.Forward, detail: String?)
    /// It would have to pass, and asks that nobody be asked.
    case refuse
}

/// Whether a request has nothing in it that matters to a cache. True of most requests, and quick to see.
func isPlain(_ head: HTTPRequestHead) -> Bool {
    guard head.method == .GET || head.method == .HEAD else { return false }
    for (name, value) in head.headers {
        switch RequestFieldClass(name) {
        case .connection: if !usualOptions.contains(where: { $0.equalsIgnoringCase(value) }) { return false }
        case let other: if other.isRemarkable { return false }
        }
    }
    return true
}

/// What `Connection` mostly says.
private let usualOptions = ["keep-alive", "close"]

/// How a request is handled that is not plain.
func plan(
    method: HTTPMethod, fields: HeaderFields, rules: ResponseRules
) -> Plan {
    let allowances = rules.allowances
    let demand = rules.effectiveClientDirectives.demand(of: fields)
    switch admission(of: method.rawValue, fields: fields, allowances: allowances) {
    case .pass(.method): return .pass(.method, detail: nil)
    case .pass where demand?.onlyIfCached == true: return .refuse
    case .pass(let reason): return .pass(.bypass, detail: reason.rawValue)
    case .cache where CacheControl(fields).noStore && !allowances.contains(.noStore): return .keepNothing(demand)
    case .cache: return .cache(demand)
    }
}

/// Whether a request with these fields has a body (RFC 9112 §6.3).
func hasBody(_ headers: HTTPHeaders) -> Bool {
    headers.contains(name: "Transfer-Encoding") || headers["Content-Length"].contains { $0 != "0" }
}
