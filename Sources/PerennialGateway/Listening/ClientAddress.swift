internal import NIOCore

/// What counts as one client: an address of IPv4, or the first half of one of IPv6, which is what a single subscriber
/// gets.
struct ClientAddress: Hashable, Sendable {
    private let bytes: [UInt8]

    /// `nil`: a Unix socket has none.
    init?(_ address: SocketAddress?) {
        guard let all = address?.ipBytes else { return nil }
        bytes = all.count == 16 ? Array(all.prefix(8)) : all
    }
}
