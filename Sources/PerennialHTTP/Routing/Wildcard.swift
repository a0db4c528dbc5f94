/// Text in which `*` stands for any text: `utm_*`, `v*`.
public struct Wildcard: Hashable, Sendable, CustomStringConvertible {
    /// What stands between the asterisks; one part: there are none.
    private let parts: [[UInt8]]

    public init(_ text: some StringProtocol) {
        parts = text.utf8.split(separator: UInt8(ascii: "*"), omittingEmptySubsequences: false).map { Array($0) }
    }

    /// Whether there is an asterisk.
    public var isWild: Bool { parts.count > 1 }

    public var description: String { parts.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "*") }

    public func matches(_ text: some StringProtocol) -> Bool {
        let bytes = Array(text.bytes)
        return matches(bytes.span, at: bytes.indices)
    }

    func matches(_ bytes: Span<UInt8>, at range: Range<Int>) -> Bool {
        guard let first = parts.first, let last = parts.last else { return false }
        guard parts.count > 1 else { return range.count == first.count && bytes.holds(first, at: range.lowerBound) }
        guard range.count >= first.count + last.count, bytes.holds(first, at: range.lowerBound),
            bytes.holds(last, at: range.upperBound - last.count)
        else { return false }
        // What comes between is taken where it comes first: that leaves most for the rest.
        var index = range.lowerBound + first.count
        let end = range.upperBound - last.count
        for part in parts.dropFirst().dropLast() {
            while index + part.count <= end, !bytes.holds(part, at: index) { index += 1 }
            index += part.count
            if index > end { return false }
        }
        return true
    }
}

extension Span<UInt8> {
    /// Whether `part` lies at `index`; the caller sees that there is room for it.
    func holds(_ part: [UInt8], at index: Int) -> Bool {
        for offset in part.indices where self[index + offset] != part[offset] { return false }
        return true
    }
}
