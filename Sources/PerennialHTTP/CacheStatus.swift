/// What the cache did with a request, for the `Cache-Status` field (RFC 9211).
///
/// ```swift
/// CacheStatus(hit: true, timeToLive: -610, detail: "refreshing").description
/// // perennial; hit; ttl=-610; detail=refreshing
/// ```
public struct CacheStatus: Hashable, Sendable, CustomStringConvertible {
    /// Why a request went forward to the origin (RFC 9211 §2.2).
    public enum Forward: String, Sendable, CaseIterable {
        /// The cache was configured not to handle this request.
        case bypass
        /// The method's semantics require it.
        case method
        /// Nothing is stored for this address.
        case uriMiss = "uri-miss"
        /// Something is stored for this address, but for other selecting fields.
        case varyMiss = "vary-miss"
        /// Nothing that could be used is stored.
        case miss
        /// The request's own directives demanded it.
        case request
        /// What is stored is too old.
        case stale
        /// Only a part of it is stored.
        case partial
    }

    /// Answered from the cache.
    public var hit: Bool
    /// Why the request went forward.
    public var forward: Forward?
    /// The status that the origin answered with.
    public var forwardStatus: Int?
    /// Seconds of freshness left; negative once stale.
    public var timeToLive: Int64?
    /// Whether the response was stored.
    public var stored: Bool
    /// Whether this request joined another one's fetch.
    public var collapsed: Bool
    /// The key, for those who debug.
    public var key: String?
    /// More, in a word or a sentence of printable ASCII.
    public var detail: String?

    public init(
        hit: Bool = false, forward: Forward? = nil, forwardStatus: Int? = nil, timeToLive: Int64? = nil,
        stored: Bool = false, collapsed: Bool = false, key: String? = nil, detail: String? = nil
    ) {
        self.hit = hit
        self.forward = forward
        self.forwardStatus = forwardStatus
        self.timeToLive = timeToLive
        self.stored = stored
        self.collapsed = collapsed
        self.key = key
        self.detail = detail
    }

    /// The structured field's member, `perennial` first (RFC 8941 §3.1.2).
    public var description: String {
        var text = "perennial"
        if hit { text += "; hit" }
        if let forward { text += "; fwd=\(forward.rawValue)" }
        if let forwardStatus { text += "; fwd-status=\(forwardStatus)" }
        if let timeToLive { text += "; ttl=\(clampedInteger(timeToLive))" }
        if stored { text += "; stored" }
        if collapsed { text += "; collapsed" }
        if let key { text += "; key=\(quoted(key))" }
        if let detail { text += "; detail=\(isStructuredToken(detail) ? detail : quoted(detail))" }
        return text
    }

    /// The field's value after this cache: what caches nearer to the origin said, then this (RFC 9211 §2).
    public func appended(to existing: String?) -> String {
        guard let existing = existing?.trimmed, !existing.isEmpty else { return description }
        return "\(existing), \(description)"
    }
}

/// Structured integers have at most 15 digits (RFC 8941 §3.3.1).
private func clampedInteger(_ number: Int64) -> Int64 {
    min(max(number, -999_999_999_999_999), 999_999_999_999_999)
}

/// RFC 8941 §3.3.4: begins with a letter or `*`; then token characters, `:` and `/`.
private func isStructuredToken(_ text: String) -> Bool {
    guard let first = text.utf8.first, first.isLetter || first == UInt8(ascii: "*") else { return false }
    return text.bytes.allSatisfy { $0.isTokenCharacter || $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: "/") }
}

/// RFC 8941 §3.3.3: printable ASCII only; anything else becomes `?`.
private func quoted(_ text: String) -> String {
    var bytes: [UInt8] = []
    for scalar in text.unicodeScalars {
        Steps.take()
        guard (0x20...0x7E).contains(scalar.value) else {
            bytes.append(UInt8(ascii: "?"))
            continue
        }
        if scalar == "\"" || scalar == "\\" { bytes.append(UInt8(ascii: "\\")) }
        bytes.append(UInt8(scalar.value))
    }
    return "\"\(String(decoding: bytes, as: UTF8.self))\""
}
