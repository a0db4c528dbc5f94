/// Which cookies of a request count.
///
/// What does not count is as if the client had not sent it wherever an answer may be kept for others: it is neither a
/// credential nor sent to the origin.
public struct CookieRules: Hashable, Sendable {
    /// Only these; `nil`: all.
    public var kept: [Wildcard]?
    /// These not, like `_ga*`.
    public var dropped: [Wildcard]

    public init(kept: [Wildcard]? = nil, dropped: [Wildcard] = []) {
        self.kept = kept
        self.dropped = dropped
    }

    /// Every cookie counts.
    public static let everything = CookieRules()

    /// The fields of a request with the cookies that count; a `Cookie` of which nothing is left is left out.
    public func applied(to request: HeaderFields) -> HeaderFields {
        guard self != .everything, request.contains("Cookie") else { return request }
        return HeaderFields(
            request.compactMap { field -> (String, String)? in
                guard field.name.equalsIgnoringCase("Cookie") else { return (field.name, field.value) }
                let left = applied(to: field.value)
                return left.isEmpty ? nil : (field.name, left)
            })
    }

    /// The pairs of a cookie string (RFC 6265 §4.2.1) that count. One without a `=` is a name, as some servers take it.
    private func applied(to value: String) -> String {
        value.pieces(separatedBy: UInt8(ascii: ";")).map(\.trimmed)
            .filter { !$0.isEmpty && counts($0.before(UInt8(ascii: "=")).trimmed) }
            .joined(separator: "; ")
    }

    private func counts(_ name: Substring) -> Bool {
        (kept?.contains { $0.matches(name) } ?? true) && !dropped.contains { $0.matches(name) }
    }
}
