internal import Perennial

/// What a request gets of a stored body that is there in full.
public enum RangeSelection: Hashable, Sendable {
    /// All of it: 200.
    case whole
    /// One part: 206 with `Content-Range`.
    case part(Range<Int>)
    /// Several: 206 with `multipart/byteranges`.
    case parts([Range<Int>])
    /// Nothing that it named is there: 416.
    case unsatisfiable
}

/// The most parts one answer has; who names more gets the whole.
private let mostParts = 16
/// What a part costs beside its bytes: about the size of its head.
private let partOverhead = 128

/// Whether a request has a `Range` that a cache heeds: in bytes, readable (RFC 9110 §14.2).
///
/// - Parameter method: a range means something for `GET` alone.
public func asksForRange(method: String, fields: HeaderFields) -> Bool {
    method == "GET" && fields["Range"].flatMap { ByteRanges($0) } != nil
}

/// What of a stored response answers a GET with these fields, once its other conditions are settled (RFC 9110 §13.2.2).
///
/// `Range` counts for a stored 200, and only if `If-Range` agrees (§13.1.5). It is ignored, and all of the body sent, when it is in
/// another unit or can't be read, when the body is empty, and where parts would cost more than they save or hint at an attack
/// (§14.2): more than 16, parts that overlap, parts which together with their heads are as long as the whole.
public func rangeSelection(
    requestFields: HeaderFields, storedFields: HeaderFields, status: Int, size: Int
) -> RangeSelection {
    guard status == 200, size > 0, let text = requestFields["Range"], let ranges = ByteRanges(text),
        ranges.specs.count <= mostParts, requestFields["If-Range"].map({ isUnchanged($0, storedFields) }) ?? true
    else { return .whole }
    let parts = ranges.satisfiable(size: size)
    guard let first = parts.first else { return .unsatisfiable }
    if parts.count == 1 { return .part(first) }
    let ordered = parts.sorted { $0.lowerBound < $1.lowerBound }
    let overlap = zip(ordered, ordered.dropFirst()).contains { $0.upperBound > $1.lowerBound }
    let cost = parts.reduce(0) { $0 + $1.count + partOverhead }
    return overlap || cost >= size ? .whole : .parts(parts)
}

/// Whether what `If-Range` names is the very representation that is stored (RFC 9110 §13.1.5): the same strong entity tag, or
/// the date in `Last-Modified` if that is a strong validator, a second or more before `Date` (§8.8.2.2).
private func isUnchanged(_ condition: String, _ stored: HeaderFields) -> Bool {
    let condition = condition.trimmed
    if condition.hasPrefix("\"") || condition.hasPrefix("W/") {
        let tags = EntityTag.list(String(condition))
        guard tags.count == 1, let tag = stored.first("ETag").flatMap({ EntityTag($0) }) else { return false }
        return tags[0].stronglyMatches(tag)
    }
    guard let wanted = HTTPDate.parse(condition),
        let modified = stored.first("Last-Modified").flatMap({ HTTPDate.parse($0.trimmed) }),
        let date = stored.first("Date").flatMap({ HTTPDate.parse($0.trimmed) })
    else { return false }
    return wanted == modified && modified + .seconds(1) <= date
}
