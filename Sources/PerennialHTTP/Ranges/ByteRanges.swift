/// The ranges of a `Range` field in bytes (RFC 9110 §14.1.2).
struct ByteRanges: Hashable {
    enum Spec: Hashable {
        /// From a position to another, both included, or to the end.
        case from(Int, through: Int?)
        /// So many bytes at the end.
        case last(Int)
    }

    var specs: [Spec]

    /// - Returns: `nil` for another unit, and for what can't be read: such a field is ignored (§14.2).
    init?(_ value: String) {
        let value = value.trimmed
        guard let equals = value.bytes.firstIndex(of: UInt8(ascii: "=")),
            value[..<equals].equalsIgnoringCase("bytes")
        else { return nil }
        specs = []
        for member in value[value.utf8.index(after: equals)...].pieces(separatedBy: UInt8(ascii: ",")) {
            let member = member.trimmed
            if member.isEmpty { continue }
            guard let spec = Spec(member) else { return nil }
            specs.append(spec)
        }
        if specs.isEmpty { return nil }
    }

    /// The bytes meant, in a body of this size; those that are satisfiable, in the order they were named (§14.1.2).
    func satisfiable(size: Int) -> [Range<Int>] {
        specs.compactMap { spec in
            switch spec {
            case .from(let first, through: let last):
                return first < size ? first..<min(last ?? .max, size - 1) + 1 : nil
            case .last(let count):
                return count > 0 && size > 0 ? max(0, size - count)..<size : nil
            }
        }
    }
}

extension ByteRanges.Spec {
    fileprivate init?(_ text: Substring) {
        guard let dash = text.bytes.firstIndex(of: UInt8(ascii: "-")) else { return nil }
        let (first, last) = (text[..<dash], text[text.utf8.index(after: dash)...])
        switch (position(first), position(last)) {
        case (let first?, let last?) where first <= last: self = .from(first, through: last)
        case (let first?, nil) where last.isEmpty: self = .from(first, through: nil)
        case (nil, let count?) where first.isEmpty: self = .last(count)
        default: return nil
        }
    }
}

/// Digits alone; what is too large for a number is the largest.
private func position(_ text: Substring) -> Int? {
    guard !text.isEmpty, text.bytes.allSatisfy(\.isDigit) else { return nil }
    return text.bytes.reduce(0) { number, digit in
        let (tens, isTooLarge) = number.multipliedReportingOverflow(by: 10)
        let (sum, isTooLargeNow) = tens.addingReportingOverflow(Int(digit - UInt8(ascii: "0")))
        return isTooLarge || isTooLargeNow ? .max : sum
    }
}
