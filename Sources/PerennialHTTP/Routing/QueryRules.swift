/// Which parameters of a query count, and in what order.
///
/// What does not count is not sent on: were it in what the origin sees and not in the key, one client's parameter could
/// change what the others get.
public struct QueryRules: Hashable, Sendable {
    /// Only these; `nil`: all.
    public var kept: [Wildcard]?
    /// These not, like `utm_*`.
    public var dropped: [Wildcard]
    /// Whether parameters are put in the order of their names; those of one name stay in theirs.
    public var isSorted: Bool

    public init(kept: [Wildcard]? = nil, dropped: [Wildcard] = [], isSorted: Bool = false) {
        self.kept = kept
        self.dropped = dropped
        self.isSorted = isSorted
    }

    /// Everything counts, as it was sent.
    public static let everything = QueryRules()

    /// - Parameter target: a path in normal form, perhaps with a query.
    public func applied(to target: String) -> String {
        guard self != .everything, let mark = target.bytes.firstIndex(of: UInt8(ascii: "?")) else { return target }
        let query = target[target.utf8.index(after: mark)...]
        var parameters = query.pieces(separatedBy: UInt8(ascii: "&")).filter { counts(name(of: $0)) }
        if isSorted {
            // Stable: position decides among equals.
            parameters = parameters.enumerated().map { (name: name(of: $1), offset: $0, parameter: $1) }
                .sorted { ($0.name, $0.offset) < ($1.name, $1.offset) }.map(\.parameter)
        }
        guard !parameters.isEmpty else { return String(target[..<mark]) }
        return target[...mark] + parameters.joined(separator: "&")
    }

    private func counts(_ name: Substring) -> Bool {
        (kept?.contains { $0.matches(name) } ?? true) && !dropped.contains { $0.matches(name) }
    }

    private func name(of parameter: Substring) -> Substring { parameter.before(UInt8(ascii: "=")) }
}
