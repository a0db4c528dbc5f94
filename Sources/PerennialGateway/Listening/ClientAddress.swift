internal import NIOCore

/// What counts as one client: an address of IPv4, or the first half of one of IPv6, which is what a single subscriber
/// gets.
struct ClientAddress: Hashable, Sendable {
    private let bytes: [UInt8]

    /// `nil`: a Unix socket has none.
    init?(_ address: SocketAddress?) {
        guard let address else { return nil }
        let raw = address.withSockAddr { Array(UnsafeRawBufferPointer(start: $0, count: $1)) }
        switch address {
        // Behind the family and the port.
        case .v4: bytes = Array(raw[4..<8])
        // Behind the flow label, too.
        case .v6:
            let all = raw[8..<24]
            // IPv4 as a socket for both shows it (RFC 4291 §2.5.5.2).
            let isIPv4 = all.prefix(12).elementsEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255])
            bytes = Array(isIPv4 ? all.suffix(4) : all.prefix(8))
        case .unixDomainSocket: return nil
        }
    }
}
