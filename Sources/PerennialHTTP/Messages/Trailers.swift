/// What may be passed on of the fields behind a body (RFC 9110 §6.5.1): not what says how a message is framed, routed,
/// kept or understood, or who sent it. Read behind the body, it would come too late, or get past those who looked
/// before it.
public func passableTrailers(_ fields: HeaderFields) -> HeaderFields {
    let allowed = fields.filter { field in
        let name = field.name.lowercasedASCII
        return field.name.isToken && field.value.bytes.allSatisfy(\.isFieldByte)
            && RequestFieldClass(field.name) == .ordinary && !hopByHopNames.contains(name)
            && !unhideableNames.contains(name) && !unfitForTrailers.contains(name)
    }
    return HeaderFields(allowed.map { ($0.name, $0.value) })
}

private let unfitForTrailers: Set<String> = [
    "accept-ranges", "age", "allow", "cache-status", "content-encoding", "content-length", "content-location",
    "content-range", "content-type", "date", "expect", "expires", "host", "if-match", "if-modified-since",
    "if-none-match", "if-range", "if-unmodified-since", "location", "max-forwards", "pragma", "range", "retry-after",
    "set-cookie", "via", "www-authenticate",
]
