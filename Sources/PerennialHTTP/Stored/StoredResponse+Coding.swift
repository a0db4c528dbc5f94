// How a stored response is written, version 1:
//
//   magic "PRSP", version 1                          5 bytes
//   status, and then each list's length and each     LEB128 numbers, each string its length and its UTF-8;
//   string of: fields, request fields, vary names    of a field's value the bytes, whatever they are
//   body: its length and its bytes
//   CRC-32 of all before                             4 bytes, little-endian

extension StoredResponse {
    /// The name of this form, for `EntryMetadata.format`.
    public static let format = "http-response-1"

    fileprivate static let magic = Array("PRSP".utf8) + [1]

    /// This response as bytes that ``init(decoding:)`` reads.
    public func encode() -> [UInt8] { Self.encode(description: encodeDescription()[...], body: body) }

    /// The stored form, with all that comes before the body as ``encodeDescription()`` gives it.
    package static func encode(description: ArraySlice<UInt8>, body: some Collection<UInt8>) -> [UInt8] {
        var writer = Writer()
        writer.bytes.reserveCapacity(magic.count + description.count + body.count + 14)
        writer.bytes += magic
        writer.bytes += description
        writer.write(body.count)
        writer.bytes += body
        let checksum = crc32(writer.bytes[...])
        for shift in [0, 8, 16, 24] as [UInt32] { writer.bytes.append(UInt8(truncatingIfNeeded: checksum >> shift)) }
        return writer.bytes
    }

    /// Everything but the body.
    package func encodeDescription() -> [UInt8] {
        var writer = Writer()
        writer.write(status)
        writer.write(fields)
        writer.write(requestFields)
        writer.write(vary.count)
        for name in vary { writer.write(name) }
        return writer.bytes
    }

    /// Reads what ``encode()`` wrote.
    /// - Throws: ``DamagedResponse`` for anything else: cut short, changed, or of a version to come.
    public init(decoding bytes: [UInt8]) throws(DamagedResponse) {
        let layout = try StoredLayout(of: bytes)
        try self.init(description: bytes[layout.description])
        body = Array(bytes[layout.body])
    }

    /// Reads what ``encodeDescription()`` wrote, with an empty body.
    package init(description: ArraySlice<UInt8>) throws(DamagedResponse) {
        var reader = Reader(description)
        status = try reader.number()
        fields = try reader.fields()
        requestFields = try reader.fields()
        vary = try reader.list { reader throws(DamagedResponse) in try reader.string() }
        body = []
        guard reader.isAtEnd else { throw DamagedResponse("there is more than there should be") }
    }
}

/// Where the parts of a stored response lie among its bytes, found without a copy of any.
package struct StoredLayout: Sendable {
    /// All between the head of the format and the length of the body.
    package let description: Range<Int>
    package let body: Range<Int>

    /// - Throws: ``DamagedResponse`` for bytes that ``StoredResponse/encode()`` has not written.
    package init(of bytes: [UInt8]) throws(DamagedResponse) {
        let start = StoredResponse.magic.count
        let end = bytes.count - 4
        guard end >= start, bytes.starts(with: StoredResponse.magic) else {
            throw DamagedResponse("it doesn't begin as a response of version 1 does")
        }
        let checksum = bytes[end...].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        guard crc32(bytes[..<end]) == checksum else { throw DamagedResponse("its checksum is wrong") }
        var cursor = StoredCursor(index: start, end: end)
        _ = try cursor.number(bytes.span)
        var isASCII = true
        func skipTexts(_ count: Int) throws(DamagedResponse) {
            for _ in 0..<count {
                for index in try cursor.text(bytes.span) where bytes.span[index] >= 0x80 { isASCII = false }
            }
        }
        for _ in 0..<2 {
            let fields = try cursor.number(bytes.span)
            guard fields <= bytes.count else { throw DamagedResponse("it ends too early") }
            try skipTexts(2 * fields)
        }
        let varying = try cursor.number(bytes.span)
        try skipTexts(varying)
        description = start..<cursor.index
        body = try cursor.text(bytes.span)
        guard cursor.index == end else { throw DamagedResponse("there is more than there should be") }
        // Texts are nearly always ASCII; others are looked at more closely.
        if !isASCII { _ = try StoredResponse(description: bytes[description]) }
    }
}

