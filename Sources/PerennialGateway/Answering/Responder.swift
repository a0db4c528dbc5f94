internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import Perennial
internal import PerennialHTTP

/// Answers the requests that the memory tier alone could not, each in a task of its own.
///
/// A HEAD for which nothing is stored fetches as a GET does, and the response is stored: the next HEAD, and the GET that
/// mostly follows, find it.
struct Responder: Sendable {
    let responses: ResponseCache
    let logger: Logger

    var cache: Cache<String, CachedResponse> { responses.cache }
    var now: Timestamp { responses.time.now }

    /// Answers through `writer`, whatever happens.
    func respond(to request: ClientRequest, plan: Plan, through writer: ResponseWriter) async {
        if timesPassed(request.fields) >= 8 {
            let text = "This request has come through here many times: the gateway's origin leads back to the gateway."
            return await writer.finish(
                with: .own(508, text, cacheStatus: CacheStatus(detail: "loop"), now: now, isHead: request.isHead))
        }
        var request = request
        if let reply = ownAnswer(to: &request) { return await writer.finish(with: reply) }
        switch plan {
        case .cache(let demand?) where demand.onlyIfCached, .keepNothing(let demand?) where demand.onlyIfCached:
            await answerFromStored(request, demand, writer)
        case .cache(let demand): await answerFromCache(request, demand, writer)
        case .keepNothing: await passThrough(request, CacheStatus(forward: .request), writer)
        case .refuse: await refuse(request, writer)
        case .pass(let forward, let detail):
            await passThrough(request, CacheStatus(forward: forward, detail: detail), writer)
        }
    }

