// Values of fields are bytes (RFC 9110 §5.5): mostly ASCII, often UTF-8, sometimes Latin-1 or something else.
// `HeaderFields` has them as text, so that rules can be written on text. The text is one from which the bytes can be
// had again: what is UTF-8 stays as it is, and each byte that isn't part of any becomes a scalar of its own, U+10FF00
// and the byte. Such bytes are 0x80 and more, so the scalars are U+10FF80 to U+10FFFF; a value that has one of these
// itself, in UTF-8, has each byte of it as a scalar.
//
// No ASCII character is ever written as such a scalar, and no such scalar gives one: a line break can't be hidden in
// it.

extension String {
    /// The text for the bytes of a field's value; ``withFieldBytes(_:)`` gives the same bytes.
    package init(fieldBytes bytes: some Collection<UInt8>) {
        if let text = String(validating: bytes, as: UTF8.self), !text.mayHaveByteScalars {
            self = text
            return
        }
        self = Self.text(escaping: Array(bytes))
    }

    private static func text(escaping bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        text.reserveCapacity(bytes.count + 16)
        var index = 0
        while index < bytes.count {
            Steps.take()
            let length = sequenceLength(bytes, index)
            let end = index + (length == 0 ? 1 : length)
            if length > 0, !isByteScalar(bytes[index..<end]) {
                text += bytes[index..<end]
            } else {
                for byte in bytes[index..<end] { text += [0xF4, 0x8F, 0xBC | byte >> 6, 0x80 | byte & 0x3F] }
            }
            index = end
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// Whether there may be scalars that stand for bytes. Seldom says yes without need.
    private var mayHaveByteScalars: Bool { utf8.contains(0xF4) }

    /// The text for a value that has come as UTF-8, in a string: that string, but for scalars that would stand for
    /// bytes.
    package var asFieldText: String { mayHaveByteScalars ? String(fieldBytes: utf8) : self }

    /// Calls `body` with the bytes of the value that this is the text of.
    package func withFieldBytes<Result>(_ body: (UnsafeBufferPointer<UInt8>) throws -> Result) rethrows -> Result {
        guard mayHaveByteScalars else {
            var text = self
            return try text.withUTF8(body)
        }
        return try fieldBytes.withUnsafeBufferPointer(body)
    }

    /// The bytes of the value that this is the text of.
    package var fieldBytes: [UInt8] {
        let text = Array(bytes)
        guard mayHaveByteScalars else { return text }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count)
        var index = 0
        while index < text.count {
            if index + 4 <= text.count, isByteScalar(text[index..<index + 4]) {
                bytes.append((text[index + 2] & 3) << 6 | text[index + 3] & 0x3F)
                index += 4
            } else {
                bytes.append(text[index])
                index += 1
            }
        }
        return bytes
    }

    /// A text of the same characters where every value has to be UTF-8, as HTTP/2's library has it: bytes that are none
    /// are taken for Latin-1, which they mostly are.
    package init(fieldBytesAsCharacters bytes: some Collection<UInt8>) {
        if let text = String(validating: bytes, as: UTF8.self) {
            self = text
            return
        }
        var text = String.UnicodeScalarView()
        for scalar in String(fieldBytes: bytes).unicodeScalars {
            text.append(scalar.value >= 0x10FF80 ? Unicode.Scalar(UInt8(scalar.value & 0xFF)) : scalar)
        }
        self = String(text)
    }
}

/// Whether these bytes are the UTF-8 of a scalar from U+10FF80 to U+10FFFF.
private func isByteScalar(_ sequence: ArraySlice<UInt8>) -> Bool {
    let start = sequence.startIndex
    return sequence.count == 4 && sequence[start] == 0xF4 && sequence[start + 1] == 0x8F && sequence[start + 2] >= 0xBE
}

/// How many bytes the character has that is at `start`; 0: there is none (Unicode 16, table 3-7).
private func sequenceLength(_ bytes: [UInt8], _ start: Int) -> Int {
    let (length, second): (Int, ClosedRange<UInt8>) =
        switch bytes[start] {
        case 0x00...0x7F: (1, 0...0)
        case 0xC2...0xDF: (2, 0x80...0xBF)
        case 0xE0: (3, 0xA0...0xBF)
        case 0xED: (3, 0x80...0x9F)
        case 0xE1...0xEF: (3, 0x80...0xBF)
        case 0xF0: (4, 0x90...0xBF)
        case 0xF1...0xF3: (4, 0x80...0xBF)
        case 0xF4: (4, 0x80...0x8F)
        default: (0, 0...0)
        }
    guard length > 1 else { return length }
    guard start + length <= bytes.count, second.contains(bytes[start + 1]),
        bytes[start + 2..<start + length].allSatisfy({ $0 & 0xC0 == 0x80 })
    else { return 0 }
    return length
}
