/// The members of a comma-separated field value, without the white space around them; empty members are dropped
/// (RFC 9110 §5.6.1).
///
/// Commas inside a quoted string don't separate. A quote that never closes is an ordinary character: what follows it
/// is still seen, so that `private="a, no-store` can't hide the `no-store`.
func listMembers(_ value: String) -> [Substring] {
    var members: [Substring] = []
    let bytes = value.bytes
    var start = bytes.startIndex
    var index = start
    // If one quote never closes, no later one does. The search from the first came past each of them because a
    // backslash escapes it, and went on from there just as a search for its own end would. So only one search is in
    // vain.
    var mayClose = true
    func take(_ member: Substring) {
        let member = member.trimmed
        if !member.isEmpty { members.append(member) }
    }
    while index < bytes.endIndex {
        switch bytes[index] {
        case UInt8(ascii: ","):
            take(value[start..<index])
            start = bytes.index(after: index)
        case UInt8(ascii: "\"") where mayClose:
            if let close = closingQuote(of: bytes, openedAt: index) { index = close } else { mayClose = false }
        default: break
        }
        index = bytes.index(after: index)
    }
    take(value[start...])
    return members
}

/// Where the quoted string ends that begins at `open`; a backslash quotes the character after it (RFC 9110 §5.6.4).
private func closingQuote(of bytes: CountedBytes<String.UTF8View>, openedAt open: String.Index) -> String.Index? {
    var index = bytes.index(after: open)
    while index < bytes.endIndex {
        if bytes[index] == UInt8(ascii: "\"") { return index }
        if bytes[index] == UInt8(ascii: "\\") {
            index = bytes.index(after: index)
            if index == bytes.endIndex { return nil }
        }
        index = bytes.index(after: index)
    }
    return nil
}

/// The text inside a quoted string with its escapes undone; anything else as it is.
func unquoted(_ value: Substring) -> String {
    let bytes = Array(value.bytes)
    guard bytes.count >= 2, bytes.first == UInt8(ascii: "\""), bytes.last == UInt8(ascii: "\"") else {
        return String(value)
    }
    var text: [UInt8] = []
    var isEscaped = false
    for byte in bytes[1..<(bytes.count - 1)] {
        if byte == UInt8(ascii: "\\") && !isEscaped {
            isEscaped = true
        } else {
            text.append(byte)
            isEscaped = false
        }
    }
    return String(decoding: text, as: UTF8.self)
}
