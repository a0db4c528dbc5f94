/// The values for a statement, in PostgreSQL's binary form.
struct Parameters: Sendable {
    /// All one behind the other, and where each lies; `nil`: NULL.
    private(set) var bytes: [UInt8] = []
    private(set) var ranges: [Range<Int>?] = []

    private mutating func end(_ begin: Int) {
        ranges.append(begin..<bytes.count)
    }

    mutating func add(_ text: String?) {
        guard let text else { return ranges.append(nil) }
        let begin = bytes.count
        bytes.append(contentsOf: escaped(text))
        end(begin)
    }

    mutating func add(_ number: Int64?) {
        guard let number else { return ranges.append(nil) }
        let begin = bytes.count
        put(number)
        end(begin)
    }

    mutating func add(_ flag: Bool) {
        bytes.append(flag ? 1 : 0)
        ranges.append(bytes.count - 1..<bytes.count)
    }

    mutating func add(_ value: [UInt8]) {
        let begin = bytes.count
        bytes += value
        end(begin)
    }

    /// An array of texts (type 25).
    mutating func add(_ texts: [String]) {
        let begin = bytes.count
        putArrayHead(type: 25, count: texts.count)
        for text in texts {
            let text = escaped(text)
            put(Int32(text.count))
            bytes += text
        }
        end(begin)
    }

    /// An array of 8-byte numbers (type 20).
    mutating func add(_ numbers: [Int64]) {
        let begin = bytes.count
        putArrayHead(type: 20, count: numbers.count)
        for number in numbers {
            put(Int32(8))
            put(number)
        }
        end(begin)
    }

    private mutating func putArrayHead(type: Int32, count: Int) {
        put(Int32(count == 0 ? 0 : 1))
        put(Int32(0))
        put(type)
        if count > 0 {
            put(Int32(count))
            put(Int32(1))
        }
    }

    private mutating func put(_ number: some FixedWidthInteger) {
        withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) }
    }
}

/// PostgreSQL's texts can't hold the character zero: it is written as U+0001 and `0`, and U+0001 itself as U+0001 and `1`.
private func escaped(_ text: String) -> [UInt8] {
    guard text.utf8.contains(where: { $0 <= 1 }) else { return Array(text.utf8) }
    return text.utf8.flatMap { $0 <= 1 ? [1, UInt8(ascii: "0") + $0] : [$0] }
}

func unescaped(_ text: some Sequence<UInt8>) -> String {
    var bytes: [UInt8] = []
    var isEscaped = false
    for byte in text {
        if isEscaped {
            bytes.append(byte == UInt8(ascii: "0") ? 0 : 1)
            isEscaped = false
        } else if byte == 1 {
            isEscaped = true
        } else {
            bytes.append(byte)
        }
    }
    return String(decoding: bytes, as: UTF8.self)
}
