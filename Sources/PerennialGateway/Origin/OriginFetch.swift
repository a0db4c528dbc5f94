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
        /// It wants no body.
        var isHead = false
        /// `Cache-Control` to ask with, for caches before the origin.
        var directives: String?
        var handoff: Handoff
        /// Is told of interim answers.
        var extras: MessageExtras
        /// The one that its client's connection lives on.
        var eventLoop: any EventLoop
    }

    /// A HEAD does not make larger bodies be fetched, in bytes.
    private static let largestForHead = 1 << 20

    /// The answer to a preflight is in its head; a longer body is passed on, in bytes.
    private static let largestOfPreflight = 64 << 10

    let origin: Origin
    let address: RouteAddress
    let rules: ResponseRules
    let client: OriginClient
    let unstorable: UnstorableKeys
    let memory: BodyMemory
    let silence: SilenceLog
    let time: any TimeSource

    /// No origin explains a failure at greater length.
    private var maxRefusal: Int { min(rules.maxBody, 1 << 20) }
    private var mode: FreshnessMode { rules.effectiveFreshness }

    /// - Parameter reader: `nil`: repeats what the stored response was chosen by, or what the key says.
    func fetch(
        _ key: String, _ context: FetchContext<CachedResponse>, for reader: Reader?
    ) async throws -> Fetched<CachedResponse> {
        if Preflight.variant(ofKey: key) != nil { return try await fetchPreflight(key, for: reader) }
        let previous = context.previous?.value
        let request = reader?.fields ?? previous?.requestFields ?? selectingFields(ofKey: key)
        if let previous, let validator = context.previous?.validator, previous.isSelected(by: request) {
            let conditions = conditionalFields(for: validator)
            let (response, times) = try await ask(key, request, conditions, reader)
            guard response.status == 304 else {
                return try await take(response, times, key: key, request: request, context, reader: reader)
            }
            if confirms(stored: previous.fields, by304: response.fields) {
                reader?.handoff.originStatus = 304
                return confirm(previous, by: response, times, key: key, request: request, reader: reader)
            }
        }
        let (response, times) = try await ask(key, request, [:], reader)
        return try await take(response, times, key: key, request: request, context, reader: reader)
    }

    /// Asks as a browser did whether a page may send a request.
    private func fetchPreflight(_ key: String, for reader: Reader?) async throws -> Fetched<CachedResponse> {
        let request = reader?.fields ?? selectingFields(ofKey: key)
        let (response, times) = try await ask(key, request, [:], reader, method: .OPTIONS)
        reader?.handoff.originStatus = response.status
        if isFailure(response.status) { throw try await refusal(response, now: times.received) }
        func unshared(_ reason: String) -> Fetched<CachedResponse> {
            notStored(
                UnsharedResponse(
                    status: response.status, fields: response.fields, body: .stream(response.body), reason: reason),
                key: key, asked: times.asked, reader: reader, isAboutRequest: false, keepsPrevious: false)
        }
        guard let lifetime = Preflight.lifetime(status: response.status, fields: response.fields) else {
            return unshared("preflight")
        }
        // Nobody reads it.
        let body = try await response.body.collect(
            limit: Self.largestOfPreflight, memory: memory.hold(), patience: TimeAmount(origin.timeout))
        guard case .success = body else { return unshared("too-large") }
        let fields = fieldsToStore(of: response.fields, receivedAt: times.received)
        let stored = StoredResponse(status: response.status, fields: fields, body: [], requestFields: [:], vary: [])
        return .value(
            CachedResponse(stored), limits: Limits(raising: lifetime, lifetime, lifetime),
            tags: tags(ofKey: key, fields))
    }

    private func ask(
        _ key: String, _ request: HeaderFields, _ conditions: HeaderFields, _ reader: Reader?,
        method: HTTPMethod = .GET
    ) async throws -> (OriginClient.Response, AskedTimes) {
        var fields = sharedFields(
            of: request.removing(rules.effectiveVary.ignored), allowances: rules.allowances, origin: origin)
        for condition in conditions { fields.set(condition.name, to: condition.value) }
        if let directives = reader?.directives { fields.set("Cache-Control", to: directives) }
        let (requested, asked) = (time.now, time.steady)
        let question = try OriginQuestion(key, address)
        var response = try await client.send(
            OriginRequest(
                method: method, host: question.host, target: question.target, fields: fields, body: nil,
                extras: reader?.extras),
            rank: .fetch, on: reader?.eventLoop)
        // A "not modified" that says nothing of it leaves what is stored as it is.
        if response.status != 304 || response.fields.contains("Vary") {
            response.fields = rules.effectiveVary.applied(to: response.fields)
        }
        return (response, AskedTimes(requested: requested, received: time.now, asked: asked))
    }

    /// The origin says that what was stored is still right.
    private func confirm(
        _ previous: CachedResponse, by response: OriginClient.Response,
        _ times: AskedTimes, key: String, request: HeaderFields, reader: Reader?
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
                key: key, asked: times.asked, reader: reader, isAboutRequest: reason.isAboutRequest,
                keepsPrevious: reason.isAboutRequest)
        }
        let freshness = freshness(of: origin, mode: mode, allowances: rules.allowances)
        if merged.removing(["date"]).sameFields(as: previous.fields.removing(["date"])) {
            return .notModified(
                limits: freshness.limits, tags: tags(ofKey: key, merged), validator: validator(from: merged),
                age: freshness.age(beforeQuestion: origin))
        }
        // The 304 may name other fields in `Vary`: what it says holds for the request that it answers.
        let updated = previous.updated(
            fields: merged, requestFields: refreshFields(of: request, vary: Vary(merged)))
        return .value(
            updated, limits: freshness.limits, tags: tags(ofKey: key, merged),
            validator: validator(from: merged), age: freshness.age(beforeQuestion: origin))
    }

    /// The origin says something new.
    private func take(
        _ response: OriginClient.Response, _ times: AskedTimes, key: String,
        request: HeaderFields, _ context: FetchContext<CachedResponse>, reader: Reader?
    ) async throws -> Fetched<CachedResponse> {
        context.answerBegan()
        reader?.handoff.originStatus = response.status
        // Nobody asked for a "not modified".
        if response.status == 304 { throw OriginBroken(.protocolError, seen: "a 304 to a request without conditions") }
        let origin = OriginResponse(
            status: response.status, fields: response.fields, requestedAt: times.requested,
            receivedAt: times.received)
        let verdict = verdict(on: origin, storability(of: origin, request), context, isForReader: reader != nil)
        func unshared(_ reason: String, isAboutRequest: Bool, keepsPrevious: Bool) -> Fetched<CachedResponse> {
            notStored(
                UnsharedResponse(
                    status: response.status, fields: response.fields, body: .stream(response.body), reason: reason),
                key: key, asked: times.asked, reader: reader, isAboutRequest: isAboutRequest,
                keepsPrevious: keepsPrevious)
        }
        switch verdict {
        case .fail: throw try await refusal(response, now: times.received)
        case .keepNothing(let reason, let isAboutRequest, let keepsPrevious):
            if reason == Storability.Reason.useless.rawValue { silence.heard(origin, key: key, mode: mode) }
            return unshared(reason, isAboutRequest: isAboutRequest, keepsPrevious: keepsPrevious)
        case .keep: silence.heard(origin, key: key, mode: mode)
        }
        if reader?.isHead == true, response.body.length.map({ $0 > Self.largestForHead }) ?? true {
            return unshared("head", isAboutRequest: true, keepsPrevious: true)
        }
        let hold = memory.hold()
        let body = try await response.body.collect(
            limit: rules.maxBody, memory: hold,
            patience: patience(with: response.body, until: context.deadline, isForReader: reader != nil))
        switch body {
        case .success(let body):
            reader?.handoff.ownFields = fieldsForFirstReader(of: response.fields)
            return keep(origin, body, key: key, request: request).retaining(hold)
        case .failure(.size): return unshared("too-large", isAboutRequest: false, keepsPrevious: false)
        case .failure(.time):
            if reader == nil { throw stillComing }
            return unshared("slow-body", isAboutRequest: false, keepsPrevious: true)
        case .failure(.memory):
            // For a refresh there is another time.
            if reader == nil { throw OriginBroken(.memoryLimit) }
            return unshared("memory", isAboutRequest: true, keepsPrevious: true)
        }
    }

    /// What becomes of an answer, as far as its head says.
    private enum Verdict {
        case keep
        /// The origin could not answer: an old response serves on.
        case fail
        /// It is for the reader alone whose request brought it.
        /// - isAboutRequest: other requests may well get what can be stored.
        /// - keepsPrevious: it says nothing of what is stored for the others.
        case keepNothing(reason: String, isAboutRequest: Bool, keepsPrevious: Bool)
    }

    private func verdict(
        on response: OriginResponse, _ storability: Storability, _ context: FetchContext<CachedResponse>,
        isForReader: Bool
    ) -> Verdict {
        let previous = context.previous?.value?.status
        let hasGood = previous.map { $0 < 400 } ?? false
        if isFailure(response.status) {
            // One that a reader's request brought may be about that request, and is nobody else's.
            let isBetter = previous.map { !isFailure($0) } ?? false
            return storability == .storeIfNothingBetter && !isBetter && !isForReader ? .keep : .fail
        }
        if isEndless(response.fields) {
            return .keepNothing(reason: "stream", isAboutRequest: false, keepsPrevious: false)
        }
        guard case .doNotStore(let reason) = storability else { return .keep }
        // An entry that was good enough for others is not gone because of what one of them was answered, but that it is
        // gone.
        let wasGood = context.reason == .notAccepted && !saysGone(response.status)
        // A refresh carries nobody's credentials: where readers' count, its being refused says nothing of what they may
        // have.
        let ignoresRefusals =
            rules.allowances.contains(.refused)
            || !isForReader && !rules.allowances.isDisjoint(with: [.authorization, .cookies])
        let saysNothing =
            response.status >= 400 && !saysGone(response.status)
            && (!isRefusal(response.status) || ignoresRefusals)
        if saysNothing && hasGood && !isForReader { return .fail }
        return .keepNothing(
            reason: reason.rawValue, isAboutRequest: reason.isAboutRequest,
            keepsPrevious: hasGood && (wasGood || saysNothing || reason.isAboutRequest && !isRefusal(response.status)))
    }

    /// Whether an answer that went past the cache says that others' answers may not be stored either, as far as its
    /// head tells.
    /// - Parameter request: the fields that it was asked for with.
    func saysUnstorable(_ response: OriginResponse, length: Int64?, request: HeaderFields) -> Bool {
        if isFailure(response.status) { return false }
        if isEndless(response.fields) || length.map({ $0 > rules.maxBody }) == true { return true }
        // A part, or the news that nothing has changed, says that of the whole, but not whether that could be asked
        // about again.
        let isPart = response.status == 304 || response.status == 206
        var whole = response
        if isPart { whole.status = 200 }
        whole.fields = rules.effectiveVary.applied(to: whole.fields)
        guard case .doNotStore(let reason) = storability(of: whole, request) else { return false }
        return !reason.isAboutRequest && !(isPart && reason == .useless)
    }

    /// What somebody else asked the origin for.
    /// - Parameter request: what was asked with.
    /// - Returns: what to save, or why it may not be saved.
    func accept(
        _ response: OriginResponse, _ body: [UInt8], key: String, request: HeaderFields
    ) -> Result<Fetched<CachedResponse>, NotAccepted> {
        if Preflight.variant(ofKey: key) != nil {
            return .failure(
                NotAccepted(reason: "it is the key of the answer to a preflight, which only the gateway asks for"))
        }
        var response = response
        response.fields = rules.effectiveVary.applied(to: response.fields)
        if isFailure(response.status) {
            return .failure(NotAccepted(reason: "a status of \(response.status) is a failure, and replaces nothing"))
        }
        if case .doNotStore(let reason) = storability(of: response, request) {
            return .failure(NotAccepted(reason: "the answer may not be kept: \(reason.rawValue)"))
        }
        guard body.isEmpty || statusHasBody(response.status) else {
            return .failure(NotAccepted(reason: "an answer with the status \(response.status) has no body; send none"))
        }
        return .success(keep(response, ByteBuffer(bytes: body), key: key, request: request))
    }

    private func keep(
        _ response: OriginResponse, _ body: ByteBuffer, key: String, request: HeaderFields
    ) -> Fetched<CachedResponse> {
        let vary = Vary(response.fields)
        let fields = fieldsToStore(of: response.fields, receivedAt: response.receivedAt)
        let stored = StoredResponse(
            status: response.status, fields: fields, body: [], requestFields: refreshFields(of: request, vary: vary),
            vary: vary.names)
        let freshness = freshness(of: response, mode: mode, allowances: rules.allowances)
        return .value(
            CachedResponse(stored, body: body), limits: freshness.limits, tags: tags(ofKey: key, fields),
            validator: validator(from: response.fields), age: freshness.age(beforeQuestion: response))
    }

    private func storability(of response: OriginResponse, _ request: HeaderFields) -> Storability {
        PerennialHTTP.storability(
            of: response, method: "GET", requestFields: request, mode: mode, allowances: rules.allowances)
    }

    private func refusal(_ response: OriginClient.Response, now: Timestamp) async throws -> OriginRefusal {
        let body = try await response.body.collect(
            limit: maxRefusal, memory: memory.hold(), patience: TimeAmount(origin.timeout))
        let fields = fieldsToStore(of: response.fields, receivedAt: now)
        let bytes = (try? body.get()).map { Array($0.readableBytesView) } ?? []
        return OriginRefusal(StoredResponse(status: response.status, fields: fields, body: bytes), now: now)
    }

    /// How long to wait for the end of a body. Then a reader gets what has come, and the rest as it comes.
    ///
    /// That is before the fetch's own time is over: a body that flows is no failure of the origin.
    private func patience(with body: OriginBody, until deadline: Timestamp, isForReader: Bool) -> TimeAmount {
        let margin = min(.seconds(1), origin.wholeTimeout / 8)
        let left = max(.zero, deadline - time.now - margin)
        return TimeAmount(isForReader && body.length == nil ? min(left, origin.timeout) : left)
    }

    /// Why a refresh brings nothing whose body takes too long. The origin works, and has answered.
    private var stillComing: OriginFailure {
        OriginFailure(
            "the answer's body was still coming after \(origin.wholeTimeout); raise --fetch-timeout to store it",
            scope: .request)
    }

    /// - Parameter isAboutRequest: what this request brought on itself says nothing of others', which wait for one
    ///   another as before.
    private func notStored(
        _ response: UnsharedResponse, key: String, asked: Timestamp, reader: Reader?, isAboutRequest: Bool,
        keepsPrevious: Bool
    ) -> Fetched<CachedResponse> {
        if !isAboutRequest { unstorable.insert(key, asked: asked, now: time.steady) }
        reader?.handoff.offer(response)
        return .notStored(keepsPrevious: keepsPrevious)
    }

    /// What the origin tags a response with. Variants carry their address as a tag, too, so that all of them can be
    /// expired or removed with it.
    /// - Parameter fields: as they are stored.
    private func tags(ofKey key: String, _ fields: HeaderFields) -> [String] {
        let primary = primaryKey(of: key)
        // Groups are a matter of the name that clients know the origin by (RFC 9875 §2.1).
        let named = address.origin(ofKey: primary) ?? address.named
        return (primary == key ? [] : [primary]) + responseTags(of: fields, origin: named)
    }
}

extension HeaderFields {
    /// Whether both have the same fields; order matters only among fields of one name.
    fileprivate func sameFields(as other: HeaderFields) -> Bool {
        count == other.count && allSatisfy { values(of: $0.name) == other.values(of: $0.name) }
    }
}

extension ResponseFreshness {
    /// How old the response was when the origin was asked: the engine counts the time since then.
    fileprivate func age(beforeQuestion response: OriginResponse) -> Duration {
        max(.zero, initialAge - max(.zero, response.receivedAt - response.requestedAt))
    }
}

/// When the origin was asked, and answered.
private struct AskedTimes {
    let requested: Timestamp
    let received: Timestamp
    /// When it was asked, by the steady clock.
    let asked: Timestamp
}
