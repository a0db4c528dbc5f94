// What tasks write through ``ResponseWriter``, and how bytes get to the channel.

internal import NIOCore
internal import PerennialHTTP

/// Large bodies are written in pieces, so that a client that takes them slowly can be told from one that doesn't.
private let pieceOfBody = 256 << 10

extension ConnectionHandler {
    func finish(with reply: Reply) {
        guard let exchange = beginAnswer(reply.head, status: reply.status, kind: reply.kind) else { return }
        finishHead(keepsAlive: exchange.keepsAlive, isOldVersion: exchange.isOldVersion)
        writeBody(reply.body)
        if !isInRead { writeOut() }
        endExchange(exchange.number)
    }

    /// Sends an interim answer, if the answer itself has not begun (RFC 9110 §15.2). HTTP/1.0 knows none.
    /// - Parameter exchange: the one that it belongs to; a fetch may go on when its reader has been answered.
    func sendInterim(_ status: Int, _ fields: HeaderFields, exchange number: Int) {
        guard let exchange, exchange.number == number, !exchange.answerHasBegun, !exchange.isOldVersion,
            context != nil, !isClosing
        else { return }
        out.writeStatusLine(status)
        out.writeFields(fieldsForClients(of: fields.removingHopByHop()).removing(["content-length"]))
        out.writeVia()
        out.writeLineEnd()
        writeOut()
    }

    func beginStreaming(
        _ head: ByteBuffer, status: Int, kind: Reply.Kind, framing: Framing, promise: EventLoopPromise<Void>
    ) {
        if framing == .untilClose { exchange?.keepsAlive = false }
        guard let exchange = beginAnswer(head, status: status, kind: kind) else {
            return promise.fail(ChannelError.ioOnClosedChannel)
        }
        self.exchange?.framing = framing
        self.exchange?.lastPiece = loop.eventLoop.now
        if framing != .length { loop.unbounded[ObjectIdentifier(self)] = self }
        finishHead(keepsAlive: exchange.keepsAlive, isOldVersion: exchange.isOldVersion)
        writeOut(promise: promise)
    }

    func stream(_ piece: ByteBuffer, promise: EventLoopPromise<Void>) {
        guard let framing = exchange?.framing, context != nil, !isClosing else {
            return promise.fail(ChannelError.ioOnClosedChannel)
        }
        exchange?.lastPiece = loop.eventLoop.now
        // An empty chunk would be the last one.
        if piece.readableBytes == 0 { return promise.succeed() }
        if framing == .chunked {
            out.writeString(String(piece.readableBytes, radix: 16))
            out.writeLineEnd()
        }
        writeOut()
        guard framing == .chunked else {
            write(piece, promise: promise)
            context?.flush()
            return
        }
        write(piece, promise: nil)
        guard context != nil else { return promise.fail(ChannelError.ioOnClosedChannel) }
        out.writeLineEnd()
        writeOut(promise: promise)
    }

    func endStreaming(trailers: HeaderFields) {
        guard let exchange, let framing = exchange.framing else { return }
        self.exchange?.framing = nil
        if framing == .chunked {
            out.writeStaticString("0\r\n")
            out.writeFields(trailers)
            out.writeLineEnd()
            writeOut()
        } else if isStream && !trailers.isEmpty {
            context?.triggerUserOutboundEvent(HTTP2Stream.Trailers(fields: trailers), promise: nil)
        }
        endExchange(exchange.number)
    }

    /// Writes the head of the exchange's answer, and settles whether the connection stays open.
    func beginAnswer(_ head: ByteBuffer, status: Int, kind: Reply.Kind) -> Exchange? {
        guard var exchange, context != nil, !isClosing else { return nil }
        // An answer that comes before its request has ended is the last one: nobody waits for the rest of the request.
        if !exchange.requestHasEnded || inputIsClosed && waiting.isEmpty || loop.isLeaving {
            exchange.keepsAlive = false
        }
        exchange.answerHasBegun = true
        self.exchange = exchange
        loop.counters.answered(kind, status: status, isRead: exchange.isRead)
        out.writeImmutableBuffer(head)
        return exchange
    }

    func finishHead(keepsAlive: Bool, isOldVersion: Bool) {
        if !keepsAlive {
            out.writeStaticString("Connection: close\r\n")
        } else if isOldVersion {
            out.writeStaticString("Connection: keep-alive\r\n")
        }
        out.writeLineEnd()
    }

    func writeBody(of cached: CachedResponse) {
        if let large = cached.writeSmallBody(to: &out) { writeBody(large) }
    }

    func writeBody(_ body: ByteBuffer) {
        guard body.readableBytes > CachedResponse.smallBody else {
            out.writeImmutableBuffer(body)
            return
        }
        // Known before anything is written: what is written may come back here, and nothing else may get between the
        // two.
        unsent = body
        writeOut()
        sendPieces()
        if unsent.readableBytes > 0 { loop.heldBodies.hold(unsent, for: self) }
    }

    /// Gives pieces of what is unsent to the channel as long as the client takes them: behind TLS and in HTTP/2 each is
    /// copied.
    func sendPieces() {
        guard unsent.readableBytes > 0, !isSendingPieces else { return }
        isSendingPieces = true
        while let context, context.channel.isWritable, unsent.readableBytes > 0,
            let piece = unsent.readSlice(length: min(unsent.readableBytes, pieceOfBody))
        {
            write(piece, promise: nil)
            context.flush()
        }
        isSendingPieces = false
        guard unsent.readableBytes == 0 else { return }
        // The body belongs to the cache, which may want to let go of it.
        unsent = ByteBuffer()
        loop.heldBodies.letGo(of: self)
        if closesWhenSent { closeWhenWritten() }
    }

    /// Gives a piece of a body to the channel and notes when the client has taken it.
    private func write(_ piece: ByteBuffer, promise: EventLoopPromise<Void>?) {
        guard let context else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        let written = promise ?? context.eventLoop.makePromise(of: Void.self)
        unfinishedWrites += 1
        loop.counters.sent(piece.readableBytes)
        written.futureResult.assumeIsolated().whenComplete { _ in
            self.unfinishedWrites -= 1
            self.noteProgress()
        }
        context.write(wrapOutboundOut(piece), promise: written)
    }

    /// Gives what has gathered in `out` to the channel.
    /// - Parameter evenNothing: there must be a write for the promise, which is kept behind all those before it.
    func writeOut(promise: EventLoopPromise<Void>? = nil, evenNothing: Bool = false) {
        guard let context else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        guard out.readableBytes > 0 || evenNothing else {
            promise?.succeed()
            return
        }
        var bytes = ByteBuffer()
        swap(&bytes, &out)
        loop.counters.sent(bytes.readableBytes)
        context.writeAndFlush(wrapOutboundOut(bytes), promise: promise)
        // Written at once, as it mostly is, the storage is ours again and is used again.
        guard out.capacity == 0, self.context != nil else { return }
        bytes.clear()
        out = bytes
    }
}
