internal import NIOConcurrencyHelpers
internal import NIOCore

/// How many connections there are, on all event loops: together, and of each client.
final class ConnectionCount: Sendable {
    private struct State {
        var all = 0
        var ofClients: [ClientAddress: Int] = [:]
    }

    private let limit: Int
    private let clientLimit: Int
    private let state = NIOLockedValueBox(State())

    /// - Parameter clientLimit: 0: none.
    init(limit: Int, clientLimit: Int) {
        self.limit = limit
        self.clientLimit = clientLimit
    }

    /// Counts one that was opened, until it is told to ``leave(_:)``.
    /// - Returns: whether there may be so many.
    func enter(_ client: ClientAddress?) -> Bool {
        state.withLockedValue { state in
            state.all += 1
            var ofClient = 0
            if clientLimit > 0, let client {
                ofClient = state.ofClients[client, default: 0] + 1
                state.ofClients[client] = ofClient
            }
            return state.all <= limit && ofClient <= clientLimit
        }
    }

    /// Counts one that was closed.
    func leave(_ client: ClientAddress?) {
        state.withLockedValue { state in
            state.all -= 1
            guard clientLimit > 0, let client, let count = state.ofClients[client] else { return }
            state.ofClients[client] = count > 1 ? count - 1 : nil
        }
    }
}

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
