/// A value as MongoDB keeps it. Literals make commands readable; whole numbers are 32 bits wide where they fit.
indirect enum BSON: Hashable, Sendable {
    case double(Double)
    case text(String)
    case document(Document)
    case array([BSON])
    case binary([UInt8])
    /// Twelve bytes.
    case objectID([UInt8])
    case flag(Bool)
    /// Milliseconds since 1970.
    case date(Int64)
    case null
    case int32(Int32)
    case int64(Int64)
    /// Something of a type that nothing here writes.
    case other(type: UInt8)

    /// Fields in their order.
    struct Document: Hashable, Sendable, ExpressibleByDictionaryLiteral {
        struct Field: Hashable, Sendable {
            let name: String
            var value: BSON
        }

        private(set) var fields: [Field] = []

        init(dictionaryLiteral elements: (String, BSON)...) {
            fields = elements.map { Field(name: $0.0, value: $0.1) }
        }

        /// `nil`: there is no such field. Setting adds at the end, or replaces.
        subscript(name: String) -> BSON? {
            get { fields.first { $0.name == name }?.value }
            set {
                let index = fields.firstIndex { $0.name == name }
                switch (index, newValue) {
                case (let index?, let value?): fields[index].value = value
                case (let index?, nil): fields.remove(at: index)
                case (nil, let value?): fields.append(Field(name: name, value: value))
                case (nil, nil): break
                }
            }
        }

        /// Without looking whether it is there already.
        mutating func append(_ name: String, _ value: BSON) {
            fields.append(Field(name: name, value: value))
        }

        var isEmpty: Bool { fields.isEmpty }
    }

    var text: String? { if case .text(let text) = self { text } else { nil } }
    var document: Document? { if case .document(let document) = self { document } else { nil } }
    var array: [BSON]? { if case .array(let array) = self { array } else { nil } }
    var binary: [UInt8]? { if case .binary(let bytes) = self { bytes } else { nil } }
    var flag: Bool? { if case .flag(let flag) = self { flag } else { nil } }

    /// A whole number, however wide; people who edit documents write doubles.
    var number: Int64? {
        switch self {
        case .int32(let number): Int64(number)
        case .int64(let number): number
        case .double(let number): Int64(exactly: number)
        default: nil
        }
    }
}

extension BSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    init(stringLiteral value: String) { self = .text(value) }
    init(integerLiteral value: Int64) { self = Int32(exactly: value).map { .int32($0) } ?? .int64(value) }
    init(booleanLiteral value: Bool) { self = .flag(value) }
    init(arrayLiteral elements: BSON...) { self = .array(elements) }
    init(dictionaryLiteral elements: (String, BSON)...) {
        var document = Document()
        for (name, value) in elements { document.append(name, value) }
        self = .document(document)
    }
}

// MARK: Bytes (bsonspec.org, version 1.1)

extension BSON.Document {
    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        write(to: &bytes)
        return bytes
    }

    fileprivate func write(to bytes: inout [UInt8]) {
        let begin = bytes.count
        bytes.append(number: Int32(0))
        for field in fields { field.value.write(to: &bytes, name: field.name) }
        bytes.append(0)
        bytes.setLength(at: begin)
    }

    /// - Returns: `nil` when the bytes are no document.
    init?(bytes: UnsafeRawBufferPointer) {
        var reader = Reader(bytes: bytes)
        guard let document = reader.document(depth: 0) else { return nil }
        self = document
    }
}

extension BSON {
    fileprivate func write(to bytes: inout [UInt8], name: String) {
        bytes.append(type)
        // A name ends at its first zero; none of ours has one.
        bytes += name.utf8.prefix { $0 != 0 }
        bytes.append(0)
        switch self {
        case .double(let number): bytes.append(number: number.bitPattern)
        case .text(let text):
            let utf8 = text.utf8
            bytes.append(number: Int32(utf8.count + 1))
            bytes += utf8
            bytes.append(0)
        case .document(let document): document.write(to: &bytes)
        case .array(let elements):
            let begin = bytes.count
            bytes.append(number: Int32(0))
            for (index, element) in elements.enumerated() { element.write(to: &bytes, name: String(index)) }
            bytes.append(0)
            bytes.setLength(at: begin)
        case .binary(let value):
            bytes.append(number: Int32(value.count))
            bytes.append(0)
            bytes += value
        case .objectID(let value): bytes += value
        case .flag(let flag): bytes.append(flag ? 1 : 0)
        case .date(let number), .int64(let number): bytes.append(number: number)
        case .int32(let number): bytes.append(number: number)
        case .null, .other: break
        }
    }

