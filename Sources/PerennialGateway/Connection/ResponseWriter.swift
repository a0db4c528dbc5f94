internal import NIOCore
internal import PerennialHTTP

/// Writes one exchange's answer from a task: hops to the connection's event loop.
///
/// When the client has gone, ``write(_:)`` throws and the others do nothing.
struct ResponseWriter: Sendable {
    let eventLoop: any EventLoop
    let connection: NIOLoopBound<ConnectionHandler>

    /// The whole answer at once.
    func finish(with reply: Reply) async {
        eventLoop.execute { connection.value.finish(with: reply) }
    }

    /// The head of an answer whose body follows with ``write(_:)``, until ``end(trailers:)`` or ``abort()``.
    func begin(_ head: ByteBuffer, status: Int, kind: Reply.Kind, framing: Framing) async throws {
        try await onLoop { $0.beginStreaming(head, status: status, kind: kind, framing: framing, promise: $1) }
    }

    /// The 101 of an origin that agrees to another protocol, whose bytes follow with ``write(_:)``, until
    /// ``end(trailers:)`` or ``abort()``.
    func beginTunnel(_ head: ByteBuffer) async throws {
        try await onLoop { $0.beginTunnel(head, promise: $1) }
    }

    /// A piece of the body. Returns when it is on its way to the client, so there is never more than one in memory.
    func write(_ piece: ByteBuffer) async throws {
        try await onLoop { $0.stream(piece, promise: $1) }
    }

    /// - Parameter trailers: are left out where the client can't have them.
    func end(trailers: HeaderFields) async {
        eventLoop.execute { connection.value.endStreaming(trailers: trailers) }
    }

    /// Breaks the connection, for that is all that says "this was not all" once the head has gone.
    func abort() async {
        eventLoop.execute { connection.value.abort() }
    }

    private func onLoop(_ action: @escaping @Sendable (ConnectionHandler, EventLoopPromise<Void>) -> Void) async throws
    {
        let promise = eventLoop.makePromise(of: Void.self)
        eventLoop.execute { action(connection.value, promise) }
        try await promise.futureResult.get()
    }
}
