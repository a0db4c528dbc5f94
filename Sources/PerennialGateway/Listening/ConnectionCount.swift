internal import NIOConcurrencyHelpers

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
