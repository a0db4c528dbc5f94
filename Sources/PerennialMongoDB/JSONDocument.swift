/// JSON as a value that MongoDB can search, and back.
///
/// What comes back is written in one way: without spaces, with `/` escaped as `JSONEncoder` does. Whoever needs the very bytes compares.
enum JSONDocument {
    /// Deeper is not asked of the server, which allows 100.
    static let deepest = 60

    /// - Returns: `nil` when the bytes are no JSON object or array, or one that MongoDB does not keep as it is (a name twice, a name
    ///   that begins with `$` or has a `.` or a zero in it, very deep, a number that is none).
    static func parse(_ bytes: [UInt8]) -> BSON? {
        guard bytes.first == UInt8(ascii: "{") || bytes.first == UInt8(ascii: "[") else { return nil }
        return bytes.withUnsafeBufferPointer { buffer in
            var parser = Parser(bytes: buffer)
            guard let value = parser.value(depth: 0), parser.isAtEnd else { return nil }
            return value
        }
    }

    /// - Returns: `nil` when something in it has no form in JSON.
    static func render(_ value: BSON) -> [UInt8]? {
        var bytes: [UInt8] = []
        return render(value, to: &bytes) ? bytes : nil
    }

    private static func render(_ value: BSON, to bytes: inout [UInt8]) -> Bool {
        switch value {
        case .null: bytes += "null".utf8
        case .flag(let flag): bytes += (flag ? "true" : "false").utf8
        case .int32(let number): bytes += String(number).utf8
        case .int64(let number): bytes += String(number).utf8
        case .double(let number):
            guard number.isFinite else { return false }
            bytes += number.description.utf8
        case .text(let text): render(text, to: &bytes)
        case .array(let elements):
            bytes.append(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                guard render(element, to: &bytes) else { return false }
            }
            bytes.append(UInt8(ascii: "]"))
        case .document(let document):
            bytes.append(UInt8(ascii: "{"))
            for (index, field) in document.fields.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                render(field.name, to: &bytes)
                bytes.append(UInt8(ascii: ":"))
                guard render(field.value, to: &bytes) else { return false }
            }
            bytes.append(UInt8(ascii: "}"))
        case .binary, .objectID, .date, .other: return false
        }
        return true
    }

    private static func render(_ text: String, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): bytes += [UInt8(ascii: "\\"), byte]
            case 8: bytes += #"\b"#.utf8
            case 9: bytes += #"\t"#.utf8
            case 10: bytes += #"\n"#.utf8
            case 12: bytes += #"\f"#.utf8
            case 13: bytes += #"\r"#.utf8
            case 0..<32:
                let digits = String(byte, radix: 16)
                bytes += "\\u\(String(repeating: "0", count: 4 - digits.count))\(digits)".utf8
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}

/// RFC 8259.
private struct Parser {
    let bytes: UnsafeBufferPointer<UInt8>
    private var offset = 0

    init(bytes: UnsafeBufferPointer<UInt8>) {
        self.bytes = bytes
    }

    private var next: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 32 || byte == 10 || byte == 13 || byte == 9 { offset += 1 }
    }

    private mutating func take(_ letter: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: letter) else { return false }
        offset += 1
        return true
    }

    private mutating func take(word: StaticString) -> Bool {
        let count = word.utf8CodeUnitCount
        guard bytes.count - offset >= count,
            (0..<count).allSatisfy({ bytes[offset + $0] == word.utf8Start[$0] })
        else { return false }
        offset += count
        return true
    }

    var isAtEnd: Bool {
        mutating get {
            skipSpace()
            return offset == bytes.count
        }
    }

    mutating func value(depth: Int) -> BSON? {
        guard depth < JSONDocument.deepest else { return nil }
        skipSpace()
        switch next {
        case UInt8(ascii: "{"): return object(depth: depth)
        case UInt8(ascii: "["): return array(depth: depth)
        case UInt8(ascii: "\""): return text().map { .text($0) }
        case UInt8(ascii: "t"): return take(word: "true") ? .flag(true) : nil
        case UInt8(ascii: "f"): return take(word: "false") ? .flag(false) : nil
        case UInt8(ascii: "n"): return take(word: "null") ? .null : nil
        default: return number()
        }
    }

    private mutating func object(depth: Int) -> BSON? {
        offset += 1
        var document = BSON.Document()
        var names: Set<String> = []
        skipSpace()
        if take("}") { return .document(document) }
        repeat {
            skipSpace()
            guard next == UInt8(ascii: "\""), let name = text(), !name.hasPrefix("$"),
                !name.utf8.contains(where: { $0 == 0 || $0 == UInt8(ascii: ".") }), names.insert(name).inserted
            else { return nil }
            skipSpace()
            guard take(":"), let value = value(depth: depth + 1) else { return nil }
            document.append(name, value)
            skipSpace()
        } while take(",")
        return take("}") ? .document(document) : nil
    }

    private mutating func array(depth: Int) -> BSON? {
        offset += 1
        var elements: [BSON] = []
        skipSpace()
        if take("]") { return .array(elements) }
        repeat {
            guard let value = value(depth: depth + 1) else { return nil }
            elements.append(value)
            skipSpace()
        } while take(",")
        return take("]") ? .array(elements) : nil
    }

    private mutating func number() -> BSON? {
        let begin = offset
        var isWhole = true
        while let byte = next {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"): break
            case UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"), UInt8(ascii: "+"): isWhole = false
            default:
                return made(begin, isWhole)
            }
            offset += 1
        }
        return made(begin, isWhole)
    }

    private func made(_ begin: Int, _ isWhole: Bool) -> BSON? {
        let text = String(decoding: bytes[begin..<offset], as: UTF8.self)
        guard let first = text.utf8.first, first != UInt8(ascii: "+"), first != UInt8(ascii: ".") else { return nil }
        if isWhole, let number = Int64(text) {
            return Int32(exactly: number).map { .int32($0) } ?? .int64(number)
        }
        guard let number = Double(text), number.isFinite else { return nil }
        return .double(number)
    }

    private mutating func text() -> String? {
        offset += 1
        var units: [UInt8] = []
        while let byte = next {
            offset += 1
            switch byte {
            case UInt8(ascii: "\""): return String(validating: units, as: UTF8.self)
            case UInt8(ascii: "\\"): guard escape(&units) else { return nil }
            case 0..<32: return nil
            default: units.append(byte)
            }
        }
        return nil
    }

    private mutating func escape(_ units: inout [UInt8]) -> Bool {
        guard let letter = next else { return false }
        offset += 1
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): units.append(letter)
        case UInt8(ascii: "b"): units.append(8)
        case UInt8(ascii: "f"): units.append(12)
        case UInt8(ascii: "n"): units.append(10)
        case UInt8(ascii: "r"): units.append(13)
        case UInt8(ascii: "t"): units.append(9)
        case UInt8(ascii: "u"):
            guard var code = hexadecimal() else { return false }
            if (0xD800..<0xDC00).contains(code) {
                guard take("\\"), take("u"), let low = hexadecimal(), (0xDC00..<0xE000).contains(low) else {
                    return false
                }
                code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else { return false }
            units += String(Character(scalar)).utf8
        default: return false
        }
        return true
    }

    private mutating func hexadecimal() -> UInt32? {
        guard bytes.count - offset >= 4 else { return nil }
        defer { offset += 4 }
        return UInt32(String(decoding: bytes[offset..<offset + 4], as: UTF8.self), radix: 16)
    }
}
