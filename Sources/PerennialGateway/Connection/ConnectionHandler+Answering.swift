internal import NIOCore
internal import NIOHTTP1
internal import Perennial
internal import PerennialHTTP

/// Bodies up to this size are copied behind their heads, so that an answer is one write; larger ones are written as they are.
private let smallBody = 16 << 10
/// Large bodies are written in pieces, so that a client that takes them slowly can be told from one that doesn't.
private let pieceOfBody = 256 << 10

extension ConnectionHandler {
    /// Answers with what the memory tier has, if it has what this request may get.
    /// - Parameter fields: `nil`: the request has no conditions.
    func answerFromMemory(_ key: String, _ head: HTTPRequestHead, fields: HeaderFields?) -> Bool {
        let cache = service.responder.cache
        var key = key
        // Looks without effect first: a response made for others must neither count as a hit nor be refreshed for this one.
        guard let first = cache.peek(key)?.value else { return false }
        let request = first.vary.isEmpty ? [:] : fields ?? HeaderFields(head.headers)
        if !first.isSelected(by: request) {
            guard let variant = variantKey(primary: key, varyNames: first.vary, request: request) else { return false }
            key = variant
        }
        guard let answer = cache.lookupInMemory(key), let cached = answer.value,
            cached === first || cached.isSelected(by: fields ?? HeaderFields(head.headers))
        else { return false }
        write(cached, answer, head, fields: fields)
        return true
    }

    private func write(
        _ cached: CachedResponse, _ answer: Answer<CachedResponse>, _ head: HTTPRequestHead, fields: HeaderFields?
    ) {
        let isNotModified =
            fields.map { clientHasCurrent(requestFields: $0, storedFields: cached.fields, status: cached.status) }
            ?? false
        out.writeImmutableBuffer(isNotModified ? cached.notModifiedHead() : cached.head)
        out.writeHitFields(cached, answer, date: loop.date)
        let keepsAlive = keepsAlive(head)
        finishHead(keepsAlive: keepsAlive, isOldVersion: head.isOldVersion)
        if !isNotModified && head.method != .HEAD { writeBody(cached.body) }
        loop.counters.answered(
            answer.state == .fresh ? .hit : .stale, status: isNotModified ? 304 : cached.status, isRead: true)
        if out.readableBytes > 64 << 10 { writeOut() }
        if !keepsAlive { closeWhenWritten() }
    }

    /// Answers with the gateway's own words and closes: what follows such a request can't be trusted to be another.
    func refuse(_ status: Int, _ text: String, detail: String, isRead: Bool) {
        let reply = Reply.own(
            status, text, cacheStatus: CacheStatus(detail: detail), now: service.responder.now)
        out.writeImmutableBuffer(reply.head)
        finishHead(keepsAlive: false, isOldVersion: false)
        out.writeImmutableBuffer(reply.body)
        loop.counters.answered(.error, status: status, isRead: isRead)
        closeWhenWritten()
    }

    // MARK: For tasks

    func finish(with reply: Reply) {
        guard let exchange = beginAnswer(reply.head, status: reply.status, kind: reply.kind) else { return }
        finishHead(keepsAlive: exchange.keepsAlive, isOldVersion: exchange.isOldVersion)
        writeBody(reply.body)
        if !isInRead { writeOut() }
        endExchange()
    }

    func beginStreaming(
        _ head: ByteBuffer, status: Int, kind: Reply.Kind, framing: Framing, promise: EventLoopPromise<Void>
    ) {
        if framing == .untilClose { exchange?.keepsAlive = false }
        guard let exchange = beginAnswer(head, status: status, kind: kind) else {
            return promise.fail(ChannelError.ioOnClosedChannel)
        }
        self.exchange?.framing = framing
        finishHead(keepsAlive: exchange.keepsAlive, isOldVersion: exchange.isOldVersion)
        writeOut(promise: promise)
    }

    func stream(_ piece: ByteBuffer, promise: EventLoopPromise<Void>) {
        guard let framing = exchange?.framing, context != nil, !isClosing else {
            return promise.fail(ChannelError.ioOnClosedChannel)
        }
        // An empty chunk would be the last one.
        if piece.readableBytes == 0 { return promise.succeed() }
        if framing == .chunked {
            out.writeString(String(piece.readableBytes, radix: 16))
            out.writeLineEnd()
        }
        writeOut()
        write(piece, promise: framing == .chunked ? nil : promise)
        if framing == .chunked {
            out.writeLineEnd()
            writeOut(promise: promise)
        } else {
            context?.flush()
        }
    }

    func endStreaming() {
        guard let framing = exchange?.framing else { return }
        exchange?.framing = nil
        if framing == .chunked {
            out.writeStaticString("0\r\n\r\n")
            writeOut()
        }
        endExchange()
    }

    /// Writes the head of the exchange's answer, and settles whether the connection stays open.
    private func beginAnswer(_ head: ByteBuffer, status: Int, kind: Reply.Kind) -> Exchange? {
        guard var exchange, context != nil, !isClosing else { return nil }
        // An answer that comes before its request has ended is the last one: nobody waits for the rest of the request.
        if !exchange.requestHasEnded || inputIsClosed || loop.isDraining { exchange.keepsAlive = false }
        self.exchange = exchange
        loop.counters.answered(kind, status: status, isRead: exchange.isRead)
        out.writeImmutableBuffer(head)
        return exchange
    }

    // MARK: Bytes

    private func finishHead(keepsAlive: Bool, isOldVersion: Bool) {
        if !keepsAlive {
            out.writeStaticString("Connection: close\r\n")
        } else if isOldVersion {
            out.writeStaticString("Connection: keep-alive\r\n")
        }
        out.writeLineEnd()
    }

    private func writeBody(_ body: ByteBuffer) {
        guard body.readableBytes > smallBody else {
            out.writeImmutableBuffer(body)
            return
        }
        var rest = body
        writeOut()
        while let piece = rest.readSlice(length: min(rest.readableBytes, pieceOfBody)), piece.readableBytes > 0 {
            write(piece, promise: nil)
        }
        context?.flush()
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
        context.write(wrapOutboundOut(piece), promise: written)
        written.futureResult.assumeIsolated().whenComplete { _ in
            self.unfinishedWrites -= 1
            self.lastProgress = .now()
        }
    }

    /// Gives what has gathered in `out` to the channel.
    func writeOut(promise: EventLoopPromise<Void>? = nil) {
        guard let context else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        guard out.readableBytes > 0 else {
            promise?.succeed()
            return
        }
        loop.counters.sent(out.readableBytes)
        context.writeAndFlush(wrapOutboundOut(out), promise: promise)
        // Written at once, as it mostly is, the storage is ours again and is used again.
        out.clear()
    }

    /// Closes when everything has been written.
    ///
    /// Closing a socket with unread bytes in it would throw away what the client has not read yet, so the sending side is closed
    /// first, and the rest of what the client sends is read and dropped for a while (RFC 9112 §9.6).
    func closeWhenWritten() {
        guard !isClosing, let context else { return }
        isClosing = true
        loop.counters.sent(out.readableBytes)
        let last = context.eventLoop.makePromise(of: Void.self)
        context.writeAndFlush(wrapOutboundOut(out), promise: last)
        out.clear()
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        last.futureResult.assumeIsolated().whenComplete { result in
            guard let context = self.context else { return }
            guard case .success = result, !self.inputIsClosed else { return context.close(promise: nil) }
            context.close(mode: .output, promise: nil)
            context.eventLoop.scheduleTask(in: .seconds(2)) { bound.value.context?.close(promise: nil) }
            context.read()
        }
    }
}
