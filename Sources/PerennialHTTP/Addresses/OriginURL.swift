/// The address of an origin, as given to `--origin`: `https://api.example.com`, `http://[::1]:9000/v1`.
public struct OriginURL: Hashable, Sendable, CustomStringConvertible {
    /// `http` or `https`.
    public let scheme: String
    /// In lower case; an IPv6 address with its brackets.
    public let host: String
    /// 1 to 65535; the scheme's own where none is named.
    public let port: Int
    /// Host, and the port unless it is the scheme's own: the value of `Host` for this origin.
    public let authority: String
    /// What comes before every path, without a slash at its end; empty: nothing.
    public let basePath: String

    /// - Throws: ``AddressError`` in one line for whoever typed it.
    public init(_ text: String) throws(AddressError) {
        let whole = shown(hidingUserinfo(text))
        if let bad = text.bytes.first(where: { !$0.isVisible }) {
            throw AddressError(
                bad > 0x7E
                    ? "origin \(whole) has a letter that isn't ASCII; write the host as xn--…, the path percent-encoded"
                    : "origin \(whole) has a space or control character in it; remove it")
        }
        let (scheme, rest) = try splitScheme(text, what: "origin \(whole)")
        if rest.contains("?") || rest.contains("#") {
            throw AddressError("origin \(whole) has a query or fragment; leave out what follows the path")
        }
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        let authority = try Authority(rest[..<slash], scheme: scheme, what: "origin \(whole)")
        self.scheme = scheme
        host = authority.host
        port = authority.port
        let path = removingDotSegments(normalisingPercentEncoding(rest[slash...].bytes))
        basePath = String(decoding: path.reversed().drop { $0 == UInt8(ascii: "/") }.reversed(), as: UTF8.self)
        self.authority = port == defaultPort(of: scheme) ? host : "\(host):\(port)"
        description = "\(scheme)://\(self.authority)\(basePath)"
    }

    /// The address in its normal form, without a slash at its end.
    public let description: String

    private init(_ origin: OriginURL, named name: HostName) {
        scheme = origin.scheme
        host = name.host
        port = name.port ?? defaultPort(of: origin.scheme)
        authority = name.description
        basePath = origin.basePath
        description = "\(scheme)://\(authority)\(basePath)"
    }

    /// The same origin under another name.
    public func named(_ name: HostName) -> OriginURL { OriginURL(self, named: name) }
}

/// A host and port, taken apart.
struct Authority: Equatable {
    var host: String
    var port: Int

    /// - Parameter what: how errors call the address.
    init(_ text: Substring, scheme: String, what: String) throws(AddressError) {
        if text.bytes.contains(UInt8(ascii: "@")) {
            throw AddressError("\(what) has credentials in it; leave out what comes before the @")
        }
        let end: Substring.Index
        if text.hasPrefix("[") {
            guard let close = text.bytes.firstIndex(of: UInt8(ascii: "]")),
                isIPv6(text[text.index(after: text.startIndex)..<close])
            else {
                throw AddressError("\(what) has a broken IPv6 address; write it like http://[::1]:8080")
            }
            end = text.index(after: close)
        } else {
            end = text.bytes.firstIndex(of: UInt8(ascii: ":")) ?? text.endIndex
        }
        host = text[..<end].lowercasedASCII
        if host.isEmpty { throw AddressError("\(what) has no host; write it like https://api.example.com") }
        let isName = host.bytes.allSatisfy { $0.isLetter || $0.isDigit || "-._".utf8.contains($0) }
        guard host.hasPrefix("[") || isName && !host.hasPrefix(".") && !host.contains("..") else {
            throw AddressError("\(what) has a host that can't be one: \(shown(host))")
        }
        let rest = text[end...]
        if rest.isEmpty || rest == ":" {
            port = defaultPort(of: scheme)
        } else {
            let digits = rest.dropFirst()
            guard rest.hasPrefix(":"), digits.bytes.allSatisfy(\.isDigit), let number = Int(digits),
                1...65_535 ~= number
            else { throw AddressError("\(what) has a port that isn't a number from 1 to 65535") }
            port = number
        }
    }
}

/// An address without the name and password that somebody wrote into it.
private func hidingUserinfo(_ text: String) -> String {
    guard let scheme = text.firstRange(of: "://") else { return text }
    let authority = text[scheme.upperBound...].prefix { !"/?#".contains($0) }
    guard let at = authority.lastIndex(of: "@") else { return text }
    return text[..<scheme.upperBound] + "***" + text[at...]
}

func defaultPort(of scheme: String) -> Int {
    scheme == "https" ? 443 : 80
}

/// The scheme in lower case, and what follows its `://`.
func splitScheme(_ text: String, what: String) throws(AddressError) -> (scheme: String, rest: Substring) {
    for scheme in ["http", "https"] {
        let prefix = scheme + "://"
        if text.utf8.count >= prefix.utf8.count, text.prefix(prefix.count).equalsIgnoringCase(prefix) {
            return (scheme, text.dropFirst(prefix.count))
        }
    }
    throw AddressError("\(what) doesn't begin with http:// or https://; write it like https://api.example.com")
}
