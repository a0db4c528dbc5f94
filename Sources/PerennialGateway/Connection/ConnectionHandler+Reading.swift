// Takes what comes in, in its order, and no faster than it is dealt with.

internal import NIOCore
internal import NIOHTTP1
internal import PerennialHTTP

extension ConnectionHandler {
    /// Whether there is enough to do before more is read.
    var isHolding: Bool {
        if isClosing { return false }
        if !waiting.isEmpty || bodyIsFull { return true }
        // A look into the store is over before it would be worth telling the system not to read.
        return exchange?.requestHasEnded == true && exchange?.stored == nil
    }

    func readOn() {
        guard readIsHeld, !isHolding, let context else { return }
        readIsHeld = false
        context.read()
    }

    func bodyIsWanted() {
        bodyIsFull = false
        if exchange?.uploadRate != nil {
            exchange?.uploadRate?.resume(loop.eventLoop.now)
            watchUpload()
        }
        readOn()
    }

    func enqueue(_ inbound: Inbound) {
        if waiting.isEmpty && canTake { take(inbound) } else if !isClosing { waiting.append(inbound) }
    }

    /// Whether the next thing that came can be looked at: nothing is being answered, or it belongs to that; and the
    /// client takes what it gets.
    private var canTake: Bool {
        if isClosing || isSendingPieces || unsent.readableBytes > 0 { return false }
        if let exchange { return !exchange.requestHasEnded }
        return context?.channel.isWritable ?? false
    }

    func takeWaiting() {
        while canTake, let next = waiting.popFirst() { take(next) }
        if !isInRead { writeOut() }
        if inputIsClosed && waiting.isEmpty {
            if exchange == nil { closeWhenWritten() } else if exchange?.requestHasEnded == false { abort() }
        }
        readOn()
    }

    private func take(_ inbound: Inbound) {
        switch inbound {
        case .malformed(let error):
            if exchange != nil { return breakOff(error) }
            refuse(error.status, error.reason, detail: "bad-request", isRead: true)
        case .part(.head(let head)):
            if hasBody(head.headers) { dispatch(head, hasEnded: false) } else { self.head = head }
        case .part(.body(let piece)):
            guard let body = exchange?.body else { return }
            exchange?.bodySize += piece.readableBytes
            exchange?.uploadRate?.note(piece.readableBytes)
            if let exchange, !exchange.isTunnel, exchange.bodySize > service.maxRequestBody {
                return breakOff(RequestSyntaxError(413, tooLarge(service.maxRequestBody)))
            }
            if case .stopProducing = body.yield(piece) {
                bodyIsFull = true
                exchange?.uploadRate?.pause(loop.eventLoop.now)
            }
        case .part(.end(let trailers)):
            if let head {
                self.head = nil
                dispatch(head, hasEnded: true)
            } else if exchange != nil {
                exchange?.requestHasEnded = true
                endUpload()
                if let trailers { exchange?.extras?.take(requestTrailers: HeaderFields(trailers)) }
                exchange?.body?.finish()
                bodyIsFull = false
            }
        }
    }
}
