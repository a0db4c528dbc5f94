import Foundation
import PerennialConnections
import PerennialEngines
import PerennialGateway
import PerennialHTTP

/// Reads `127.0.0.1:8080`, `[::1]:8080`, `localhost:0` (port 0 picks one) or `unix:/run/perennial.sock`.
func listenAddress(_ text: String) throws(Unreadable) -> ListenAddress {
    let complaint = "“\(text)” is not an address to listen on; write HOST:PORT, like 127.0.0.1:8080"
    if let path = text.hasPrefix("unix:") ? String(text.dropFirst("unix:".count)) : nil {
        // What fits into a socket's address on every system.
        guard !path.isEmpty, path.utf8.count <= 103 else {
            throw Unreadable("“\(text)” is no Unix socket; write unix:PATH, with a path of at most 103 bytes")
        }
        return ListenAddress(socketPath: path)
    }
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
    if text == "none" { return nil }
    let address = try listenAddress(text)
    if address.socketPath != nil {
        throw Unreadable("“\(text)” is a Unix socket, which is for --listen; write HOST:PORT, like 127.0.0.1:8081")
    }
    return address
}

/// Reads an origin, like `https://api.example.com`.
func originAddress(_ text: String) throws(Unreadable) -> OriginURL {
    do throws(AddressError) {
        return try OriginURL(text)
    } catch {
        throw Unreadable(error.description)
    }
}

/// Reads where entries or jobs live, like `sqlite:PATH` or `redis://HOST`.
func engineAddress(_ text: String) throws(Unreadable) -> EngineAddress {
    do throws(EngineURLError) {
        return try EngineAddress(text)
    } catch {
        throw Unreadable(error.description)
    }
}

/// Reads the token in a file: one line, without the spaces around it.
func token(inFile path: String) throws(Unreadable) -> String {
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
        throw Unreadable("can't read \(path); it must have the token in one line of text")
    }
    let token = text.trimmingCharacters(in: .whitespacesAndNewlines)
    guard token.utf8.count >= 16, token.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
        throw Unreadable(
            "the token in \(path) must have 16 or more letters, digits or signs, and no spaces; make one with: openssl rand -hex 32"
        )
    }
    return token
}
