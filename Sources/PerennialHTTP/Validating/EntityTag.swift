/// An entity tag (RFC 9110 §8.8.3).
struct EntityTag: Hashable {
    var isWeak: Bool
    /// Without quotes; a tag that was written without them is equal to the one written with.
    var opaque: String

    /// Weak comparison: whether both may stand for the same representation (RFC 9110 §8.8.3.2).
    func weaklyMatches(_ other: EntityTag) -> Bool {
        opaque == other.opaque
    }

    /// Strong comparison: whether both stand for the very same bytes.
    func stronglyMatches(_ other: EntityTag) -> Bool {
        !isWeak && !other.isWeak && opaque == other.opaque
    }

    /// Whether both may stand for the same thing at an origin: weakly the same, or the same but for what servers append
    /// to the tag of what they encode, as in `"x-gzip"` (Apache, Caddy), `"x;gzip"` or `"x--br"` (Jetty).
    func matchesApartFromCoding(_ other: EntityTag) -> Bool {
        weaklyMatches(other) || uncodedOpaque == other.uncodedOpaque
    }

    private var uncodedOpaque: Substring {
        for coding in contentCodings where opaque.hasSuffix(coding) {
            let rest = opaque.dropLast(coding.utf8.count)
            guard let separator = rest.last, codingSeparators.contains(separator) else { continue }
            // Some write it twice.
            let tag = rest.dropLast()
            return tag.last == separator ? tag.dropLast() : tag
        }
        return opaque[...]
    }

    /// One tag; `nil` for nothing.
    init?(_ text: String) {
        guard let first = Self.list(text).first else { return nil }
        self = first
    }

    private init(isWeak: Bool, opaque: some Collection<UInt8>) {
        self.isWeak = isWeak
        self.opaque = String(decoding: opaque, as: UTF8.self)
    }

    /// The tags of an `If-None-Match`. Commas may be part of a tag, and there are no escapes.
    static func list(_ value: String) -> [EntityTag] {
        var tags: [EntityTag] = []
        var rest = CountedBytes(Array(value.bytes))[...]
        while true {
            rest = rest.drop { $0.isOptionalWhiteSpace || $0 == UInt8(ascii: ",") }
            if rest.isEmpty { return tags }
            let isWeak = rest.starts(with: "W/".utf8)
            if isWeak { rest = rest.dropFirst(2) }
            if rest.first == UInt8(ascii: "\""), let close = rest.dropFirst().firstIndex(of: UInt8(ascii: "\"")) {
                tags.append(EntityTag(isWeak: isWeak, opaque: rest[(rest.startIndex + 1)..<close]))
                rest = rest[(close + 1)...]
            } else {
                let end = rest.firstIndex(of: UInt8(ascii: ",")) ?? rest.endIndex
                let bare = String(decoding: rest[..<end], as: UTF8.self).trimmed
                tags.append(EntityTag(isWeak: isWeak, opaque: bare.bytes))
                rest = rest[end...]
            }
        }
    }
}

/// What is appended to a tag for a content coding; of two that end alike the longer one comes first.
private let contentCodings = ["x-gzip", "gzip", "br", "zstd", "deflate", "compress", "dcb", "dcz"]
private let codingSeparators: Set<Character> = ["-", ";", ":", "+", "."]
