internal import Logging
internal import NIOConcurrencyHelpers
internal import PerennialHTTP

/// What is to be said of an origin that can't be asked: each reason once in the log, until the origin has answered
/// again.
final class OriginFailureLog: Sendable {
    private struct State {
        /// How often each reason was met since the origin last answered.
        var counts: [OriginBroken.Reason: Int] = [:]
        var last: OriginBroken?
    }

    private let origin: OriginURL
    private let logger: Logger
    private let state = NIOLockedValueBox(State())

    init(_ origin: OriginURL, logger: Logger) {
        self.origin = origin
        self.logger = logger
    }

    /// Why the last request got no answer; `nil`: it got one.
    var trouble: String? { state.withLockedValue { $0.last?.description } }

    func failed(_ error: OriginBroken) {
        let isNew = state.withLockedValue { state in
            state.last = error
            state.counts[error.reason, default: 0] += 1
            return state.counts[error.reason] == 1
        }
        guard isNew else { return }
        logger.warning(
            "the origin can't be asked",
            metadata: [
                "origin": "\(origin)", "reason": "\(error.reason.rawValue)", "error": "\(error)",
            ])
    }

    func succeeded() {
        let counts = state.withLockedValue { state -> [OriginBroken.Reason: Int] in
            // Nearly always there is nothing to forget.
            if state.last == nil { return [:] }
            defer { state = State() }
            return state.counts
        }
        guard !counts.isEmpty else { return }
        let failures = counts.map { "\($0.key.rawValue): \($0.value)" }.sorted().joined(separator: ", ")
        logger.notice("the origin answers again", metadata: ["origin": "\(origin)", "failures": "\(failures)"])
    }
}
