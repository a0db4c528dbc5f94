/// The fields of a response that go on to clients: all but those that were for this cache (RFC 9213 §2.2 lets it use them up).
///
/// Those are `Perennial-Cache-Control`, and `Surrogate-Key`, which names the origin's insides to the cache next to it.
/// `CDN-Cache-Control`, `Cache-Tag`, `Cache-Groups` and `Cache-Group-Invalidation` go on: a cache before this one can use them.
/// They are stored all the same, so that a 304 which doesn't repeat them leaves them in force.
public func fieldsForClients(of fields: HeaderFields) -> HeaderFields {
    fields.removing(namesForThisCache)
}

private let namesForThisCache = [ownTargetedField, "Surrogate-Key"]

extension Span<UInt8> {
    /// Whether ``fieldsForClients(of:)`` would leave out a field of the name that lies here.
    package func isForThisCache(at name: Range<Int>) -> Bool {
        holds("perennial-cache-control", at: name, ignoringCase: true)
            || holds("surrogate-key", at: name, ignoringCase: true)
    }
}
