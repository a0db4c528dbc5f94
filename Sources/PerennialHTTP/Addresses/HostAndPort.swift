// `uri-host [ ":" port ]` (RFC 9110 §7.2, RFC 3986 §3.2.2, §3.2.3), looked over as bytes. Nothing is copied.

extension Span<UInt8> {
    /// Whether a value of `Host` is one: empty, or a name, an IPv4 address or an IPv6 address in brackets, behind which
    /// a port of up to 65535 may stand. A colon with no port behind it is allowed.
    func isHostAndPort(_ range: Range<Int>) -> Bool {
        if range.isEmpty { return true }
        var index = range.lowerBound
        if self[index] == UInt8(ascii: "[") {
            guard let close = first(UInt8(ascii: "]"), in: range) else { return false }
            guard isIPv6(index + 1..<close) || isFutureAddress(index + 1..<close) else { return false }
            index = close + 1
        } else {
            while index < range.upperBound, self[index] != UInt8(ascii: ":") {
                let byte = self[index]
                if byte == UInt8(ascii: "%") {
                    guard index + 2 < range.upperBound, self[index + 1].hexValue != nil, self[index + 2].hexValue != nil
                    else { return false }
                } else if !byte.isNameByte {
                    return false
                }
                index += 1
            }
            if index == range.lowerBound { return false }
        }
        return index == range.upperBound
            || self[index] == UInt8(ascii: ":") && isPort(index + 1..<range.upperBound)
    }

    private func first(_ byte: UInt8, in range: Range<Int>) -> Int? {
        for index in range where self[index] == byte { return index }
        return nil
    }

    private func isPort(_ range: Range<Int>) -> Bool {
        var port = 0
        for index in range {
            guard self[index].isDigit else { return false }
            port = port * 10 + Int(self[index] - UInt8(ascii: "0"))
            if port > 65_535 { return false }
        }
        return true
    }

    /// Eight groups of up to four hexadecimal digits, of which `::` stands for one or more that are zero; the last two
    /// may be written as an IPv4 address.
    func isIPv6(_ range: Range<Int>) -> Bool {
        let (colon, end) = (UInt8(ascii: ":"), range.upperBound)
        var index = range.lowerBound
        var groups = 0
        var hasGap = false
        if range.count >= 2, self[index] == colon, self[index + 1] == colon {
            hasGap = true
            index += 2
        }
        while index < end {
            let start = index
            while index < end, index - start < 5, self[index].hexValue != nil { index += 1 }
            if index < end, self[index] == UInt8(ascii: ".") {
                guard isIPv4(start..<end) else { return false }
                groups += 2
                break
            }
            guard 1...4 ~= index - start else { return false }
            groups += 1
            if index == end { break }
            guard self[index] == colon, index + 1 < end else { return false }
            index += 1
            if self[index] == colon {
                if hasGap { return false }
                hasGap = true
                index += 1
            }
        }
        return hasGap ? groups < 8 : groups == 8
    }

    private func isIPv4(_ range: Range<Int>) -> Bool {
        var (parts, digits, number) = (1, 0, 0)
        for index in range {
            if self[index] == UInt8(ascii: ".") {
                if digits == 0 { return false }
                (parts, digits, number) = (parts + 1, 0, 0)
                continue
            }
            guard self[index].isDigit, digits < 3 else { return false }
            number = number * 10 + Int(self[index] - UInt8(ascii: "0"))
            digits += 1
            if number > 255 { return false }
        }
        return parts == 4 && digits > 0
    }

    /// `"v" 1*HEXDIG "." 1*( unreserved / sub-delims / ":" )`
    private func isFutureAddress(_ range: Range<Int>) -> Bool {
        guard let first = range.first, self[first] | 0x20 == UInt8(ascii: "v"),
            let dot = self.first(UInt8(ascii: "."), in: range), dot > first + 1, dot + 1 < range.upperBound
        else { return false }
        for index in first + 1..<dot where self[index].hexValue == nil { return false }
        for index in dot + 1..<range.upperBound where !self[index].isNameByte && self[index] != UInt8(ascii: ":") {
            return false
        }
        return true
    }
}

extension UInt8 {
    /// What names are made of beside encoded bytes: `unreserved / sub-delims`.
    fileprivate var isNameByte: Bool {
        isLetter || isDigit || self == UInt8(ascii: ".") || self == UInt8(ascii: "-")
            || "_~!$&'()*+,;=".utf8.contains(self)
    }
}

/// Whether a value of `Host` is a host and perhaps a port.
func isHostAndPort(_ value: String) -> Bool {
    var value = value
    return value.withUTF8 { $0.span.isHostAndPort(0..<$0.count) }
}

func isIPv6(_ text: Substring) -> Bool {
    var text = text
    return text.withUTF8 { $0.span.isIPv6(0..<$0.count) }
}
