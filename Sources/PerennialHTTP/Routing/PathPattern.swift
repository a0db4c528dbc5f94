/// Which paths a route is for, told by their first segments.
///
/// `/users` is for `/users` and all that lies below it, but not for `/users2`. In a segment, `*` stands for any text
/// (`/users/*/photos`, `/v*`); a segment `**`, of which there may be one, stands for any number of segments
/// (`/**/photos`).
public struct PathPattern: Hashable, Sendable, CustomStringConvertible {
    private enum Segment: Hashable, Sendable {
        case one(Wildcard)
        /// `**`
        case many
    }

    private let segments: [Segment]
    /// The path itself, without a slash at its end, when nothing in it is wild.
    let literal: [UInt8]?

    /// - Parameter text: begins with a slash. Percent-encoding is brought into its normal form.
    /// - Throws: ``AddressError`` in one line for whoever wrote it.
    public init(_ text: String) throws(AddressError) {
        let what = "path \(shown(text))"
        guard text.hasPrefix("/") else {
            throw AddressError("\(what) doesn't begin with a slash; write it like /users")
        }
        guard text.bytes.allSatisfy({ $0.isVisible && !"?#".utf8.contains($0) }) else {
            throw AddressError("\(what) has a ?, a # or a character to be percent-encoded; write it like /users")
        }
        let bytes = normalisingPercentEncoding(text.bytes)
        var segments: [Segment] = []
        for part in String(decoding: bytes, as: UTF8.self).split(separator: "/") {
            if part == "." || part == ".." { throw AddressError("\(what) has a segment “\(part)”; leave it out") }
            segments.append(part == "**" ? .many : .one(Wildcard(part)))
        }
        guard segments.count(where: { $0 == .many }) <= 1 else {
            throw AddressError("\(what) has ** more than once; once is enough to skip any number of segments")
        }
        self.init(segments)
    }

    private init(_ segments: [Segment]) {
        self.segments = segments
        let isWild = segments.contains { segment in
            if case .one(let text) = segment { text.isWild } else { true }
        }
        literal = isWild ? nil : Array(Self.describe(segments).utf8)
    }

    /// All paths.
    public static let all = PathPattern([])

    public var description: String { segments.isEmpty ? "/" : Self.describe(segments) }

    /// Whether nothing in it is wild.
    public var isLiteral: Bool { literal != nil }

    private static func describe(_ segments: [Segment]) -> String {
        segments.map { segment in
            if case .one(let text) = segment { "/\(text)" } else { "/**" }
        }.joined()
    }

    public func matches(_ path: String) -> Bool {
        let bytes = Array(path.bytes)
        return matches(bytes.span, at: bytes.indices)
    }

    /// - Parameter range: a path in normal form, perhaps with a query.
    func matches(_ bytes: Span<UInt8>, at range: Range<Int>) -> Bool {
        if let literal {
            guard range.count >= literal.count, bytes.holds(literal, at: range.lowerBound) else { return false }
            return bytes.isSegmentEnd(range.lowerBound + literal.count, in: range)
        }
        return matches(segments[...], bytes, range)
    }

    private func matches(_ segments: ArraySlice<Segment>, _ bytes: Span<UInt8>, _ rest: Range<Int>) -> Bool {
        guard let first = segments.first else { return true }
        switch first {
        case .one(let text):
            guard let segment = bytes.segment(at: rest), text.matches(bytes, at: segment) else { return false }
            return matches(segments.dropFirst(), bytes, segment.upperBound..<rest.upperBound)
        case .many:
            var rest = rest
            while !matches(segments.dropFirst(), bytes, rest) {
                guard let segment = bytes.segment(at: rest) else { return false }
                rest = segment.upperBound..<rest.upperBound
            }
            return true
        }
    }

    /// The same paths below another.
    /// - Parameter base: as ``OriginURL/basePath``.
    func below(_ base: String) -> PathPattern {
        PathPattern(base.split(separator: "/").map { .one(Wildcard($0)) } + segments)
    }

    /// Whether some path may be both's. May say yes without need.
    package func mayShare(with other: PathPattern) -> Bool {
        for (one, two) in zip(segments, other.segments) {
            guard case .one(let one) = one, case .one(let two) = two else { return true }
            if one.isWild && two.isWild { continue }
            if !(one.isWild ? one.matches(two.description) : two.matches(one.description)) { return false }
        }
        return true
    }

    /// Whether every path of `other` is this one's, too. May say no without need.
    func covers(_ other: PathPattern) -> Bool {
        if let literal, let otherLiteral = other.literal {
            return otherLiteral.span.isBelow(literal)
        }
        return other.segments.starts(with: segments)
    }
}

extension Span<UInt8> {
    /// Whether a segment ends here: at the path's end, or where another or the query begins.
    fileprivate func isSegmentEnd(_ index: Int, in range: Range<Int>) -> Bool {
        index == range.upperBound || self[index] == UInt8(ascii: "/") || self[index] == UInt8(ascii: "?")
    }

    /// The segment behind the slash at the beginning of a path's rest.
    fileprivate func segment(at rest: Range<Int>) -> Range<Int>? {
        guard !rest.isEmpty, self[rest.lowerBound] == UInt8(ascii: "/") else { return nil }
        var end = rest.lowerBound + 1
        while !isSegmentEnd(end, in: rest) { end += 1 }
        return rest.lowerBound + 1..<end
    }

    fileprivate func isBelow(_ path: [UInt8]) -> Bool {
        count >= path.count && holds(path, at: 0) && isSegmentEnd(path.count, in: 0..<count)
    }
}