/// Where the texts of a description lie among its bytes, as ``StoredResponse/encodeDescription()`` gives it.
package struct DescriptionLayout: Sendable {
    package let status: Int
    /// Those of the response, then those of the request; the value with the number before it, and without.
    package let fields: [(name: Range<Int>, counted: Range<Int>, value: Range<Int>)]
    package let responseFieldCount: Int
    /// The names in `Vary`, with what counts them.
    package let vary: Range<Int>

    package init(of description: Span<UInt8>) throws(DamagedResponse) {
        var cursor = StoredCursor(index: 0, end: description.count)
        var fields: [(name: Range<Int>, counted: Range<Int>, value: Range<Int>)] = []
        fields.reserveCapacity(16)
        status = try cursor.number(description)
        func read() throws(DamagedResponse) {
            for _ in 0..<(try cursor.number(description)) {
                let name = try cursor.text(description)
                let start = cursor.index
                let value = try cursor.text(description)
                fields.append((name, start..<value.upperBound, value))
            }
        }
        try read()
        responseFieldCount = fields.count
        try read()
        self.fields = fields
        vary = cursor.index..<description.count
    }
}

/// Walks over a stored form. Never past its end.
private struct StoredCursor {
    var index: Int
    let end: Int

    mutating func number(_ bytes: Span<UInt8>) throws(DamagedResponse) -> Int {
        var number: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 63, by: 7) {
            guard index < end else { throw DamagedResponse("it ends too early") }
            let byte = bytes[index]
            index += 1
            number |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return Int(number) }
        }
        throw DamagedResponse("a number is too large")
    }

    mutating func text(_ bytes: Span<UInt8>) throws(DamagedResponse) -> Range<Int> {
        let count = try number(bytes)
        guard count <= end - index else { throw DamagedResponse("it ends too early") }
        defer { index += count }
        return index..<index + count
    }
}

/// Bytes that are no stored response.
public struct DamagedResponse: Error, Hashable, CustomStringConvertible {
    public let description: String

    init(_ reason: String) {
        description = "the stored response can't be read: \(reason)"
    }
}

/// Calls `put` with the bytes of a number as descriptions have it.
package func encodeNumber(_ number: Int, _ put: (UInt8) -> Void) {
    var rest = UInt64(max(0, number))
    while rest >= 0x80 {
        put(UInt8(rest & 0x7F) | 0x80)
        rest >>= 7
    }
    put(UInt8(rest))
}

private struct Writer {
    var bytes: [UInt8] = []

    mutating func write(_ number: Int) {
        encodeNumber(number) { bytes.append($0) }
    }

    mutating func write(_ text: String) {
        write(text.utf8.count)
        bytes += text.utf8
    }

    mutating func write(_ fields: HeaderFields) {
        write(fields.count)
        for field in fields {
            write(field.name)
            field.value.withFieldBytes { value in
                write(value.count)
                bytes += value
            }
        }
    }
}

/// Reads a description. Never reserves more than is there.
private struct Reader {
    private let bytes: ArraySlice<UInt8>
    private var cursor: StoredCursor

    init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        cursor = StoredCursor(index: 0, end: bytes.count)
    }

    var isAtEnd: Bool { cursor.index == cursor.end }

    mutating func number() throws(DamagedResponse) -> Int {
        let bytes = bytes
        return try cursor.number(bytes.span)
    }

    private mutating func text() throws(DamagedResponse) -> ArraySlice<UInt8> {
        let bytes = bytes
        let place = try cursor.text(bytes.span)
        return bytes[bytes.startIndex + place.lowerBound..<bytes.startIndex + place.upperBound]
    }

    mutating func string() throws(DamagedResponse) -> String {
        guard let text = String(validating: try text(), as: UTF8.self) else {
            throw DamagedResponse("a text is not UTF-8")
        }
        return text
    }

    mutating func value() throws(DamagedResponse) -> String { String(fieldBytes: try text()) }

    /// A list grows as its members are read, so a false length costs nothing.
    mutating func list<Element>(
        _ member: (inout Reader) throws(DamagedResponse) -> Element
    ) throws(DamagedResponse) -> [Element] {
        var members: [Element] = []
        for _ in 0..<(try number()) { members.append(try member(&self)) }
        return members
    }

    mutating func fields() throws(DamagedResponse) -> HeaderFields {
        HeaderFields(
            try list { reader throws(DamagedResponse) in (try reader.string(), try reader.value()) })
    }
}
