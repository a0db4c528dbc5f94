internal import Perennial

/// Whether the client already has what is stored, so that a 304 is all it needs (RFC 9111 §4.3.2, RFC 9110 §13).
///
/// `If-None-Match` is compared weakly, `*` matches anything stored, and `If-Modified-Since` counts only without it.
/// Without a stored `Last-Modified` the date is compared with `Date`. A date that can't be read is ignored.
///
/// - Parameters:
///   - requestFields: the client's, for a GET or HEAD.
///   - status: of the stored response; only a 200 can be "not modified".
public func clientHasCurrent(requestFields: HeaderFields, storedFields: HeaderFields, status: Int) -> Bool {
    guard status == 200 else { return false }
    if let wanted = requestFields["If-None-Match"] {
        if wanted.trimmed == "*" { return true }
        guard let stored = storedFields.first("ETag").flatMap({ EntityTag($0) }) else { return false }
        return EntityTag.list(wanted).contains { $0.weaklyMatches(stored) }
    }
    guard let since = requestFields["If-Modified-Since"].flatMap({ HTTPDate.parse($0.trimmed) }) else { return false }
    let changed = storedFields.first("Last-Modified") ?? storedFields.first("Date")
    return changed.flatMap { HTTPDate.parse($0.trimmed) }.map { $0 <= since } ?? false
}

/// The fields of a 304 made from a stored 200: all but those that describe the body it doesn't have (RFC 9110 §15.4.5).
/// `Last-Modified` stays only where no `ETag` does its work.
public func notModifiedFields(of stored: HeaderFields) -> HeaderFields {
    var fields = stored.removing([
        "content-length", "content-encoding", "content-type", "content-range", "content-language", "accept-ranges",
        "digest", "content-digest", "repr-digest", "content-md5",
    ])
    if fields.contains("ETag") { fields.remove("Last-Modified") }
    return fields
}
