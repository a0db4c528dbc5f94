// How a connection ends: behind its last answer, when it is idle for too long, or at once.

internal import NIOCore

extension ConnectionHandler {
    /// No more requests: closes now if nothing is being answered, else behind the answer.
    func drain() {
        if exchange != nil {
            exchange?.keepsAlive = false
        } else if unsent.readableBytes > 0 {
            closesWhenSent = true
        } else if head == nil && waiting.isEmpty {
            closeBehindWrites()
        }
    }

    /// No more requests: closes when the channel has given away what it has.
    private func closeBehindWrites() {
        guard let context, !isClosing else { return }
        isClosing = true
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { _ in self.context?.close(promise: nil) }
        writeOut(promise: written, evenNothing: true)
    }

    /// Closes at once, whatever is going on.
    func abort() {
        isClosing = true
        context?.close(promise: nil)
    }

    /// Breaks off an answer that has no end in sight: it has no length, and nothing has come of it since `moment`.
    func endIfQuiet(since moment: NIODeadline) {
        guard let exchange, exchange.framing != nil, exchange.lastPiece <= moment, unfinishedWrites == 0 else { return }
        abort()
    }

    func cancelTimers() {
        for timer in [idleTimer, headTimer, closeTimer, uploadTimer] { timer?.cancel() }
        (idleTimer, headTimer, closeTimer, uploadTimer) = (nil, nil, nil, nil)
    }

    func startIdleTimer(in delay: TimeAmount) {
        idleTimer = loop.eventLoop.assumeIsolated().scheduleTask(in: delay) { self.checkIdle() }
    }

    /// Closes when it is the client's turn and has been for too long.
    private func checkIdle() {
        let isClientsTurn = exchange.map { !$0.requestHasEnded && !bodyIsFull || unfinishedWrites > 0 } ?? true
        let now = loop.eventLoop.now
        if !isClientsTurn { lastProgress = now }
        let left = lastProgress + service.idleTimeout - now
        if left <= .nanoseconds(0) { abort() } else { startIdleTimer(in: left) }
    }

    /// A part of a request's head has come: from its first byte on it may take so long and no longer, or who sends a
    /// byte now and then could hold as many connections as there are.
    func headIsPartial() {
        guard headTimer == nil, !isClosing else { return }
        headTimer = loop.eventLoop.assumeIsolated().scheduleTask(in: service.headTimeout) {
            self.headTimer = nil
            self.headIsLate()
        }
    }

    func headIsWhole() {
        guard let timer = headTimer else { return }
        timer.cancel()
        headTimer = nil
    }

    private func headIsLate() {
        guard context != nil, !isClosing else { return }
        // While something before it is being answered, it is not the client who is slow.
        guard exchange == nil, waiting.isEmpty, head == nil, unsent.readableBytes == 0 else { return headIsPartial() }
        refuse(408, "The request's first lines did not come in time.", detail: "request-timeout", isRead: true)
    }

    /// Closes when everything has been written.
    ///
    /// Closing a socket with unread bytes in it would throw away what the client has not read yet, so the sending side
    /// is closed first, and the rest of what the client sends is read and dropped for a while (RFC 9112 §9.6).
    func closeWhenWritten() {
        guard !isClosing, let context else { return }
        if isSendingPieces || unsent.readableBytes > 0 {
            closesWhenSent = true
            return
        }
        isClosing = true
        if isStream {
            writeOut()
            context.close(mode: .output, promise: nil)
            return readOn()
        }
        let last = context.eventLoop.makePromise(of: Void.self)
        last.futureResult.assumeIsolated().whenComplete { result in
            guard let context = self.context else { return }
            guard case .success = result, !self.inputIsClosed else { return context.close(promise: nil) }
            self.closeTimer = self.loop.eventLoop.assumeIsolated().scheduleTask(in: .seconds(2)) {
                self.context?.close(promise: nil)
            }
            context.close(mode: .output, promise: nil)
            self.context?.read()
        }
        writeOut(promise: last, evenNothing: true)
    }
}
