internal import AsyncHTTPClient
internal import NIOCore

/// The rest of a response's body, as it comes from the origin; read no faster than it is asked for.
///
/// Letting go of it before its end closes the connection to the origin.
///
/// `@unchecked Sendable`: it is read by one task at a time. The fetch that made it stops reading before it hands it
/// over, and ``Handoff`` gives it to one taker.
final class OriginBody: @unchecked Sendable {
    private var iterator: HTTPClientResponse.Body.AsyncIterator
    /// Held: its connections close when nobody has it any more.
    private let client: OriginClient
    private var readAhead: [ByteBuffer] = []

    init(_ body: HTTPClientResponse.Body, of client: OriginClient) {
        self.client = client
        iterator = body.makeAsyncIterator()
    }

    /// The next piece; `nil` at the end.
    /// - Throws: ``OriginBroken`` when the body breaks off.
    @concurrent
    func next() async throws -> ByteBuffer? {
        if !readAhead.isEmpty { return readAhead.removeFirst() }
        do {
            let piece = try await iterator.next()
            // A cancelled read must not look like the end of the body.
            try Task.checkCancellation()
            return piece
        } catch {
            if Task.isCancelled { throw CancellationError() }
            throw OriginBroken(error)
        }
    }

    /// The whole body; `nil` when it is larger than `limit`, and then it can still be read from its start.
    @concurrent
    func collect(limit: Int) async throws -> [UInt8]? {
        var pieces: [ByteBuffer] = []
        var size = 0
        while let piece = try await next() {
            pieces.append(piece)
            size += piece.readableBytes
            if size > limit {
                readAhead = pieces
                return nil
            }
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(size)
        for piece in pieces { bytes += piece.readableBytesView }
        return bytes
    }
}
