// Connections that carry another protocol once the origin has agreed to it (RFC 9110 §7.8): the request's body and the
// answer's are then the bytes of each side, without any framing and with the back pressure that bodies have.

internal import NIOCore
internal import NIOHTTP1
internal import PerennialHTTP

extension ConnectionHandler {
    /// What a request wants its connection to be changed to, with what the client will send then; `nil`: nothing that is
    /// tunnelled. Streams of HTTP/2 can't be changed.
    func tunnel(for head: HTTPRequestHead, _ fields: HeaderFields) -> (Tunnel, RequestBody.Producer.Source)? {
        guard !isStream, !head.isOldVersion, !loop.isLeaving,
            let name = tunnelledProtocol(method: head.method.rawValue, fields: fields)
        else { return nil }
        let bound = NIOLoopBound(self, eventLoop: loop.eventLoop)
        let (bytes, source) = RequestBody.make(
            length: nil, demand: RequestBodyDemand(eventLoop: loop.eventLoop, connection: bound))
        return (Tunnel(name: name, bytes: bytes), source)
    }

    /// The origin has agreed: sends its 101. What the client sends from now on goes to the origin; what comes from there
    /// follows with ``stream(_:promise:)``.
    func beginTunnel(_ head: ByteBuffer, promise: EventLoopPromise<Void>) {
        // What has come before the client could know of it was taken for requests, and is none.
        guard exchange?.body != nil, waiting.isEmpty, self.head == nil, let context, !isClosing,
            let decoder = try? context.pipeline.syncOperations.handler(type: RequestDecoder.self),
            decoder.becomeTunnel(), beginAnswer(head, status: 101, kind: .pass) != nil
        else {
            abort()
            return promise.fail(ChannelError.ioOnClosedChannel)
        }
        headIsWhole()
        exchange?.isTunnel = true
        exchange?.requestHasEnded = false
        exchange?.keepsAlive = false
        exchange?.framing = .untilClose
        exchange?.lastPiece = loop.eventLoop.now
        loop.unbounded[ObjectIdentifier(self)] = self
        loop.counters.tunnelOpened()
        out.writeLineEnd()
        writeOut(promise: promise)
        readOn()
    }

    /// The client sends nothing more; what the origin still has goes on to it.
    func endTunnelsInput() {
        exchange?.requestHasEnded = true
        bodyIsFull = false
        exchange?.body?.finish()
    }
}
