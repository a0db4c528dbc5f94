// How a stored response is written, version 1:
//
//   magic "PRSP", version 1                          5 bytes
//   status, and then each list's length and each     LEB128 numbers, each string its length and its UTF-8
//   string of: fields, request fields, vary names
//   body: its length and its bytes
//   CRC-32 of all before                             4 bytes, little-endian

extension StoredResponse {
    /// The name of this form, for `EntryMetadata.format`.
    public static let format = "http-response-1"

    private static let magic = Array("PRSP".utf8) + [1]

    /// This response as bytes that ``init(decoding:)`` reads.
    public func encode() -> [UInt8] {
        var writer = Writer()
        writer.bytes.reserveCapacity(body.count + 1024)
        writer.bytes += Self.magic
        writer.write(status)
        writer.write(fields)
        writer.write(requestFields)
        writer.write(vary.count)
        for name in vary { writer.write(name) }
        writer.write(body.count)
        writer.bytes += body
        let checksum = crc32(writer.bytes[...])
        for shift in [0, 8, 16, 24] as [UInt32] { writer.bytes.append(UInt8(truncatingIfNeeded: checksum >> shift)) }
        return writer.bytes
    }

    /// Reads what ``encode()`` wrote.
    /// - Throws: ``DamagedResponse`` for anything else: cut short, changed, or of a version to come.
    public init(decoding bytes: [UInt8]) throws(DamagedResponse) {
        guard bytes.count >= Self.magic.count + 4, bytes.starts(with: Self.magic) else {
            throw DamagedResponse("it doesn't begin as a response of version 1 does")
        }
        let content = bytes.dropLast(4)
        let checksum = bytes.suffix(4).reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        guard crc32(content) == checksum else { throw DamagedResponse("its checksum is wrong") }
        var reader = Reader(rest: content.dropFirst(Self.magic.count))
        status = try reader.number()
        fields = try reader.fields()
        requestFields = try reader.fields()
        vary = try reader.list { reader throws(DamagedResponse) in try reader.string() }
        body = Array(try reader.take(reader.number()))
        guard reader.rest.isEmpty else { throw DamagedResponse("there is more than there should be") }
    }
}

/// Bytes that are no stored response.
public struct DamagedResponse: Error, Hashable, CustomStringConvertible {
    public let description: String

    init(_ reason: String) {
        description = "the stored response can't be read: \(reason)"
    }
}

private struct Writer {
    var bytes: [UInt8] = []

    mutating func write(_ number: Int) {
        var rest = UInt64(max(0, number))
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    mutating func write(_ text: String) {
        write(text.utf8.count)
        bytes += text.utf8
    }

    mutating func write(_ fields: HeaderFields) {
        write(fields.count)
        for field in fields {
            write(field.name)
            write(field.value)
        }
    }
}

/// Never reads past the end, and never reserves more than is there.
private struct Reader {
    var rest: ArraySlice<UInt8>

    mutating func number() throws(DamagedResponse) -> Int {
        var number: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 63, by: 7) {
            guard let byte = rest.popFirst() else { throw DamagedResponse("it ends too early") }
            number |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return Int(number) }
        }
        throw DamagedResponse("a number is too large")
    }

    mutating func take(_ count: Int) throws(DamagedResponse) -> ArraySlice<UInt8> {
        guard count <= rest.count else { throw DamagedResponse("it ends too early") }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }

    mutating func string() throws(DamagedResponse) -> String {
        guard let text = String(validating: try take(number()), as: UTF8.self) else {
            throw DamagedResponse("a text is not UTF-8")
        }
        return text
    }

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
            try list { reader throws(DamagedResponse) in (try reader.string(), try reader.string()) })
    }
}
