// The three changes to an address that RFC 3986 §6.2.2 says never change its meaning, and no other.

/// Percent-encoding in its normal form: upper-case digits (§6.2.2.1), and what needs none decoded (§6.2.2.2).
/// A `%` that begins no encoding stays as it is, and nothing is decoded that would give it a meaning: `%e%42` is not
/// `%eB`.
func normalisingPercentEncoding(_ text: some Collection<UInt8>) -> [UInt8] {
    var normal: [UInt8] = []
    normal.reserveCapacity(text.count)
    var rest = text[...]
    /// The two places behind the last such `%`.
    var afterStray = 0..<0
    while let byte = rest.popFirst() {
        let digits = rest.prefix(2)
        guard byte == UInt8(ascii: "%"), digits.count == 2, let high = digits.first?.hexValue,
            let low = digits.dropFirst().first?.hexValue
        else {
            normal.append(byte)
            if byte == UInt8(ascii: "%") { afterStray = normal.count..<(normal.count + 2) }
            continue
        }
        rest = rest.dropFirst(2)
        let decoded = high << 4 | low
        if decoded.isUnreserved && !(decoded.hexValue != nil && afterStray.contains(normal.count)) {
            normal.append(decoded)
        } else {
            normal += decoded.percentEncoded
        }
    }
    return normal
}

/// A path that begins with `/`, or nothing, without its `.` and `..` (§5.2.4, §6.2.2.3). `..` never climbs above the
/// root.
func removingDotSegments(_ path: [UInt8]) -> [UInt8] {
    let slash = UInt8(ascii: "/")
    var kept: [CountedBytes<ArraySlice<UInt8>>] = []
    let segments = CountedBytes(path).dropFirst().split(separator: slash, omittingEmptySubsequences: false)
    for (index, segment) in segments.enumerated() {
        let isParent = segment.elementsEqual("..".utf8)
        guard isParent || segment.elementsEqual(".".utf8) else {
            kept.append(segment)
            continue
        }
        if isParent { _ = kept.popLast() }
        if index == segments.count - 1 { kept.append(CountedBytes([])) }
    }
    return [slash] + kept.joined(separator: [slash])
}

extension UInt8 {
    /// RFC 3986 §2.3.
    fileprivate var isUnreserved: Bool {
        isLetter || isDigit || "-._~".utf8.contains(self)
    }
}
