import PerennialGateway
import PerennialHTTP

/// Reads `127.0.0.1:8080`, `[::1]:8080` or `localhost:0`; port 0 picks one.
func listenAddress(_ text: String) throws(Unreadable) -> ListenAddress {
    let complaint = "“\(text)” is not an address to listen on; write HOST:PORT, like 127.0.0.1:8080"
    guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
        throw Unreadable(complaint)
    }
    var host = text[..<colon]
    if host.hasPrefix("["), host.hasSuffix("]") {
        host = host.dropFirst().dropLast()
    } else if host.contains(":") {
        throw Unreadable(complaint)
    }
    guard !host.isEmpty, !host.contains(where: { $0.isWhitespace || $0 == "/" }) else { throw Unreadable(complaint) }
    return ListenAddress(host: String(host), port: Int(port))
}

/// Reads an address to listen on, or `none`.
func optionalListenAddress(_ text: String) throws(Unreadable) -> ListenAddress? {
    text == "none" ? nil : try listenAddress(text)
}

/// Reads an origin, like `https://api.example.com`.
func originAddress(_ text: String) throws(Unreadable) -> OriginURL {
    do throws(AddressError) {
        return try OriginURL(text)
    } catch {
        throw Unreadable(error.description)
    }
}

/// Where entries or jobs live.
enum EngineAddress: Hashable, Sendable, CustomStringConvertible {
    case sqlite(path: String)
    case memory

    var description: String {
        switch self {
        case .sqlite(let path): "sqlite:\(path)"
        case .memory: "memory:"
        }
    }
}

/// Reads `sqlite:PATH` or `memory:`.
func engineAddress(_ text: String) throws(Unreadable) -> EngineAddress {
    if text == "memory:" { return .memory }
    let path = text.hasPrefix("sqlite:") ? text.dropFirst("sqlite:".count) : ""
    guard !path.isEmpty else {
        throw Unreadable("“\(text)” is not a place to keep things; write sqlite:PATH or memory:")
    }
    return .sqlite(path: String(path))
}
