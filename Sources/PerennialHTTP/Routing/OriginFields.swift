/// What keeps a field from being sent with every request to an origin, in one line; `nil`: nothing does.
public func complaint(aboutOriginField name: String, value: String) -> String? {
    guard name.isToken else { return "“\(name)” is no name of a field; write it like Authorization" }
    let lowercase = name.lowercasedASCII
    if hopByHopNames.contains(lowercase) || ["content-length", "expect", "via"].contains(lowercase) {
        return "\(name) says how messages are sent, which the gateway decides; leave it out"
    }
    if ownNames.contains(lowercase) {
        return "\(name) belongs to a single request; leave it out"
    }
    guard value.bytes.allSatisfy(\.isFieldByte) else {
        return "the value of \(name) has a line break or another control character in it"
    }
    return nil
}

/// What the gateway asks with by itself.
private let ownNames: Set<String> = [
    "if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range", "range",
]
