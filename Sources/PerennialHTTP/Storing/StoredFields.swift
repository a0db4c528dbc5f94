public import Perennial

/// The fields of a response that a shared cache stores (RFC 9111 §3.1): all but those meant for one connection, those
/// that `private` or `no-cache` name (§5.2.2.4, §5.2.2.7), and `Age`, which is calculated anew for every answer (§4).
///
/// The reader whose request brought the response gets what `private` and `no-cache` name all the same:
/// ``fieldsForFirstReader(of:)``.
///
/// - Parameter receivedAt: becomes the `Date` of a response without one (RFC 9110 §6.6.1).
public func fieldsToStore(of fields: HeaderFields, receivedAt: Timestamp? = nil) -> HeaderFields {
    var kept = fields.removingHopByHop().removing(namesForFirstReader(in: fields) + ["age"])
    if let receivedAt, !kept.contains("Date") { kept.add("Date", HTTPDate.format(receivedAt)) }
    return kept
}

/// The fields that `private` and `no-cache` name: not stored, so they are for the reader alone whose request brought
/// the response (RFC 9111 §5.2.2.4, §5.2.2.7).
public func fieldsForFirstReader(of fields: HeaderFields) -> HeaderFields {
    let names = namesForFirstReader(in: fields)
    if names.isEmpty { return [:] }
    let named = fields.removingHopByHop().filter { field in names.contains { $0.equalsIgnoringCase(field.name) } }
    return HeaderFields(named.map { ($0.name, $0.value) })
}

private func namesForFirstReader(in fields: HeaderFields) -> [String] {
    let directives = RulingDirectives(of: fields).directives
    // A directive that names Cache-Control would hide the other directives.
    return (directives.onlyPrivate.fieldNames + directives.noCache.fieldNames).filter { !unhideableNames.contains($0) }
}
