public import Perennial

/// The fields of a response that a shared cache stores (RFC 9111 §3.1): all but those meant for one connection, those
/// that `private` or `no-cache` name (§5.2.2.4, §5.2.2.7), and `Age`, which is calculated anew for every answer (§4).
///
/// - Parameter receivedAt: becomes the `Date` of a response without one (RFC 9110 §6.6.1).
public func fieldsToStore(of fields: HeaderFields, receivedAt: Timestamp? = nil) -> HeaderFields {
    let directives = RulingDirectives(of: fields).directives
    let named = directives.onlyPrivate.fieldNames + directives.noCache.fieldNames
    // A directive that names Cache-Control would hide the other directives.
    var kept = fields.removingHopByHop().removing(named.filter { !unhideableNames.contains($0) } + ["age"])
    if let receivedAt, !kept.contains("Date") { kept.add("Date", HTTPDate.format(receivedAt)) }
    return kept
}