    /// The answer to OPTIONS and TRACE requests that may go no further: about the gateway itself (RFC 9112 §3.2.4), or with a
    /// `Max-Forwards` that is used up (RFC 9110 §7.6.2). Others get their `Max-Forwards` counted down.
    ///
    /// A TRACE is not reflected: what a client may not see of its own request (a cookie) could be read from that (§9.3.8).
    private func ownAnswer(to request: inout ClientRequest) -> Reply? {
        guard request.method == .OPTIONS || request.method == .TRACE else { return nil }
        func own(_ status: Int, _ text: String) -> Reply {
            .own(
                status, text, cacheStatus: CacheStatus(detail: status == 400 ? "bad-request" : "max-forwards"),
                now: now,
                allow: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
        }
        let limit = request.key == ClientRequest.serverItself ? .exhausted : MaxForwards(request.fields)
        switch limit {
        case .unlimited: return nil
        case .invalid: return own(400, "The request's Max-Forwards is not a number.")
        case .exhausted where request.method == .TRACE: return own(405, "This gateway reflects no requests.")
        case .exhausted: return own(200, "This gateway passes on what it can't answer itself.")
        case .goOn(let left):
            request.fields.set("Max-Forwards", to: String(left))
            return nil
        }
    }

    /// How often a request has been through a gateway, by its `Via`.
    private func timesPassed(_ fields: HeaderFields) -> Int {
        fields["Via"].map { $0.split(separator: ",").filter { $0.hasSuffix(" perennial") }.count } ?? 0
    }

    /// Follows the address's stored responses to the one that was made for this request, asking the origin on the way.
    private func answerFromCache(
        _ request: ClientRequest, _ demand: RequestDemand?, _ writer: ResponseWriter
    ) async {
        let wantsPart = asksForRange(method: request.method.rawValue, fields: request.fields)
        var key = request.key
        if let variant = variantBesideStored(request) { key = variant }
        // More steps than two mean that the origin names other fields in `Vary` each time.
        for _ in 0..<4 {
            let status = CacheStatus(forward: key == request.key ? .uriMiss : .varyMiss)
            guard !responses.unstorable.contains(key, now: now) || cache.peek(key) != nil else {
                return await passThrough(request, status.with(detail: "not-stored"), writer)
            }
            // To ask for the whole, of a size nobody knows, is no answer to who wants a part of it.
            if wantsPart, await cache.lookupStored(key, accepting: { $0.value != nil }) == nil {
                return await passThrough(request, status.with(detail: "range"), writer)
            }
            let handoff = Handoff()
            defer { _ = handoff.close() }
            let answer: Answer<CachedResponse>
            do {
                answer = try await lookup(key, for: request, demand, handoff)
            } catch {
                let isDemanded = demand != nil && cache.peek(key) != nil
                let status = isDemanded ? CacheStatus(forward: .request) : status
                return await writer.finish(with: failure(error, status, request))
            }
            guard answer.isShared else {
                guard let response = handoff.close() else {
                    return await passThrough(request, status.with(detail: "not-stored"), writer)
                }
                return await send(response, status, to: request, writer)
            }
            guard let cached = answer.value else {
                return await writer.finish(
                    with: .own(404, "There is no such thing here.", cacheStatus: status, now: now))
            }
            if cached.isSelected(by: request.fields) {
                return await writer.finish(with: reply(cached, answer, status, handoff.originStatus, request))
            }
            let variant = variantKey(primary: request.key, varyNames: cached.vary, request: request.fields)
            guard let variant, variant != key else { break }
            key = variant
        }
        await passThrough(request, CacheStatus(forward: .varyMiss, detail: "not-stored"), writer)
    }

    private func lookup(
        _ key: String, for request: ClientRequest, _ demand: RequestDemand?, _ handoff: Handoff
    ) async throws -> Answer<CachedResponse> {
        let reader = OriginFetch.Reader(
            fields: request.fields, directives: demand?.forwarded, handoff: handoff, extras: request.extras)
        let ask: Fetch<String, CachedResponse> = { [route = request.route] key, context in
            try await route.fetch.fetch(key, context, for: reader)
        }
        guard let demand else { return try await cache.lookup(key, answering: ask) }
        return try await cache.lookup(
            key, accepting: acceptance(of: demand, for: request.fields, request.route.rules), answering: ask)
    }

    func reply(
        _ cached: CachedResponse, _ answer: Answer<CachedResponse>, _ missStatus: CacheStatus, _ originStatus: Int?,
        _ request: ClientRequest
    ) -> Reply {
        if answer.source == .origin {
            var status = missStatus
            switch answer.state {
            case .expired: status.forward = .stale
            // It could have been served, but was not what the request wanted.
            case .fresh, .stale: status.forward = .request
            case .missing: break
            }
            status.collapsed = answer.isCollapsed
            status.stored = !answer.isCollapsed
            if answer.state != .missing, !answer.isCollapsed { status.forwardStatus = originStatus }
            return Reply(cached, Served(answer, status), kind: .miss, request: request)
        }
        let status = CacheStatus(
            hit: true, timeToLive: answer.freshness.map { timeToLive($0, now: answer.answeredAt) },
            detail: answer.detail?.description)
        return Reply(
            cached, Served(answer, status), kind: answer.state == .fresh ? .hit : .stale, request: request)
    }

    /// The answer when there is nothing to serve.
    func failure(_ error: any Error, _ status: CacheStatus, _ request: ClientRequest) -> Reply {
        func own(_ code: Int, _ text: String, detail: String, retryAfter: Duration? = nil) -> Reply {
            .own(
                code, text, cacheStatus: status.with(detail: detail), now: now, retryAfter: retryAfter,
                isHead: request.isHead)
        }
        switch error {
        case let refusal as OriginRefusal:
            return Reply(refusal, status: status, isHead: request.isHead)
        case let broken as OriginBroken where broken.kind == .unreachable:
            return own(
                502, "The server behind this gateway can't be reached. Try again in a moment.",
                detail: "origin-unreachable")
        case let broken as OriginBroken where broken.kind == .unsendable:
            return own(
                400, "This request can't be sent on as it is. Check its address and fields.", detail: "unsendable")
        case let broken as OriginBroken where broken.kind == .timedOut:
            return timedOut(own)
        case is FetchTimeout:
            return timedOut(own)
        case let unavailable as OriginUnavailable:
            return own(
                503,
                "The server behind this gateway has been failing and is left alone for a moment. Try again later.",
                detail: "origin-unavailable", retryAfter: unavailable.retryAt - now)
        default:
            return own(
                502, "The server behind this gateway gave an answer that broke off or can't be read. Try again.",
                detail: "origin-broken")
        }
    }

    private func timedOut(_ own: (Int, String, String, Duration?) -> Reply) -> Reply {
        own(504, "The server behind this gateway did not answer in time. Try again later.", "origin-timeout", nil)
    }
}

extension CacheStatus {
    func with(detail: String) -> CacheStatus {
        var status = self
        status.detail = detail
        return status
    }
}
