/// Names one entry: a cache's name and a key within that cache.
public struct EntryKey: Hashable, Sendable, Codable, Comparable, CustomStringConvertible {
    /// The cache's name.
    public let cache: String
    /// The key in its text form.
    public let key: String

    public init(cache: String, key: String) {
        self.cache = cache
        self.key = key
    }

    public static func < (left: EntryKey, right: EntryKey) -> Bool {
        (left.cache, left.key) < (right.cache, right.key)
    }

    public var description: String { "\(cache)/\(key)" }
}

/// What an origin gave to ask it later whether a value has changed.
public struct Validator: Hashable, Sendable, Codable {
    /// The entity tag, with its quotes and its `W/` if it is weak (RFC 9110 §8.8.3).
    public var etag: String?
    /// The modification date as the origin wrote it (RFC 9110 §8.8.2).
    public var lastModified: String?

    public init(etag: String? = nil, lastModified: String? = nil) {
        self.etag = etag
        self.lastModified = lastModified
    }
}

/// Where in the order of a store's writes something stands.
///
/// A store gives every write (save, set, mark stale, remove) a number greater than all earlier ones for the same key,
/// and hands out the current number with every read. So "was this key written after I looked?" is one comparison.
public struct Generation: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
    public let number: Int64

    @inlinable
    public init(_ number: Int64) {
        self.number = number
    }

    /// Before every write.
    public static let zero = Generation(0)
    /// A job's, when who queued it does not know the entry: it is refreshed unless the origin has confirmed it since.
    public static let unknown = Generation(-1)

    @inlinable
    public static func < (left: Generation, right: Generation) -> Bool {
        left.number < right.number
    }

    public var description: String { String(number) }

    public init(from decoder: any Decoder) throws {
        number = try decoder.singleValueContainer().decode(Int64.self)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(number)
    }
}

/// Everything a store keeps about an entry, except the value's bytes.
public struct EntryMetadata: Hashable, Sendable {
    public var key: EntryKey
    /// The origin said "no such thing": there are no bytes.
    public var isAbsent: Bool
    /// Which codec wrote the bytes, for example `json`.
    public var format: String
    /// When these bytes were first saved.
    public var savedAt: Timestamp
    /// When the origin last confirmed them.
    public var confirmedAt: Timestamp
    public var limits: Limits
    /// When the entry was marked stale by hand, if it was since it was last confirmed.
    public var markedStaleAt: Timestamp?
    public var validator: Validator?
    /// Sorted, without repeats.
    public var tags: [String]
    /// The write that made this version. Set by the store.
    public var generation: Generation
    /// The size of the value's bytes. Set by the store.
    public var size: Int

    public init(
        key: EntryKey, isAbsent: Bool = false, format: String, savedAt: Timestamp, confirmedAt: Timestamp,
        limits: Limits, markedStaleAt: Timestamp? = nil, validator: Validator? = nil, tags: [String] = [],
        generation: Generation = .zero, size: Int = 0
    ) {
        self.key = key
        self.isAbsent = isAbsent
        self.format = format
        self.savedAt = savedAt
        self.confirmedAt = confirmedAt
        self.limits = limits
        self.markedStaleAt = markedStaleAt
        self.validator = validator
        self.tags = tags
        self.generation = generation
        self.size = size
    }

    /// The times at which this entry changes state.
    public var freshness: Freshness {
        Freshness(confirmedAt: confirmedAt, limits: limits, markedStaleAt: markedStaleAt)
    }

    /// From then on the janitor removes it: when it may not be served any more, even on error; with a validator a day
    /// later, since until then the origin may still say "not modified" and save sending the value again.
    public var deadAt: Timestamp {
        validator == nil ? freshness.uselessAt : freshness.uselessAt + .days(1)
    }
}

/// An entry as a store keeps it: its metadata and the encoded value.
public struct StoredEntry: Hashable, Sendable {
    public var metadata: EntryMetadata
    /// The encoded value; empty when the entry is absent.
    public var bytes: [UInt8]

    public init(metadata: EntryMetadata, bytes: [UInt8]) {
        self.metadata = metadata
        self.bytes = bytes
    }
}
