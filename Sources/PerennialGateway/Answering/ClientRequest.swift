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
    /// As the client sent them.
    var fields: HeaderFields
    /// `nil`: the request has none.
    var body: RequestBody?
    /// What comes with it and its answer beside heads and bodies.
    var extras: MessageExtras
    /// HTTP/1.0 and older: knows no chunks. So is HTTP/2, which needs none.
    var isOldVersion: Bool
    /// The version it was received in, as `Via` has it (RFC 9110 §7.6.3): `1.0`, `1.1` or `2`.
    var version: String

    var isHead: Bool { method == .HEAD }
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
        switch name.utf8.count {
        // The lengths of the names below; hardly any other field of a usual request has one of them.
        case 5, 6, 7, 8, 9, 12, 13, 14, 17, 19, 22:
            if remarkable.contains(where: { $0.matches(name) }) { return false }
        case 10: if connection.matches(name), !usualOptions.contains(where: { $0.matches(value) }) { return false }
        default: break
        }
    }
    return true
}

private let connection = StaticName(lowercase: Array("connection".utf8))

/// What `Connection` mostly says.
private let usualOptions = ["keep-alive", "close"].map { StaticName(lowercase: Array($0.utf8)) }

/// The fields that ``plan(method:fields:rules:)`` and an answer look at.
private let remarkable: [StaticName] = [
    "range", "cookie", "expect", "pragma", "upgrade", "if-match", "authorization", "if-none-match", "cache-control",
    "content-length", "transfer-encoding", "if-modified-since", "if-unmodified-since", "x-api-key", "x-auth-token",
    "x-http-method", "x-method-override", "x-http-method-override",
].map { StaticName(lowercase: Array($0.utf8)) }

private struct StaticName: Sendable {
    let lowercase: [UInt8]

    func matches(_ name: String) -> Bool {
        name.utf8.count == lowercase.count && name.utf8.elementsEqual(lowercase) { $0 | 0x20 == $1 || $0 == $1 }
    }
}

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
