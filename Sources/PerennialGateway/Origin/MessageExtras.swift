internal import NIOConcurrencyHelpers
internal import NIOHTTP1
internal import PerennialHTTP

/// What comes with a request and its answer beside heads and bodies: interim answers (RFC 9110 §15.2) and trailers (§6.5).
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
    ///   - onInterim: is told of each interim answer that is for the client: not of 100, which the client has had from the
    ///     gateway.
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

/// Which exchange a request belongs to that the client library sends: a field that never leaves the process says so.
final class OriginExchanges: Sendable {
    private static let field = "Perennial-Exchange"

    private struct State {
        var next: UInt64 = 0
        var extras: [UInt64: MessageExtras] = [:]
    }

    private let state = NIOLockedValueBox(State())

    /// Marks a request, as long as `body` runs.
    func with<Result>(
        _ extras: MessageExtras?, _ headers: inout HTTPHeaders, isolation: isolated (any Actor)? = #isolation,
        _ body: (HTTPHeaders) async throws -> Result
    ) async rethrows -> Result {
        // A client's field of this name would be taken for ours.
        headers.remove(name: Self.field)
        guard let extras else { return try await body(headers) }
        let number = state.withLockedValue { state in
            state.next += 1
            state.extras[state.next] = extras
            return state.next
        }
        defer { state.withLockedValue { $0.extras[number] = nil } }
        headers.add(name: Self.field, value: String(number))
        return try await body(headers)
    }

    /// Takes the mark off a request.
    func take(from headers: inout HTTPHeaders) -> MessageExtras? {
        guard let mark = headers.first(name: Self.field) else { return nil }
        headers.remove(name: Self.field)
        return UInt64(mark).flatMap { number in state.withLockedValue { $0.extras[number] } }
    }
}
