import Perennial

/// An entry as a document, which people may look at:
///
/// ```
/// { _id: "ada", value: { name: "Ada", followers: 1200 }, format: "json", tags: ["x"],
///   modify_date: ISODate(…), saved_at: ISODate(…), dead_at: ISODate(…), touched_at: ISODate(…),
///   refresh_after: 3600000, expire_after: …, stale_if_error: …, etag: …, last_modified: …,
///   size: 31, cost: 300, generation: …, basis: …, lease: { token: …, until: ISODate(…) } }
/// ```
///
/// `value` is there when the bytes are a JSON object or array; `raw` when the very bytes can't be made from it again, and then `raw` is
/// what is read. Durations are in milliseconds. A document with `removed_at` is a tombstone; one with a lease only is a
/// missing key that somebody fetches.
enum EntryDocument {
    /// The largest entry that is kept, in bytes, its texts included: a document may have 16 MiB, and a small value is in it in
    /// both forms.
    static let largest = 15_500_000
    /// No document is larger.
    private static let sizeLimit: Int64 = 16 << 20
    /// As bytes of UTF-8; what is larger is not searched by anybody, and parsing it takes time.
    private static let largestSearched = 1_000_000

    /// What only a live entry has.
    static let live = [
        "value", "raw", "format", "absent", "modify_date", "saved_at", "refresh_after", "expire_after",
        "stale_if_error",
        "marked_stale_at", "etag", "last_modified", "tags", "dead_at", "touched_at", "size", "cost", "basis",
    ]

    /// The update that saves an entry, whatever is there.
    static func save(_ metadata: EntryMetadata, _ bytes: [UInt8], sequence: Int64) -> BSON.Document {
        var set = fields(metadata, sequence: sequence)
        set.append("format", .text(metadata.format))
        set.append("saved_at", .time(metadata.savedAt))
        set.append("size", .int64(Int64(bytes.count)))
        if metadata.isAbsent { set.append("absent", true) }
        var value: BSON?
        if metadata.format == "json", bytes.count <= largestSearched { value = JSONDocument.parse(bytes) }
        if let value { set.append("value", value) }
        if value.flatMap({ JSONDocument.render($0) }) != bytes { set.append("raw", .binary(bytes)) }
        return update(set, unsetting: live + ["removed_at"])
    }

    /// The update that confirms one.
    static func confirm(_ metadata: EntryMetadata, size: Int64, sequence: Int64) -> BSON.Document {
        var metadata = metadata
        metadata.size = Int(min(max(size, 0), sizeLimit))
        return update(
            fields(metadata, sequence: sequence), unsetting: ["marked_stale_at", "etag", "last_modified", "dead_at"])
    }

    /// The update that leaves a tombstone.
    static func remove(generation: BSON.Document, at now: Timestamp, endsLease: Bool) -> BSON.Document {
        var update = update(["removed_at": .time(now)], unsetting: live + (endsLease ? ["lease"] : []))
        for field in generation.fields {
            var part = update[field.name]?.document ?? [:]
            for field in field.value.document?.fields ?? [] { part[field.name] = field.value }
            update[field.name] = .document(part)
        }
        return update
    }

    /// What saving and confirming have in common.
    private static func fields(_ metadata: EntryMetadata, sequence: Int64) -> BSON.Document {
        var set: BSON.Document = [
            "generation": .int64(Stamp.generation(sequence)), "basis": .int64(sequence),
            "modify_date": .time(metadata.confirmedAt),
            "refresh_after": .int64(metadata.limits.refreshAfter.milliseconds),
            "expire_after": .int64(metadata.limits.expireAfter.milliseconds),
            "stale_if_error": .int64(metadata.limits.staleIfError.milliseconds),
            "tags": .array(metadata.tags.map { .text($0) }), "cost": .int64(Int64(metadata.storedSize)),
        ]
        if let marked = metadata.markedStaleAt { set.append("marked_stale_at", .time(marked)) }
        if let etag = metadata.validator?.etag { set.append("etag", .text(etag)) }
        if let modified = metadata.validator?.lastModified { set.append("last_modified", .text(modified)) }
        // Without it an entry never dies.
        if case .date(let dead) = BSON.time(metadata.deadAt) { set.append("dead_at", .date(dead)) }
        return set
    }

