import Perennial

/// How an entry's metadata lies in the fields of its hash, and back. What makes no sense is no entry.
///
/// Numbers have 8 bytes, the lowest first; texts follow their length in bytes.
enum EntryFields {
    /// What a save writes: when, whether absent, the format, the size.
    static func origin(of metadata: EntryMetadata, size: Int) -> [UInt8] {
        var writer = FieldWriter()
        writer.put(metadata.savedAt.milliseconds)
        writer.put(metadata.isAbsent ? 1 : 0)
        writer.put(metadata.format)
        writer.put(Int64(size))
        return writer.bytes
    }

    /// What a confirmation writes, too: when, the limits, the validator, the tags.
    static func confirmation(of metadata: EntryMetadata) -> [UInt8] {
        var writer = FieldWriter()
        writer.put(metadata.confirmedAt.milliseconds)
        writer.put(metadata.limits.refreshAfter.milliseconds)
        writer.put(metadata.limits.expireAfter.milliseconds)
        writer.put(metadata.limits.staleIfError.milliseconds)
        writer.put(metadata.validator?.etag)
        writer.put(metadata.validator?.lastModified)
        writer.put(Int64(metadata.tags.count))
        for tag in metadata.tags { writer.put(tag) }
        return writer.bytes
    }

    /// - Parameters:
    ///   - origin: what ``origin(of:size:)`` wrote.
    ///   - confirmation: what ``confirmation(of:)`` wrote.
    static func metadata(
        key: EntryKey, generation: Int64, origin: [UInt8], confirmation: [UInt8], markedStaleAt: Int64?
    ) -> EntryMetadata? {
        var first = FieldReader(origin)
        guard let savedAt = first.number(), let absent = first.number(), let format = first.text(),
            let size = first.number(), size >= 0, first.isAtEnd
        else { return nil }
        var second = FieldReader(confirmation)
        guard let confirmedAt = second.number(), let soft = second.number(), let hard = second.number(),
            let useless = second.number(), 0 <= soft, soft <= hard, hard <= useless,
            let etag = second.optionalText(), let lastModified = second.optionalText(), let count = second.number(),
            (0...10_000).contains(count)
        else { return nil }
        var tags: [String] = []
        for _ in 0..<count {
            guard let tag = second.text() else { return nil }
            tags.append(tag)
        }
        guard second.isAtEnd else { return nil }
        return EntryMetadata(
            key: key, isAbsent: absent != 0, format: format, savedAt: Timestamp(milliseconds: savedAt),
            confirmedAt: Timestamp(milliseconds: confirmedAt),
            limits: Limits(raising: .milliseconds(soft), .milliseconds(hard), .milliseconds(useless)),
            markedStaleAt: markedStaleAt.map { Timestamp(milliseconds: $0) },
            validator: etag == nil && lastModified == nil ? nil : Validator(etag: etag, lastModified: lastModified),
            tags: tags, generation: Generation(generation), size: Int(size))
    }
}

private struct FieldWriter {
    private(set) var bytes: [UInt8] = []

    mutating func put(_ number: Int64) {
        withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func put(_ text: String) {
        put(Int64(text.utf8.count))
        bytes.append(contentsOf: text.utf8)
    }

    /// A length of -1 is nothing.
    mutating func put(_ text: String?) {
        if let text { put(text) } else { put(-1) }
    }
}

private struct FieldReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) {
        rest = bytes[...]
    }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func number() -> Int64? {
        guard rest.count >= 8 else { return nil }
        defer { rest.removeFirst(8) }
        return rest.withUnsafeBytes { Int64(littleEndian: $0.loadUnaligned(as: Int64.self)) }
    }

    mutating func text() -> String? {
        guard let count = number() else { return nil }
        return text(count)
    }

    /// The outer optional: whether it makes sense.
    mutating func optionalText() -> String?? {
        guard let count = number() else { return nil }
        if count == -1 { return .some(nil) }
        return text(count).map { .some($0) }
    }

    private mutating func text(_ count: Int64) -> String? {
        guard count >= 0, count <= Int64(rest.count) else { return nil }
        defer { rest.removeFirst(Int(count)) }
        return String(validating: rest.prefix(Int(count)), as: UTF8.self)
    }
}
