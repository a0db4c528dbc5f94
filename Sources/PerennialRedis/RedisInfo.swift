/// What a server says of itself: lines of a name, `:` and a value.
struct RedisInfo {
    private let lines: [Substring]

    init(_ reply: RedisReply) {
        lines = (reply.text ?? "").split(whereSeparator: \.isNewline)
    }

    subscript(name: String) -> String? {
        lines.first { $0.hasPrefix(name + ":") }.map { String($0.dropFirst(name.count + 1)) }
    }
}

/// Says once that a server may remove what it must not.
package func evictionWarning(_ policy: String, of what: String) -> String {
    "Redis has maxmemory-policy \(policy): when it is full, it may remove \(what) as well as entries; "
        + "set maxmemory-policy volatile-lru, or give Perennial a server of its own"
}
