internal import NIOCore
internal import NIOHTTP1
internal import Perennial
internal import PerennialHTTP

/// How the cache asks the origin: conditionally where it can, and with HTTP's rules on what comes back.
struct OriginFetch: Sendable {
    /// The reader whose request makes the cache ask; a refresh has none.
    struct Reader: Sendable {
        /// The request's fields as the client sent them.
        var fields: HeaderFields
        /// `Cache-Control` to ask with, for caches before the origin.
        var directives: String?
        var handoff: Handoff
        /// Is told of interim answers.
        var extras: MessageExtras
    }

    let origin: Origin
    let rules: ResponseRules
    let client: OriginClient
    let unstorable: UnstorableKeys
    let time: any TimeSource

    /// No origin explains a failure at greater length.
    private var maxRefusal: Int { min(rules.maxBody, 1 << 20) }
    private var mode: FreshnessMode { rules.effectiveFreshness }

    /// - Parameter reader: `nil`: repeats what the stored response was chosen by, or what the key says.
    func fetch(
        _ key: String, _ context: FetchContext<CachedResponse>, for reader: Reader?
    ) async throws -> Fetched<CachedResponse> {
        let previous = context.previous?.value
        let request = reader?.fields ?? previous?.requestFields ?? selectingFields(ofKey: key)
        if let previous, let validator = context.previous?.validator, previous.isSelected(by: request) {
            let conditions = conditionalFields(for: validator)
            let (response, times) = try await ask(key, request, conditions, reader)
            guard response.status == 304 else {
                return try await take(response, times, key: key, request: request, previous: previous, reader: reader)
            }
            if confirms(stored: previous.fields, by304: response.fields) {
                reader?.handoff.originStatus = 304
                return confirm(previous, by: response, times, key: key, request: request, reader: reader)
            }
        }
        let (response, times) = try await ask(key, request, [:], reader)
        return try await take(response, times, key: key, request: request, previous: previous, reader: reader)
    }

    private func ask(
        _ key: String, _ request: HeaderFields, _ conditions: HeaderFields, _ reader: Reader?
    ) async throws -> (OriginClient.Response, (requested: Timestamp, received: Timestamp)) {
        var fields = sharedFields(
            of: request.removing(rules.vary.ignored), allowances: rules.allowances, originFields: origin.fields)
        for condition in conditions { fields.set(condition.name, to: condition.value) }
        if let directives = reader?.directives { fields.set("Cache-Control", to: directives) }
        let requested = time.now
        var response = try await client.send(.GET, primaryKey(of: key), fields, extras: reader?.extras)
        // A "not modified" that says nothing of it leaves what is stored as it is.
        if response.status != 304 || response.fields.contains("Vary") {
            response.fields = rules.vary.applied(to: response.fields)
        }
        return (response, (requested, time.now))
    }

    /// The origin says that what was stored is still right.
    private func confirm(
        _ previous: CachedResponse, by response: OriginClient.Response,
        _ times: (requested: Timestamp, received: Timestamp), key: String, request: HeaderFields, reader: Reader?
    ) -> Fetched<CachedResponse> {
        let merged = mergeNotModified(
            stored: previous.fields, from304: response.fields, receivedAt: times.received, allowances: rules.allowances)
        var described = merged
        described["Age"] = response.fields["Age"]
        let origin = OriginResponse(
            status: previous.status, fields: described, requestedAt: times.requested, receivedAt: times.received)
        if case .doNotStore(let reason) = storability(of: origin, request) {
            let body = UnsharedResponse.Body.whole(previous.body)
            return notStored(
                UnsharedResponse(status: previous.status, fields: described, body: body, reason: reason.rawValue),
                key: key, reader: reader)
        }
        let freshness = freshness(of: origin, mode: mode)
        if merged.removing(["date"]).sameFields(as: previous.fields.removing(["date"])) {
            return .notModified(
                limits: freshness.limits, tags: tags(ofKey: key, merged), validator: validator(from: merged),
                age: freshness.initialAge)
        }
        // The 304 may name other fields in `Vary`: what it says holds for the request that it answers.
        let updated = previous.updated(
            fields: merged, requestFields: refreshFields(of: request, vary: Vary(merged)))
        return .value(
            updated, limits: freshness.limits, tags: tags(ofKey: key, merged),
            validator: validator(from: merged), age: freshness.initialAge)
    }