    private static func update(_ set: BSON.Document, unsetting names: [String]) -> BSON.Document {
        var unset: BSON.Document = [:]
        for name in names where set[name] == nil && name != "touched_at" { unset.append(name, true) }
        if names.contains("touched_at"), set["removed_at"] != nil { unset.append("touched_at", true) }
        var update: BSON.Document = ["$set": .document(set)]
        if !unset.isEmpty { update.append("$unset", .document(unset)) }
        return update
    }

    // MARK: Reading

    /// - Returns: `nil` when it makes no sense.
    static func metadata(_ document: BSON.Document, _ key: EntryKey) -> EntryMetadata? {
        guard let generation = document["generation"]?.number, let format = document["format"]?.text,
            let savedAt = document["saved_at"]?.time, let confirmedAt = document["modify_date"]?.time,
            let soft = document["refresh_after"]?.number, let hard = document["expire_after"]?.number,
            let useless = document["stale_if_error"]?.number, let tags = document["tags"]?.array,
            let size = document["size"]?.number, 0 <= soft, soft <= hard, hard <= useless,
            (0...sizeLimit).contains(size)
        else { return nil }
        let texts = tags.compactMap(\.text)
        let (etag, modified) = (document["etag"]?.text, document["last_modified"]?.text)
        guard texts.count == tags.count else { return nil }
        return EntryMetadata(
            key: key, isAbsent: document["absent"]?.flag ?? false, format: format, savedAt: savedAt,
            confirmedAt: confirmedAt,
            limits: Limits(raising: .milliseconds(soft), .milliseconds(hard), .milliseconds(useless)),
            markedStaleAt: document["marked_stale_at"]?.time,
            validator: etag == nil && modified == nil ? nil : Validator(etag: etag, lastModified: modified),
            tags: texts, generation: Generation(generation), size: Int(size))
    }

    /// - Returns: `nil` when it makes no sense.
    static func entry(_ document: BSON.Document, _ key: EntryKey) -> StoredEntry? {
        guard let metadata = metadata(document, key) else { return nil }
        let bytes = document["raw"]?.binary ?? document["value"].flatMap { JSONDocument.render($0) }
        guard let bytes, bytes.count == metadata.size else { return nil }
        return StoredEntry(metadata: metadata, bytes: bytes)
    }
}

extension Horizon {
    /// What a reader gets who looked here first and then at the key's document.
    func record(_ document: BSON.Document?, _ key: EntryKey, unreadable: (EntryKey) -> Void) -> StoreRecord {
        guard let document else { return StoreRecord(entry: nil, fence: fence(seeing: nil)) }
        let known = KnownKey(document)
        let fence = fence(seeing: known.generation)
        guard let basis = known.basis else {
            // A tombstone, or a lease only.
            if document["removed_at"] == nil, document["format"] != nil { unreadable(key) }
            return StoreRecord(entry: nil, fence: fence)
        }
        if removal(basis: basis, tags: known.tags) != nil { return StoreRecord(entry: nil, fence: fence) }
        guard var entry = EntryDocument.entry(document, key) else {
            unreadable(key)
            return StoreRecord(entry: nil, fence: fence)
        }
        apply(basis, to: &entry.metadata)
        return StoreRecord(entry: entry, fence: fence)
    }

    /// Puts the marks of purges on an entry whose document may not have them yet.
    func apply(_ basis: Int64, to metadata: inout EntryMetadata) {
        for mark in marks(basis: basis, tags: metadata.tags) {
            metadata.markedStaleAt = min(metadata.markedStaleAt ?? mark.at, mark.at)
            metadata.generation = max(metadata.generation, Generation(Stamp.generation(mark.sequence)))
        }
    }
}

extension BSON {
    /// A date, where people's tools can show it as one: up to the year 9999.
    static func time(_ time: Timestamp) -> BSON {
        let milliseconds = time.milliseconds
        return (0...253_402_300_799_999).contains(milliseconds) ? .date(milliseconds) : .int64(milliseconds)
    }

    /// A date always: what is compared with others must be of one type.
    static func date(clamping time: Timestamp) -> BSON {
        .date(min(max(time.milliseconds, 0), 253_402_300_799_999))
    }

    var time: Timestamp? {
        switch self {
        case .date(let milliseconds), .int64(let milliseconds): Timestamp(milliseconds: milliseconds)
        default: nil
        }
    }
}
