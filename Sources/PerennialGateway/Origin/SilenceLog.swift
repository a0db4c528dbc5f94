internal import Logging
internal import PerennialHTTP
internal import Synchronization

/// Says once for a route that its origin's answers come without freshness, so that every read asks the origin, and what
/// to do. Nobody would find out otherwise: all works, only slowly.
final class SilenceLog: Sendable {
    private let route: String
    private let logger: Logger
    private let isDone = Atomic(false)

    init(route: String, logger: Logger) {
        self.route = route
        self.logger = logger
    }

    /// - Parameter mode: who says how long the route's responses are fresh.
    func heard(_ response: OriginResponse, key: String, mode: FreshnessMode) {
        guard case .origin = mode, 200..<300 ~= response.status, !isDone.load(ordering: .relaxed),
            freshness(of: response, mode: mode).basis == .nothing,
            !isDone.exchange(true, ordering: .relaxed)
        else { return }
        // What is in a query may be secret.
        let address = primaryKey(of: key).prefix { $0 != "?" }
        logger.notice(
            "answers come without freshness, so every read asks the origin; give limits, like --refresh-after 1h --expire-after 7d, or have the origin send Cache-Control: max-age",
            metadata: ["route": "\(route)", "address": "\(address)"])
    }
}
