public import NIOCore

/// Addresses of clients: one, or all those that begin with the same bits (RFC 4632 §3.1, RFC 4291 §2.3).
///
/// An IPv4 address that a socket for both families shows as one of IPv6 (`::ffff:10.0.0.1`) is the IPv4 address.
public struct AddressRange: Hashable, Sendable, CustomStringConvertible {
    private let bytes: [UInt8]
    private let bits: Int
    public let description: String

    /// - Parameter text: `10.0.0.1`, `10.0.0.0/8`, `::1` or `2001:db8::/32`.
    /// - Returns: `nil` for anything else, bits behind the range's own among it: `10.0.0.1/8`.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let bytes = (try? SocketAddress(ipAddress: String(parts[0]), port: 0))?.ipBytes else { return nil }
        var bits = bytes.count * 8
        if parts.count == 2 {
            guard let number = Int(parts[1]), 0...bits ~= number, parts[1].utf8.allSatisfy({ $0 >= 0x30 }) else {
                return nil
            }
            bits = number
        }
        self.bytes = bytes
        self.bits = bits
        description = text
        let isClean = bytes.indices.allSatisfy { bytes[$0] & ~Self.mask(of: $0, bits) == 0 }
        if !isClean { return nil }
    }

    /// Whether a client's address is one of these. A Unix socket's clients have none.
    public func contains(_ address: SocketAddress) -> Bool {
        guard let other = address.ipBytes, other.count == bytes.count else { return false }
        return bytes.indices.allSatisfy { other[$0] & Self.mask(of: $0, bits) == bytes[$0] }
    }

    /// Which bits of a byte count.
    private static func mask(of index: Int, _ bits: Int) -> UInt8 {
        let count = min(8, max(0, bits - index * 8))
        return count == 0 ? 0 : ~0 << UInt8(8 - count)
    }
}

extension SocketAddress {
    /// The address without a port, an IPv4 one as that; `nil`: a Unix socket has none.
    var clientText: String? {
        guard let ipAddress, let bytes = ipBytes else { return nil }
        return bytes.count == 4 ? bytes.map { String($0) }.joined(separator: ".") : ipAddress
    }

    /// The four bytes of an IPv4 address, or the sixteen of one of IPv6; `nil`: a Unix socket has none.
    var ipBytes: [UInt8]? {
        let raw = withSockAddr { Array(UnsafeRawBufferPointer(start: $0, count: $1)) }
        switch self {
        // Behind the family and the port.
        case .v4: return Array(raw[4..<8])
        // Behind the flow label, too.
        case .v6:
            let all = raw[8..<24]
            // IPv4 as a socket for both shows it (RFC 4291 §2.5.5.2).
            let isIPv4 = all.prefix(12).elementsEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255])
            return Array(isIPv4 ? all.suffix(4) : all)
        case .unixDomainSocket: return nil
        }
    }
}
