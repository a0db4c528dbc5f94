/// What `Host` an origin is sent.
///
/// It decides the address of a response, too: origins may answer by it, so it is in the key, in place of the origin's
/// own name.
public enum SentHost: Hashable, Sendable {
    /// The origin's own, from its URL.
    case origin
    /// The client's, in normal form. A request without one gets the origin's.
    case client
    /// This one.
    case name(HostName)
}

/// A host and perhaps a port, as a client or an operator names them, in normal form: in lower case, without the dot that
/// may end a name, and without the ports of http and https.
///
/// Which of the two a client speaks is not known here: TLS may end before the gateway. So neither port makes another
/// address.
public struct HostName: Hashable, Sendable, CustomStringConvertible {
    /// In lower case; an IPv6 address with its brackets.
    let host: String
    /// `nil`: that of the scheme.
    let port: Int?
    public let description: String

    /// No name is longer (RFC 1035 §2.3.4), in bytes.
    private static let longest = 253

    /// - Throws: ``AddressError`` when it is no name of letters, digits, dots, dashes and underscores, no address, or
    ///   has a port that is none.
    public init(_ text: some StringProtocol) throws(AddressError) {
        let what = "host \(shown(text))"
        let authority = try Authority(Substring(text), scheme: "http", what: what)
        host = authority.host.hasSuffix(".") ? String(authority.host.dropLast()) : authority.host
        guard !host.isEmpty, host.utf8.count <= Self.longest else {
            throw AddressError("\(what) has a name of no or more than \(Self.longest) bytes")
        }
        port = [80, 443].contains(authority.port) ? nil : authority.port
        description = port.map { [host] in "\(host):\($0)" } ?? host
    }

    /// Whether the host and port of an address are these.
    func isMeant(by authority: Authority, scheme: String) -> Bool {
        (authority.host == host || authority.host == host + ".") && authority.port == port ?? defaultPort(of: scheme)
    }
}

extension Span<UInt8> {
    /// Whether a value of `Host` is a ``HostName`` in normal form already. May say no without need.
    package func isNormalHost(_ range: Range<Int>) -> Bool {
        guard 1...253 ~= range.count else { return false }
        var before = UInt8(ascii: ".")
        var index = range.lowerBound
        while index < range.upperBound, self[index] != UInt8(ascii: ":") {
            let byte = self[index]
            let isLetter = (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
            guard isLetter || byte.isDigit || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "."),
                byte != UInt8(ascii: ".") || before != byte
            else { return false }
            before = byte
            index += 1
        }
        if before == UInt8(ascii: ".") { return false }
        return index == range.upperBound || isUnusualPort(index + 1..<range.upperBound)
    }

    /// Whether a port is one that a ``HostName`` names, and written the one way.
    private func isUnusualPort(_ range: Range<Int>) -> Bool {
        guard 1...5 ~= range.count, self[range.lowerBound] != UInt8(ascii: "0") else { return false }
        var port = 0
        for index in range {
            guard self[index].isDigit else { return false }
            port = port * 10 + Int(self[index] - UInt8(ascii: "0"))
        }
        return port <= 65_535 && port != 80 && port != 443
    }
}
