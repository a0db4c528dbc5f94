public import Perennial

/// Whether a 304 is about the stored response, so that it may be updated and used again (RFC 9111 §4.3.4).
///
/// The question had one entity tag in it, that of the stored response, so a 304 with a tag is about that if both match
/// weakly, or differ only by what servers append for a content coding: a server that compresses on the way makes
/// `W/"x"` or `"x-gzip"` of `"x"` in the response, but not always in the 304 (more lenient than the RFC, which
/// would have a strong tag be the very same). A 304 without one but with a `Last-Modified` must name the stored date. A
/// 304 without validators answers the one validator that was sent, so it is about the stored response. When this is
/// `false`, ask again without conditions.
public func confirms(stored: HeaderFields, by304 fresh: HeaderFields) -> Bool {
    if let new = fresh.first("ETag").flatMap({ EntityTag($0) }) {
        guard let old = stored.first("ETag").flatMap({ EntityTag($0) }) else { return false }
        return new.matchesApartFromCoding(old)
    }
    if let new = fresh.first("Last-Modified"), let old = stored.first("Last-Modified") {
        return new.trimmed == old.trimmed
    }
    return true
}

/// The stored fields as a 304 updates them (RFC 9111 §3.2): each field of the 304 replaces the stored ones of its name.
///
/// Not taken over: what isn't stored at all (``fieldsToStore(of:receivedAt:)``), by the directives of the 304 or by
/// those that rule afterwards; `Content-Length`, `Content-Encoding`, `Content-Type` and `Content-Range`, which describe
/// the bytes that are kept, and the `ETag` of these, where there is one; `Set-Cookie`, unless it may be stored. Whether
/// the result may still be stored is for ``storability(of:method:requestFields:mode:allowances:)`` to say: a 304 can
/// bring a `no-store`.
///
/// - Parameter receivedAt: when the 304 arrived: the `Date` if it has none. The stored `Date` never stays, or the
///   response would seem as old as before.
public func mergeNotModified(
    stored: HeaderFields, from304 fresh: HeaderFields, receivedAt: Timestamp? = nil, allowances: Allowances = []
) -> HeaderFields {
    var update = fieldsToStore(of: fresh, receivedAt: receivedAt)
        .removing(["content-length", "content-encoding", "content-type", "content-range"])
    if !allowances.contains(.setCookie) { update.remove("Set-Cookie") }
    if stored.contains("ETag") { update.remove("ETag") }
    var merged = stored.removing(update.map(\.name) + ["age", "date"])
    for field in update { merged.add(field.name, field.value) }
    return fieldsToStore(of: merged)
}
