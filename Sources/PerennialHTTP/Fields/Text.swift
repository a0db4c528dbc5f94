// The few operations on text that the rules of HTTP are made of. All of them look at ASCII only.

extension StringProtocol {
    /// Whether both are the same but for the case of ASCII letters.
    package func equalsIgnoringCase(_ other: some StringProtocol) -> Bool {
        Steps.take()
        // Most names are told apart by their length alone.
        guard utf8.count == other.utf8.count else { return false }
        return zip(bytes, other.utf8).allSatisfy { $0 == $1 || $0.lowercasedASCII == $1.lowercasedASCII }
    }

    /// With ASCII letters in lower case.
    var lowercasedASCII: String {
        String(decoding: bytes.map(\.lowercasedASCII), as: UTF8.self)
    }

    /// Whether this is a token (RFC 9110 §5.6.2), as every field name and directive name is.
    package var isToken: Bool {
        !isEmpty && bytes.allSatisfy(\.isTokenCharacter)
    }
}

extension StringProtocol where SubSequence == Substring {
    /// Without spaces and tabs at either end: "optional white space" (RFC 9110 §5.6.3).
    var trimmed: Substring {
        let bytes = self[...].bytes
        guard let first = bytes.firstIndex(where: { !$0.isOptionalWhiteSpace }),
            let last = bytes.lastIndex(where: { !$0.isOptionalWhiteSpace })
        else { return "" }
        return self[first..<bytes.index(after: last)]
    }

    /// What comes before the first `byte`; everything, if there is none.
    func before(_ byte: UInt8) -> Substring {
        self[..<(bytes.firstIndex(of: byte) ?? endIndex)]
    }

    /// The pieces between the bytes for which `isSeparator` is true, which must be ASCII.
    func pieces(keepingEmpty: Bool = false, separatedBy isSeparator: (UInt8) -> Bool) -> [Substring] {
        bytes.split(omittingEmptySubsequences: !keepingEmpty, whereSeparator: isSeparator)
            .map { self[$0.startIndex..<$0.endIndex] }
    }

    func pieces(separatedBy separator: UInt8, keepingEmpty: Bool = false) -> [Substring] {
        pieces(keepingEmpty: keepingEmpty) { $0 == separator }
    }
}

extension UInt8 {
    var isOptionalWhiteSpace: Bool { self == UInt8(ascii: " ") || self == UInt8(ascii: "\t") }
    /// Visible ASCII: neither a space nor a control.
    var isVisible: Bool { 0x21...0x7E ~= self }
    var isDigit: Bool { UInt8(ascii: "0")...UInt8(ascii: "9") ~= self }
    var isLetter: Bool { UInt8(ascii: "a")...UInt8(ascii: "z") ~= lowercasedASCII }

    var lowercasedASCII: UInt8 {
        UInt8(ascii: "A")...UInt8(ascii: "Z") ~= self ? self | 0x20 : self
    }

    var isTokenCharacter: Bool {
        isLetter || isDigit || "!#$%&'*+-.^_`|~".utf8.contains(self)
    }

    /// The value of a hexadecimal digit.
    var hexValue: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): self - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    /// `%` and two upper-case hexadecimal digits.
    var percentEncoded: [UInt8] {
        let digits = Array("0123456789ABCDEF".utf8)
        return [UInt8(ascii: "%"), digits[Int(self >> 4)], digits[Int(self & 15)]]
    }
}
