public import Perennial

/// What a response gives to ask later whether it has changed; `nil` when it gives nothing (RFC 9110 §8.8).
///
/// An entity tag is kept as it is written, even without its quotes: only the origin compares it. A `Last-Modified` that
/// is no date is left out.
public func validator(from fields: HeaderFields) -> Validator? {
    let etag = fields.first("ETag").map { String($0.trimmed) }.flatMap { $0.isEmpty ? nil : $0 }
    let lastModified = fields.first("Last-Modified").map { String($0.trimmed) }
        .flatMap { HTTPDate.parse($0) == nil ? nil : $0 }
    return etag == nil && lastModified == nil ? nil : Validator(etag: etag, lastModified: lastModified)
}

/// The fields that ask the origin for a 304 if nothing has changed: `If-None-Match` and `If-Modified-Since`, as far as
/// there are validators (RFC 9111 §4.3.1).
public func conditionalFields(for validator: Validator) -> HeaderFields {
    var fields = HeaderFields()
    if let etag = validator.etag { fields.add("If-None-Match", etag) }
    if let lastModified = validator.lastModified { fields.add("If-Modified-Since", lastModified) }
    return fields
}
