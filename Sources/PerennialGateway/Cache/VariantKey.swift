internal import PerennialHTTP

// Responses that vary. The first response of an address is stored at the address itself, the primary key. A request which that
// response was not made for is stored at a variant key: the primary key, a space, and the request's selecting fields.
// Addresses have no spaces, so the two can't be confused.

/// The key for `request` at an address whose stored response varies by `names`.
/// - Returns: `nil` when a selecting field carries credentials, which don't belong in keys.
func variantKey(primary: String, varyNames names: [String], request: HeaderFields) -> String? {
    let vary = Vary(names: names)
    guard vary.credentials(in: request).isEmpty else { return nil }
    return "\(primary) \(vary.variantKey(for: request))"
}

/// The address a key is for.
func primaryKey(of key: String) -> String {
    String(key.prefix { $0 != " " })
}

/// The request fields that a variant key stands for; none for a primary key.
func selectingFields(ofKey key: String) -> HeaderFields {
    guard let space = key.firstIndex(of: " ") else { return [:] }
    let members = key[key.index(after: space)...].split(separator: "&")
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
    return String(decoding: bytes, as: UTF8.self)
}
