internal import Perennial
internal import PerennialHTTP

// Requests that say what they may be answered with.

extension Responder {
    /// Whether what is stored may answer a request with this demand.
    func acceptance(
        of demand: RequestDemand, for fields: HeaderFields, _ rules: ResponseRules
    ) -> Acceptance<CachedResponse> {
        // The operator's limits hold for all clients.
        let originRules = if case .origin = rules.freshness { true } else { false }
        return { answer in
            guard let cached = answer.value, let freshness = answer.freshness else { return false }
            // Made for other requests, it does but show by what fields to look on.
            guard cached.isSelected(by: fields) else {
                return demand.onlyIfCached || answer.state != .expired || answer.note != nil
            }
            let permitsStale = originRules && permitsStale(cached.fields)
            return answer.note == nil
                ? demand.accepts(freshness, permitsStale: permitsStale, at: answer.answeredAt)
                : demand.acceptsOnError(freshness, permitsStale: permitsStale, at: answer.answeredAt)
        }
    }

    /// Answers with what is stored, or not at all (RFC 9111 §5.2.1.7).
    func answerFromStored(_ request: ClientRequest, _ demand: RequestDemand, _ writer: ResponseWriter) async {
        let accepts = acceptance(of: demand, for: request.fields, request.route.rules)
        var key = request.key
        for _ in 0..<4 {
            guard let answer = await cache.lookupStored(key, accepting: accepts), let cached = answer.value else {
                break
            }
            if cached.isSelected(by: request.fields) {
                return await writer.finish(with: reply(cached, answer, CacheStatus(), nil, request))
            }
            let variant = variantKey(primary: request.key, varyNames: cached.vary, request: request.fields)
            guard let variant, variant != key else { break }
            key = variant
        }
        await refuse(request, writer)
    }

    func refuse(_ request: ClientRequest, _ writer: ResponseWriter) async {
        let text =
            "Nothing is stored here that this request may get, and it asks that nobody else be asked (only-if-cached)."
        await writer.finish(
            with: .own(
                504, text, cacheStatus: CacheStatus(detail: "only-if-cached"), now: now, isHead: request.isHead))
    }
}
