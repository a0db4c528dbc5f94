internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import Perennial
internal import PerennialHTTP

/// Answers the requests that the memory tier alone could not, each in a task of its own.
///
/// A HEAD for which nothing is stored fetches as a GET does, and the response is stored: the next HEAD, and the GET
/// that mostly follows, find it.
struct Responder: Sendable {
    let responses: ResponseCache
    let logger: Logger
    /// Who may remove what is stored; empty: PURGE is a method like any other.
    let purgers: [AddressRange]

    var cache: Cache<String, CachedResponse> { responses.cache }
    var now: Timestamp { responses.time.now }
    /// Of the clock that nobody sets.
    var steady: Timestamp { responses.time.steady }

    /// Answers through `writer`, whatever happens.
    func respond(to request: ClientRequest, plan: Plan, through writer: ResponseWriter) async {
        if request.route.route.origin.via.timesPassed(request.fields) >= 8 {
            let text = "This request has come through here many times: the gateway's origin leads back to the gateway."
            return await writer.finish(
                with: .own(508, text, cacheStatus: CacheStatus(detail: "loop"), now: now, isHead: request.isHead))
        }
        if isPurge(request) { return await writer.finish(with: purge(request)) }
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

    /// The answer to OPTIONS and TRACE requests that may go no further: about the gateway itself (RFC 9112 §3.2.4), or
    /// with a `Max-Forwards` that is used up (RFC 9110 §7.6.2). Others get their `Max-Forwards` counted down.
    ///
    /// A TRACE is not reflected: what a client may not see of its own request (a cookie) could be read from that
    /// (§9.3.8).
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

    /// Follows the address's stored responses to the one that was made for this request, asking the origin on the way.
    private func answerFromCache(
        _ request: ClientRequest, _ demand: RequestDemand?, _ writer: ResponseWriter
    ) async {
        let wantsPart = asksForRange(method: request.method.rawValue, fields: request.fields)
        var key = request.key
        if let variant = variantBesideStored(request, demand) { key = variant }
        // More steps than two mean that the origin names other fields in `Vary` each time.
        for _ in 0..<4 {
            let status = CacheStatus(forward: key == request.key ? .uriMiss : .varyMiss)
            guard !responses.unstorable.contains(key, now: steady) || cache.peek(key) != nil else {
                return await passThrough(request, status.with(detail: "not-stored"), writer, unstorable: key)
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
                return await writer.finish(
                    with: failure(error, status, request, isOwn: handoff.originStatus != nil))
            }
            guard answer.isShared else {
                guard let response = handoff.close() else {
                    return await passThrough(request, status.with(detail: "not-stored"), writer, unstorable: key)
                }
                return await send(response, status, to: request, writer)
            }
            guard let cached = answer.value else {
                return await writer.finish(
                    with: .own(404, "There is no such thing here.", cacheStatus: status, now: now))
            }
            if cached.isSelected(by: request.fields) {
                return await writer.finish(with: reply(cached, answer, status, handoff, request))
            }
            let variant = variant(beside: cached, at: request.key, for: request.fields, demand)
            guard let variant, variant != key else { break }
            key = variant
        }
        await passThrough(request, CacheStatus(forward: .varyMiss, detail: "not-stored"), writer)
    }

    private func lookup(
        _ key: String, for request: ClientRequest, _ demand: RequestDemand?, _ handoff: Handoff
    ) async throws -> Answer<CachedResponse> {
        let reader = OriginFetch.Reader(
            fields: request.fields, isHead: request.isHead, directives: demand?.forwarded, handoff: handoff,
            extras: request.extras, eventLoop: request.eventLoop)
        let ask: Fetch<String, CachedResponse> = { [route = request.route] key, context in
            try await route.fetch.fetch(key, context, for: reader)
        }
        guard let demand else { return try await cache.lookup(key, answering: ask) }
        return try await cache.lookup(
            key, accepting: acceptance(of: demand, for: request.fields, request.route.rules), answering: ask)
    }

    func reply(
        _ cached: CachedResponse, _ answer: Answer<CachedResponse>, _ missStatus: CacheStatus, _ handoff: Handoff?,
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
            if answer.state != .missing, !answer.isCollapsed { status.forwardStatus = handoff?.originStatus }
            var served = Served(answer, status)
            served.ownFields = handoff?.ownFields ?? [:]
            return Reply(cached, served, kind: .miss, request: request)
        }
        let status = CacheStatus(
            hit: true, timeToLive: answer.freshness.map { timeToLive($0, now: answer.answeredAt) },
            detail: answer.detail?.description)
        return Reply(
            cached, Served(answer, status), kind: answer.state == .fresh ? .hit : .stale, request: request)
    }

    /// The answer when there is nothing to serve.
    /// - Parameter isOwn: whether this request brought the origin's answer. What one request brought on itself is not
    ///   for others: there may be cookies in it.
    func failure(_ error: any Error, _ status: CacheStatus, _ request: ClientRequest, isOwn: Bool) -> Reply {
        func own(_ code: Int, _ text: String, detail: String, retryAfter: Duration? = nil) -> Reply {
            .own(
                code, text, cacheStatus: status.with(detail: detail), now: now, retryAfter: retryAfter,
                isHead: request.isHead)
        }
        switch error {
        case let refusal as OriginRefusal where isOwn:
            return Reply(refusal, status: status, isHead: request.isHead)
        case let refusal as OriginRefusal:
            var status = status
            status.forwardStatus = refusal.response.status
            return .own(
                refusal.response.status, "The server behind this gateway can't answer now. Try again in a moment.",
                cacheStatus: status, now: now, retryAfter: refusal.retryAfter, isHead: request.isHead)
        case let broken as OriginBroken:
            let (code, text) = broken.reason.forClients
            let retryAfter: Duration? = code == 503 ? .seconds(1) : nil
            return own(code, text, detail: broken.reason.rawValue, retryAfter: retryAfter)
        case is FetchTimeout:
            let reason = OriginBroken.Reason.responseTimeout
            return own(504, reason.forClients.text, detail: reason.rawValue)
        case let unavailable as OriginUnavailable:
            return own(
                503,
                "The server behind this gateway has been failing and is left alone for a moment. Try again later.",
                detail: "origin-unavailable", retryAfter: unavailable.retryAt - now)
        default:
            return own(502, OriginBroken.Reason.responseIncomplete.forClients.text, detail: "origin-broken")
        }
    }
}

extension OriginBroken.Reason {
    /// What a client is told: whether and when to come back, and nothing about the origin.
    fileprivate var forClients: (status: Int, text: String) {
        switch self {
        case .dnsError, .connectionRefused, .destinationUnroutable, .tlsProtocolError, .tlsCertificateError:
            (502, "The server behind this gateway can't be reached. Try again in a moment.")
        case .connectionTimeout, .writeTimeout, .readTimeout, .responseTimeout:
            (504, "The server behind this gateway did not answer in time. Try again later.")
        case .connectionLimit, .memoryLimit:
            (503, "There are too many requests to the server behind this gateway. Try again in a moment.")
        case .connectionTerminated, .responseIncomplete, .protocolError:
            (502, "The server behind this gateway gave an answer that broke off or can't be read. Try again.")
        }
    }
}

extension CacheStatus {
    func with(detail: String) -> CacheStatus {
        var status = self
        status.detail = detail
        return status
    }
}
