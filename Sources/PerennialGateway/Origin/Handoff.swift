internal import NIOConcurrencyHelpers
internal import NIOCore
internal import PerennialHTTP

/// A response that may be neither stored nor shared, for the one reader whose request brought it.
struct UnsharedResponse: Sendable {
    enum Body: Sendable {
        case whole(ByteBuffer)
        case stream(OriginBody)
    }

    var status: Int
    /// As received.
    var fields: HeaderFields
    var body: Body
    /// Why it may not be stored, for `Cache-Status`.
    var reason: String
}

/// Where a fetch leaves such a response for the reader that started it, and what else that reader wants to know.
///
/// The reader may have left meanwhile, or may have been answered with an old response: then the handoff is closed, and
/// what is offered to it is let go.
final class Handoff: Sendable {
    private struct State {
        var response: UnsharedResponse?
        var isClosed = false
        var status: Int?
        var ownFields: HeaderFields = [:]
    }

    private let state = NIOLockedValueBox(State())

    func offer(_ response: UnsharedResponse) {
        state.withLockedValue { if !$0.isClosed { $0.response = response } }
    }

    /// Takes what is there, and nothing more from now on.
    func close() -> UnsharedResponse? {
        state.withLockedValue { state in
            state.isClosed = true
            defer { state.response = nil }
            return state.response
        }
    }

    /// What a stored response lacks, because it is for this reader alone.
    var ownFields: HeaderFields {
        get { state.withLockedValue { $0.ownFields } }
        set { state.withLockedValue { $0.ownFields = newValue } }
    }

    /// The status the origin answered with; `nil` when this reader's request did not get to it.
    var originStatus: Int? {
        get { state.withLockedValue { $0.status } }
        set { state.withLockedValue { $0.status = newValue } }
    }
}