    private var type: UInt8 {
        switch self {
        case .double: 0x01
        case .text: 0x02
        case .document: 0x03
        case .array: 0x04
        case .binary: 0x05
        case .objectID: 0x07
        case .flag: 0x08
        case .date: 0x09
        case .null, .other: 0x0A
        case .int32: 0x10
        case .int64: 0x12
        }
    }
}

extension [UInt8] {
    fileprivate mutating func append(number: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: number.littleEndian) { append(contentsOf: $0) }
    }

    fileprivate mutating func setLength(at begin: Int) {
        Swift.withUnsafeBytes(of: Int32(count - begin).littleEndian) { length in
            for (index, byte) in length.enumerated() { self[begin + index] = byte }
        }
    }
}

/// Reads bytes that may be anything.
private struct Reader {
    /// Deeper than MongoDB nests documents (100).
    static let deepest = 200

    let bytes: UnsafeRawBufferPointer
    private var offset = 0

    init(bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    private mutating func number<Number: FixedWidthInteger>(_: Number.Type) -> Number? {
        guard bytes.count - offset >= MemoryLayout<Number>.size else { return nil }
        defer { offset += MemoryLayout<Number>.size }
        return Number(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Number.self))
    }

    private mutating func take(_ count: Int) -> UnsafeRawBufferPointer? {
        guard count >= 0, count <= bytes.count - offset else { return nil }
        defer { offset += count }
        return UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
    }

    private mutating func name() -> String? {
        guard let end = bytes[offset...].firstIndex(of: 0) else { return nil }
        defer { offset = end + 1 }
        return String(decoding: bytes[offset..<end], as: UTF8.self)
    }

    mutating func document(depth: Int) -> BSON.Document? {
        let begin = offset
        guard depth < Self.deepest, let length = number(Int32.self), length >= 5, Int(length) <= bytes.count - begin
        else { return nil }
        let end = begin + Int(length)
        var document = BSON.Document()
        while offset < end, let type = number(UInt8.self) {
            if type == 0 { return offset == end ? document : nil }
            guard let name = name(), let value = value(type, depth: depth) else { return nil }
            document.append(name, value)
        }
        return nil
    }

    private mutating func value(_ type: UInt8, depth: Int) -> BSON? {
        switch type {
        case 0x01: return number(UInt64.self).map { .double(Double(bitPattern: $0)) }
        case 0x02:
            guard let length = number(Int32.self), length >= 1, let text = take(Int(length)) else { return nil }
            return .text(String(decoding: text.dropLast(), as: UTF8.self))
        case 0x03: return document(depth: depth + 1).map { .document($0) }
        case 0x04: return document(depth: depth + 1).map { .array($0.fields.map(\.value)) }
        case 0x05:
            guard let length = number(Int32.self), number(UInt8.self) != nil, let value = take(Int(length)) else {
                return nil
            }
            return .binary(Array(value))
        case 0x07: return take(12).map { .objectID(Array($0)) }
        case 0x08: return number(UInt8.self).map { .flag($0 != 0) }
        case 0x09: return number(Int64.self).map { .date($0) }
        case 0x0A: return .null
        case 0x10: return number(Int32.self).map { .int32($0) }
        case 0x12: return number(Int64.self).map { .int64($0) }
        default: return skip(type) ? .other(type: type) : nil
        }
    }

    /// Over a value of a type that nothing here writes, but people may.
    private mutating func skip(_ type: UInt8) -> Bool {
        switch type {
        case 0x06, 0x7F, 0xFF: return true
        case 0x0B: return name() != nil && name() != nil
        case 0x0C:
            guard let length = number(Int32.self) else { return false }
            return take(Int(length)) != nil && take(12) != nil
        case 0x0D, 0x0E: return number(Int32.self).flatMap { take(Int($0)) } != nil
        case 0x0F: return number(Int32.self).flatMap { take(Int($0) - 4) } != nil
        case 0x11: return take(8) != nil
        case 0x13: return take(16) != nil
        default: return false
        }
    }
}
