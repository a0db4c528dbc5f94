// Answers from the memory tier, and refuses what is no request: on the event loop, at once.

internal import NIOCore
internal import NIOHTTP1
internal import Perennial
internal import PerennialHTTP

extension ConnectionHandler {
    /// Answers a plain request at once, if it is its turn and the memory tier has one response for all who ask.
    /// - Parameter bytes: begin with the head.
    func answerAtOnce(_ head: RequestHead, _ bytes: ByteBuffer) -> Bool {
        guard exchange == nil, self.head == nil, waiting.isEmpty, !isClosing, isWritable, !isSendingPieces,
            unsent.readableBytes == 0, !loop.isLeaving,
            let (_, key) = loop.routes.find(head, in: bytes.readableBytesUInt8Span)
        else { return false }
        let cache = service.responder.cache
        guard cache.peek(key)?.value?.hasVary == false, let answer = cache.lookupInMemory(key),
            let cached = answer.value
        else { return false }
        cached.writeHead(to: &out)
        out.writeHitFields(cached, answer, date: loop.date)
        out.writeLineEnd()
        if !head.isHead { writeBody(of: cached) }
        loop.counters.answered(answer.state == .fresh ? .hit : .stale, status: cached.status, isRead: true)
        if out.readableBytes > 64 << 10 { writeOut() }
        return true
    }

    /// Answers with what the memory tier has, if it has what this request may get.
    /// - Parameters:
    ///   - fields: `nil`: there is nothing in them that matters here.
    ///   - demand: what the request may be answered with; `nil`: what the limits say.
    func answerFromMemory(
        _ key: String, _ head: HTTPRequestHead, _ route: ActiveRoute, fields: HeaderFields?, demand: RequestDemand?
    ) -> Bool {
        let cache = service.responder.cache
        var key = key
        // Looks without effect first: a response made for others must neither count as a hit nor be refreshed for this
        // one.
        guard let first = cache.peek(key)?.value else { return false }
        let request = !first.hasVary ? [:] : fields ?? HeaderFields(head.headers)
        if !first.isSelected(by: request) {
            let variant = service.responder.variant(beside: first, at: key, for: request, demand)
            guard let variant else { return false }
            key = variant
        }
        guard let answer = lookupInMemory(key, route, fields, demand), let cached = answer.value,
            cached.isIdentical(to: first) || cached.isSelected(by: fields ?? HeaderFields(head.headers))
        else { return false }
        write(cached, answer, head, fields: fields)
        return true
    }

    private func lookupInMemory(
        _ key: String, _ route: ActiveRoute, _ fields: HeaderFields?, _ demand: RequestDemand?
    ) -> Answer<CachedResponse>? {
        let responder = service.responder
        guard let demand, let fields else { return responder.cache.lookupInMemory(key) }
        return responder.cache.lookupInMemory(
            key, accepting: responder.acceptance(of: demand, for: fields, route.rules))
    }

    func write(
        _ cached: CachedResponse, _ answer: Answer<CachedResponse>, _ head: HTTPRequestHead, fields: HeaderFields?
    ) {
        let selected = fields.map { cached.selected(by: $0, method: head.method) }
        if let selected { out.writeImmutableBuffer(selected.head) } else { cached.writeHead(to: &out) }
        out.writeHitFields(cached, answer, date: loop.date)
        let keepsAlive = keepsAlive(head)
        finishHead(keepsAlive: keepsAlive, isOldVersion: head.isOldVersion)
        if let selected {
            writeBody(selected.body)
        } else if head.method != .HEAD {
            writeBody(of: cached)
        }
        loop.counters.answered(
            answer.state == .fresh ? .hit : .stale, status: selected?.status ?? cached.status, isRead: true)
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
}