    /// The origin says something new.
    private func take(
        _ response: OriginClient.Response, _ times: (requested: Timestamp, received: Timestamp), key: String,
        request: HeaderFields, previous: CachedResponse?, reader: Reader?
    ) async throws -> Fetched<CachedResponse> {
        reader?.handoff.originStatus = response.status
        // Nobody asked for a "not modified".
        if response.status == 304 { throw OriginBroken(.incomplete) }
        let origin = OriginResponse(
            status: response.status, fields: response.fields, requestedAt: times.requested,
            receivedAt: times.received)
        let decision = storability(of: origin, request)
        if isFailure(response.status) || decision != .store && response.status >= 400 && previous?.isGood == true {
            throw try await refusal(response, now: times.received)
        }
        func unshared(_ reason: String) -> Fetched<CachedResponse> {
            notStored(
                UnsharedResponse(
                    status: response.status, fields: response.fields, body: .stream(response.body), reason: reason),
                key: key, reader: reader)
        }
        if case .doNotStore(let reason) = decision { return unshared(reason.rawValue) }
        let announced = response.fields.first("Content-Length").flatMap { Int($0) } ?? 0
        guard announced <= rules.maxBody, let body = try await response.body.collect(limit: rules.maxBody) else {
            return unshared("too-large")
        }
        return keep(origin, body, key: key, request: request)
    }

    /// What somebody else asked the origin for.
    /// - Parameter request: what was asked with.
    /// - Returns: what to save, or why it may not be saved.
    func accept(
        _ response: OriginResponse, _ body: [UInt8], key: String, request: HeaderFields
    ) -> Result<Fetched<CachedResponse>, NotAccepted> {
        var response = response
        response.fields = rules.vary.applied(to: response.fields)
        if isFailure(response.status) {
            return .failure(NotAccepted(reason: "a status of \(response.status) is a failure, and replaces nothing"))
        }
        if case .doNotStore(let reason) = storability(of: response, request) {
            return .failure(NotAccepted(reason: "the answer may not be kept: \(reason.rawValue)"))
        }
        return .success(keep(response, body, key: key, request: request))
    }

    private func keep(
        _ response: OriginResponse, _ body: [UInt8], key: String, request: HeaderFields
    ) -> Fetched<CachedResponse> {
        let vary = Vary(response.fields)
        let stored = StoredResponse(
            status: response.status, fields: fieldsToStore(of: response.fields, receivedAt: response.receivedAt),
            body: body, requestFields: refreshFields(of: request, vary: vary), vary: vary.names)
        let freshness = freshness(of: response, mode: mode)
        return .value(
            CachedResponse(stored), limits: freshness.limits, tags: tags(ofKey: key, stored.fields),
            validator: validator(from: response.fields), age: freshness.initialAge)
    }

    private func storability(of response: OriginResponse, _ request: HeaderFields) -> Storability {
        PerennialHTTP.storability(
            of: response, method: "GET", requestFields: request, mode: mode, allowances: rules.allowances)
    }

    private func refusal(_ response: OriginClient.Response, now: Timestamp) async throws -> OriginRefusal {
        let body = try await response.body.collect(limit: maxRefusal)
        let fields = fieldsToStore(of: response.fields, receivedAt: now)
        return OriginRefusal(StoredResponse(status: response.status, fields: fields, body: body ?? []), now: now)
    }

    private func notStored(
        _ response: UnsharedResponse, key: String, reader: Reader?
    ) -> Fetched<CachedResponse> {
        unstorable.insert(key, now: time.now)
        reader?.handoff.offer(response)
        return .notStored()
    }

    /// What the origin tags a response with. Variants carry their address as a tag, too, so that all of them can be expired or
    /// removed with it.
    /// - Parameter fields: as they are stored.
    private func tags(ofKey key: String, _ fields: HeaderFields) -> [String] {
        let primary = primaryKey(of: key)
        return (primary == key ? [] : [primary]) + responseTags(of: fields, origin: origin.url)
    }
}

extension CachedResponse {
    /// Whether there is something here that a refusal must not replace.
    fileprivate var isGood: Bool { status < 400 }
}

extension HeaderFields {
    /// Whether both have the same fields; order matters only among fields of one name.
    fileprivate func sameFields(as other: HeaderFields) -> Bool {
        count == other.count && allSatisfy { values(of: $0.name) == other.values(of: $0.name) }
    }
}
