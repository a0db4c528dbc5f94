internal import NIOConcurrencyHelpers
internal import PerennialHTTP

/// What comes with a request and its answer beside heads and bodies: interim answers (RFC 9110 §15.2) and trailers
/// (§6.5).
final class MessageExtras: Sendable {
    private struct State {
        var requestTrailers: HeaderFields = [:]
        var responseTrailers: HeaderFields = [:]
        var interims = 0
    }

    /// More interim answers than anybody has use for.
    private static let mostInterims = 16

    private let state = NIOLockedValueBox(State())
    private let ownNames: Set<String>
    private let onInterim: @Sendable (Int, HeaderFields) -> Void

    /// - Parameters:
    ///   - originFields: what the origin is sent in place of the client's fields of those names.
    ///   - onInterim: is told of each interim answer that is for the client: not of 100, which the client has had from
    ///     the gateway.
    init(originFields: HeaderFields, onInterim: @escaping @Sendable (Int, HeaderFields) -> Void) {
        ownNames = Set(originFields.map { foldedName($0.name) })
        self.onInterim = onInterim
    }

    /// What is to be sent behind a request's body that is chunked.
    var requestTrailers: HeaderFields { state.withLockedValue { $0.requestTrailers } }

    /// Takes what came behind the client's body, as far as it may be passed on.
    func take(requestTrailers: HeaderFields) {
        let unfit = requestTrailers.map(\.name).filter { ownNames.contains(foldedName($0)) }
        let fit = passableTrailers(requestTrailers.removing(unfit))
        state.withLockedValue { $0.requestTrailers = fit }
    }

    /// What came behind the answer's body.
    var responseTrailers: HeaderFields {
        get { state.withLockedValue { $0.responseTrailers } }
        set { state.withLockedValue { $0.responseTrailers = newValue } }
    }

    func note(interim status: Int, _ fields: HeaderFields) {
        guard status != 100 else { return }
        let isWanted = state.withLockedValue { state in
            state.interims += 1
            return state.interims <= Self.mostInterims
        }
        if isWanted { onInterim(status, fields) }
    }
}
