internal import NIOCore
internal import Perennial
internal import PerennialHTTP

/// An answer ready to be written, but for what depends on the connection.
struct Reply: Sendable {
    /// What kind of answer, for the metrics.
    enum Kind: Sendable {
        /// From the cache, fresh.
        case hit
        /// From the cache, stale or expired.
        case stale
        /// A reader waited for the origin.
        case miss
        /// Past the cache.
        case pass
        /// The gateway's own: nothing to serve, or nothing that was asked rightly.
        case error
    }

    var kind: Kind
    var status: Int
    /// Status line and field lines.
    var head: ByteBuffer
    /// Empty for HEAD.
    var body: ByteBuffer
}

extension Reply {
    /// An answer out of the cache, or one that a fetch has just put there.
    init(_ cached: CachedResponse, _ served: Served, kind: Kind, request: ClientRequest) {
        let selected = cached.selected(by: request.fields, method: request.method)
        self.kind = kind
        status = selected.status
        head = selected.head
        head.writeDate(of: cached, served)
        head.writeAge(served.age)
        head.writeField("Cache-Status", served.status.description)
        head.writeFields(fieldsForClients(of: served.ownFields))
        body = selected.body
    }

    /// What the origin said about not being able to answer, for the client whose request brought it.
    init(_ refusal: OriginRefusal, status: CacheStatus, isHead: Bool) {
        let response = refusal.response
        var status = status
        status.forwardStatus = response.status
        kind = .miss
        self.status = response.status
        body = ByteBuffer(bytes: response.body)
        head = ByteBuffer()
        head.writeStatusLine(response.status)
        head.writeFields(fieldsForClients(of: response.fields).removing(["content-length", "age"]))
        head.writeVia()
        head.writeAge(.zero)
        head.writeField("Cache-Status", status.description)
        if statusHasBody(response.status) { head.writeField("Content-Length", String(body.readableBytes)) }
        if isHead { body = ByteBuffer() }
    }

    /// The gateway's own answer: a short text that says what happened and what to do.
    /// - Parameters:
    ///   - retryAfter: in whole seconds, at least 1.
    ///   - allow: the value of `Allow`.
    static func own(
        _ status: Int, _ text: String, cacheStatus: CacheStatus, now: Timestamp, retryAfter: Duration? = nil,
        isHead: Bool = false, allow: String? = nil, contentType: String = "text/plain; charset=utf-8"
    ) -> Reply {
        let body = ByteBuffer(string: text + "\n")
        var head = ByteBuffer()
        head.writeStatusLine(status)
        head.writeField("Date", HTTPDate.format(now))
        head.writeField("Content-Type", contentType)
        head.writeField("Content-Length", String(body.readableBytes))
        if let allow { head.writeField("Allow", allow) }
        if let retryAfter { head.writeField("Retry-After", String(max(1, (retryAfter.milliseconds + 999) / 1000))) }
        head.writeVia()
        head.writeAge(.zero)
        head.writeField("Cache-Status", cacheStatus.description)
        return Reply(kind: .error, status: status, head: head, body: isHead ? ByteBuffer() : body)
    }
}

/// What changes from one answer with a stored response to the next.
struct Served {
    var age: Duration
    /// When the origin confirmed it again; `nil`: never since it was stored.
    var confirmedAt: Timestamp?
    var status: CacheStatus
    /// What is not stored, for this reader alone.
    var ownFields: HeaderFields = [:]

    init(_ answer: Answer<CachedResponse>, _ status: CacheStatus) {
        age = answer.age
        confirmedAt = answer.confirmedAgainAt
        self.status = status
    }
}

extension Answer<CachedResponse> {
    /// When the origin last confirmed the response, if it did since sending it. Its `Date` is then that of the
    /// confirmation (RFC 9111 §4.3.4), which is not worth writing the whole body to the store again.
    var confirmedAgainAt: Timestamp? {
        guard let savedAt, let confirmedAt = freshness?.confirmedAt, confirmedAt > savedAt + .seconds(1) else {
            return nil
        }
        return confirmedAt
    }

    /// `detail` of `Cache-Status` for an answer from the cache.
    var detail: StaticString? {
        switch note {
        case .originFailed: "origin-failed"
        case .originSlow: "origin-slow"
        case nil: state == .stale && isRefreshing ? "refreshing" : nil
        }
    }
}

extension ByteBuffer {
    mutating func writeAge(_ age: Duration) {
        writeStaticString("Age: ")
        writeDecimal(min(age.milliseconds / 1000, 1 << 31))
        writeLineEnd()
    }

    fileprivate mutating func writeDate(of cached: CachedResponse, _ served: Served) {
        if let confirmedAt = served.confirmedAt {
            writeField("Date", HTTPDate.format(confirmedAt))
        } else {
            cached.writeDateLine(to: &self)
        }
    }

    /// The fields of an answer from the cache that change with time.
    /// - Parameter date: formats the time of a confirmation.
    mutating func writeHitFields(
        _ cached: CachedResponse, _ answer: Answer<CachedResponse>, date: (Timestamp) -> String
    ) {
        if let confirmedAt = answer.confirmedAgainAt {
            writeField("Date", date(confirmedAt))
        } else {
            cached.writeDateLine(to: &self)
        }
        writeAge(answer.age)
        writeStaticString("Cache-Status: perennial; hit; ttl=")
        writeDecimal(answer.freshness.map { min(timeToLive($0, now: answer.answeredAt), 999_999_999_999_999) } ?? 0)
        if let detail = answer.detail {
            writeStaticString("; detail=")
            writeStaticString(detail)
        }
        writeLineEnd()
    }
}
