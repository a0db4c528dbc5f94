import Perennial

/// How an entry's metadata lies in its columns, and back. What makes no sense is no entry.
enum EntryRow {
    /// The columns that ``metadata(_:key:)`` reads, in its order.
    static let columns = """
        e.generation, e.absent, e.format, e.saved_at, e.confirmed_at, e.refresh_after, e.expire_after, e.stale_if_error,
        e.marked_stale_at, e.etag, e.last_modified, e.tags, e.size
        """
    static let columnCount: CInt = 13

    static func metadata(_ row: Columns, key: EntryKey) -> EntryMetadata? {
        for column: CInt in [0, 1, 2, 3, 4, 5, 6, 7, 12] where row.isNull(column) { return nil }
        let soft = row.integer(5)
        let hard = row.integer(6)
        let useless = row.integer(7)
        guard 0 <= soft, soft <= hard, hard <= useless, row.integer(12) >= 0 else { return nil }
        let etag = row.optionalText(9)
        let lastModified = row.optionalText(10)
        return EntryMetadata(
            key: key,
            isAbsent: row.integer(1) != 0,
            format: row.text(2),
            savedAt: Timestamp(milliseconds: row.integer(3)),
            confirmedAt: Timestamp(milliseconds: row.integer(4)),
            limits: Limits(raising: .milliseconds(soft), .milliseconds(hard), .milliseconds(useless)),
            markedStaleAt: row.optionalInteger(8).map { Timestamp(milliseconds: $0) },
            validator: etag == nil && lastModified == nil ? nil : Validator(etag: etag, lastModified: lastModified),
            tags: row.optionalText(11).map(TextList.decode) ?? [],
            generation: Generation(row.integer(0)),
            size: Int(row.integer(12)))
    }
}

/// Texts as one: a line each, with backslashes before line breaks and backslashes. None at all are `NULL`.
enum TextList {
    static func encode(_ texts: [String]) -> String? {
        if texts.isEmpty { return nil }
        return texts.map { text in
            guard text.utf8.contains(where: { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\\") }) else {
                return text
            }
            var escaped = ""
            for scalar in text.unicodeScalars {
                switch scalar {
                case "\\": escaped += "\\\\"
                case "\n": escaped += "\\n"
                default: escaped.unicodeScalars.append(scalar)
                }
            }
            return escaped
        }.joined(separator: "\n")
    }

    static func decode(_ text: String) -> [String] {
        var text = text
        return text.withUTF8 { utf8 in
            utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map { line in
                guard line.contains(UInt8(ascii: "\\")) else { return String(decoding: line, as: UTF8.self) }
                var plain: [UInt8] = []
                var isEscaped = false
                for byte in line {
                    switch (isEscaped, byte) {
                    case (false, UInt8(ascii: "\\")): isEscaped = true
                    case (true, UInt8(ascii: "n")):
                        plain.append(UInt8(ascii: "\n"))
                        isEscaped = false
                    default:
                        plain.append(byte)
                        isEscaped = false
                    }
                }
                return String(decoding: plain, as: UTF8.self)
            }
        }
    }
}
