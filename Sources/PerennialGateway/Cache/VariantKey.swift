internal import Perennial
internal import PerennialHTTP

// Responses that vary. The first response of an address is stored at the address itself, the primary key. A request
// which that response was not made for is stored at a variant key: the primary key, a space, and the request's
// selecting fields. Addresses have no spaces, so the two can't be confused. Answers to preflights have keys of their own
// kind: ``PerennialHTTP/Preflight``.

/// The key for `request` at an address whose stored response varies by `names`.
/// - Returns: `nil` when a selecting field carries credentials, which don't belong in keys.
func variantKey(primary: String, varyNames names: [String], request: HeaderFields) -> String? {
    let vary = Vary(names: names)
    guard vary.credentials(in: request).isEmpty else { return nil }
    return "\(primary) \(vary.variantKey(for: request))"
}

extension Responder {
    /// The key of the variant that a request is about, when the response at its address was made for other requests.
    ///
    /// That response's state doesn't matter: the variant may be fresh when it has expired. If it made the request ask
    /// for the address again, an older response could later come back from the variant's key.
    func variantBesideStored(_ request: ClientRequest, _ demand: RequestDemand?) -> String? {
        guard let stored = cache.peek(request.key)?.value, !stored.isSelected(by: request.fields) else { return nil }
        return variant(beside: stored, at: request.key, for: request.fields, demand)
    }

    /// The key of the variant for a request that the response at its address was not made for: the request's own, unless
    /// memory lacks that and has another one that may be served to it.
    ///
    /// What has expired, or what the request may not accept, would be asked for again with this request's fields, and be
    /// somebody else's then.
    func variant(
        beside stored: CachedResponse, at primary: String, for request: HeaderFields, _ demand: RequestDemand?
    ) -> String? {
        let names = stored.vary
        guard let own = variantKey(primary: primary, varyNames: names, request: request) else { return nil }
        guard demand == nil, names.contains("accept-encoding"), cache.peek(own) == nil else { return own }
        for other in withUsualCodings(request) {
            guard let key = variantKey(primary: primary, varyNames: names, request: other),
                let entry = cache.peek(key), entry.state != .expired,
                entry.value?.isSelected(by: request) == true
            else { continue }
            return key
        }
        return own
    }
}

/// The address a key is for.
func primaryKey(of key: String) -> String {
    String(key.prefix { $0 != " " })
}

/// The request fields that the key of a variant or a preflight stands for; none for a primary key.
func selectingFields(ofKey key: String) -> HeaderFields {
    guard let space = key.firstIndex(of: " ") else { return [:] }
    let variant = Preflight.variant(ofKey: key) ?? key[key.index(after: space)...]
    let members = variant.split(separator: "&")
    return HeaderFields(
        members.compactMap { member in
            guard let equals = member.firstIndex(of: "=") else { return nil }
            return (String(member[..<equals]), percentDecoded(member[member.index(after: equals)...]))
        })
}

private func percentDecoded(_ text: Substring) -> String {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
        if byte == UInt8(ascii: "%"), let decoded = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) {
            bytes.append(decoded)
            rest = rest.dropFirst(2)
        } else {
            bytes.append(byte)
        }
    }
    return String(fieldBytes: bytes)
}
