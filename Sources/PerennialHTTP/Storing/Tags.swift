/// The most tags an entry takes from its response. RFC 9875 §2 asks for 32 groups at least.
private let mostTags = 128
/// The longest tag, in bytes; what is longer is no tag.
private let longestTag = 256

/// The names that a response's entry is expired or removed by, together with others.
///
/// - `Surrogate-Key` (separated by spaces) and `Cache-Tag` (separated by commas): as they are written, letter case
///   included.
/// - `Cache-Groups` (RFC 9875 §2; ignored as a whole when it is no list of strings): as ``groupTag(_:origin:)`` makes
///   them.
///
/// Left out is what is empty, longer than 256 bytes, not printable ASCII, or an address (it has `://` in it: variants
/// carry their address as a tag, and no origin may put other entries among them), and everything behind the first 128.
///
/// - Parameter fields: a response's, as they are stored.
/// - Returns: in the order of the fields, without repeats.
public func responseTags(of fields: HeaderFields, origin: OriginURL) -> [String] {
    let keys = fields.values(of: "Surrogate-Key").flatMap { $0.pieces(separatedBy: \.isOptionalWhiteSpace) }
    let cacheTags = fields.values(of: "Cache-Tag").flatMap { $0.pieces(separatedBy: UInt8(ascii: ",")) }
        .map(\.trimmed)
    let names = (keys + cacheTags).filter(isTag).map { String($0) }
    var seen: Set<String> = []
    let tags = names + groups(in: fields, named: "Cache-Groups").map { groupTag($0, origin: origin) }
    return Array(tags.filter { seen.insert($0).inserted }.prefix(mostTags))
}

/// The tag of a group (RFC 9875): `https://api.example.com#news`. Groups of the same name at another origin, and tags
/// of other fields, are others (§2.1); an address as a tag never has a `#`.
public func groupTag(_ group: String, origin: OriginURL) -> String {
    "\(origin.scheme)://\(origin.authority)#\(group)"
}

/// The groups that a field names: strings with at most 256 printable characters, the first 128 of them.
func groups(in fields: HeaderFields, named name: String) -> [String] {
    guard let value = fields[name], let strings = structuredStrings(value) else { return [] }
    return Array(strings.filter { !$0.isEmpty && $0.utf8.count <= longestTag }.prefix(mostTags))
}

private func isTag(_ text: Substring) -> Bool {
    !text.isEmpty && text.utf8.count <= longestTag && text.bytes.allSatisfy { 0x20...0x7E ~= $0 }
        && !text.contains("://")
}
