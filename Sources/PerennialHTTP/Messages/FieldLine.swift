// Field lines and chunk sizes among received bytes (RFC 9112 §5, §7.1). Nothing is copied.

/// `field-name ":" OWS field-value OWS CRLF`: where name and value are.
package struct FieldLine: Hashable, Sendable {
    package var name: Range<Int>
    /// Without white space around it.
    package var value: Range<Int>
    /// The first byte of the next line.
    package var end: Int

    package enum Found: Hashable, Sendable {
        case line(FieldLine)
        /// The empty line, at the index that was asked for.
        case end
        /// More bytes are needed, or there are more than the limit.
        case more
    }

    /// - Parameter limit: nothing is looked for behind this index.
    package static func scan(
        _ bytes: Span<UInt8>, at start: Int, limit: Int
    ) throws(RequestSyntaxError) -> Found {
        let end = min(bytes.count, limit)
        var index = start
        guard index < end else { return .more }
        if bytes[index] == cr {
            guard index + 1 < end else { return .more }
            guard bytes[index + 1] == lf else { throw .bad("A line of the request ends with a CR that no LF follows.") }
            return .end
        }
        while index < end, bytes[index].isTokenByte { index += 1 }
        guard index < end else { return .more }
        let name = start..<index
        guard bytes[index] == UInt8(ascii: ":"), !name.isEmpty else {
            // Also a folded line, white space before a colon, and a bare LF.
            throw .bad("A line of the request's fields is not a name, a colon and a value.")
        }
        index += 1
        while index < end, bytes[index].isOptionalWhiteSpace { index += 1 }
        let value = index
        while index < end, bytes[index].isFieldByte { index += 1 }
        guard index + 1 < end else {
            if index < end, bytes[index] != cr {
                throw .bad("A value of the request's fields has control characters in it.")
            }
            return .more
        }
        guard bytes[index] == cr, bytes[index + 1] == lf else {
            throw .bad("A value of the request's fields has control characters in it.")
        }
        var valueEnd = index
        while valueEnd > value, bytes[valueEnd - 1].isOptionalWhiteSpace { valueEnd -= 1 }
        return .line(FieldLine(name: name, value: value..<valueEnd, end: index + 2))
    }
}

extension FieldLine {
    /// Whether this may not stand behind a body, since it says where the message ends or whose it is (RFC 9110 §6.5.1).
    package func isMisplacedTrailer(_ bytes: Span<UInt8>) -> Bool {
        let names: [StaticString] = ["content-length", "transfer-encoding", "host", "trailer", "connection"]
        for name in names where bytes.holds(name, at: self.name, ignoringCase: true) { return true }
        return false
    }
}

/// `chunk-size [ chunk-ext ] CRLF` (RFC 9112 §7.1).
package struct ChunkSize: Hashable, Sendable {
    /// In bytes; 0: the last chunk.
    package var size: Int64
    /// How many bytes the line has.
    package var length: Int

    /// Extensions are looked over and have no effect.
    /// - Returns: `nil`: more bytes are needed.
    package static func scan(_ bytes: Span<UInt8>) throws(RequestSyntaxError) -> ChunkSize? {
        let end = min(bytes.count, 1024)
        var size: Int64 = 0
        var index = 0
        while index < end, let digit = bytes[index].hexValue {
            guard index < 15 else { throw .bad("A chunk of the request's body is too large.") }
            size = size << 4 | Int64(digit)
            index += 1
        }
        if index < end, index == 0 { throw .bad("A chunk of the request's body does not begin with its size.") }
        index = try skipExtensions(bytes, from: index, to: end)
        if index < end, bytes[index] != cr { throw .bad("The size of a chunk of the request's body is not a number.") }
        guard index + 1 < end else {
            if bytes.count >= 1024 { throw .bad("A chunk of the request's body has extensions that are too long.") }
            return nil
        }
        guard bytes[index + 1] == lf else { throw .bad("The size of a chunk of the request's body is not a number.") }
        return ChunkSize(size: size, length: index + 2)
    }

    /// `*( ";" chunk-ext-name [ "=" chunk-ext-val ] )` (RFC 9112 §7.1.1), without the white space that nobody should
    /// send.
    private static func skipExtensions(
        _ bytes: Span<UInt8>, from start: Int, to end: Int
    ) throws(RequestSyntaxError) -> Int {
        var index = start
        func skipToken() throws(RequestSyntaxError) {
            let start = index
            while index < end, bytes[index].isTokenByte { index += 1 }
            if index < end, index == start {
                throw .bad("An extension of a chunk of the request's body is not a name and a value.")
            }
        }
        while index < end, bytes[index] == UInt8(ascii: ";") {
            index += 1
            try skipToken()
            guard index < end, bytes[index] == UInt8(ascii: "=") else { continue }
            index += 1
            guard index < end, bytes[index] == UInt8(ascii: "\"") else {
                try skipToken()
                continue
            }
            index += 1
            while index < end, bytes[index] != UInt8(ascii: "\"") {
                if bytes[index] == UInt8(ascii: "\\"), index + 1 < end { index += 1 }
                guard bytes[index].isFieldByte else {
                    throw .bad("An extension of a chunk of the request's body does not end.")
                }
                index += 1
            }
            if index < end { index += 1 }
        }
        return index
    }
}

let cr = UInt8(ascii: "\r")
let lf = UInt8(ascii: "\n")
let space = UInt8(ascii: " ")

extension UInt8 {
    /// `isTokenCharacter`, by one look into a table of bits.
    var isTokenByte: Bool {
        if self < 64 { return 0x03FF_6CFA_0000_0000 as UInt64 >> UInt64(self) & 1 == 1 }
        if self < 128 { return 0x57FF_FFFF_C7FF_FFFE as UInt64 >> UInt64(self - 64) & 1 == 1 }
        return false
    }

    /// What field values are made of: visible characters, spaces, tabs, and bytes above ASCII (RFC 9110 §5.5).
    package var isFieldByte: Bool { self >= 0x20 && self != 0x7F || self == 0x09 }
}

extension Span<UInt8> {
    func text(_ range: Range<Int>) -> String { String(decoding: range.map { self[$0] }, as: UTF8.self) }

    /// Whether these bytes are there.
    /// - Parameter text: in lower case when case is ignored.
    package func holds(_ text: StaticString, at range: Range<Int>, ignoringCase: Bool = false) -> Bool {
        guard range.count == text.utf8CodeUnitCount else { return false }
        for index in range {
            let (found, byte) = (self[index], text.utf8Start[index - range.lowerBound])
            if found != byte && !(ignoringCase && found.lowercasedASCII == byte) { return false }
        }
        return true
    }
}
