// How durations, sizes and rates are written on the command line and read back.

import Perennial

/// Text that does not say what it should, and what it should look like.
struct Unreadable: Error, Hashable, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// Reads `500ms`, `2s`, `5m`, `1h` or `7d`: a whole number and a unit. Zero needs no unit.
func duration(_ text: String) throws(Unreadable) -> Duration {
    let complaint = "“\(text)” is not a duration; write a whole number and a unit, like 500ms, 2s, 5m, 1h or 7d"
    guard let (number, unit) = numberAndUnit(text) else { throw Unreadable(complaint) }
    let factor: Int64
    switch unit {
    case "ms": factor = 1
    case "s": factor = 1000
    case "m": factor = 60_000
    case "h": factor = 3_600_000
    case "d": factor = 86_400_000
    case "" where number == 0: factor = 0
    default: throw Unreadable(complaint)
    }
    let (milliseconds, overflow) = number.multipliedReportingOverflow(by: factor)
    guard !overflow else { throw Unreadable("“\(text)” is too long for a duration") }
    return .milliseconds(milliseconds)
}

/// Reads `500B`, `64KB`, `64MB`, `10GB`, `1TB` (powers of 1000) or `KiB`, `MiB`, `GiB`, `TiB` (powers of 1024).
/// - Returns: bytes.
func size(_ text: String) throws(Unreadable) -> Int {
    let complaint = "“\(text)” is not a size; write a whole number and a unit, like 64MB, 10GB or 512MiB"
    guard let (number, unit) = numberAndUnit(text) else { throw Unreadable(complaint) }
    let factor: Int64
    switch unit.lowercased() {
    case "b": factor = 1
    case "kb": factor = 1000
    case "mb": factor = 1_000_000
    case "gb": factor = 1_000_000_000
    case "tb": factor = 1_000_000_000_000
    case "kib": factor = 1 << 10
    case "mib": factor = 1 << 20
    case "gib": factor = 1 << 30
    case "tib": factor = 1 << 40
    case "" where number == 0: factor = 0
    default: throw Unreadable(complaint)
    }
    let (bytes, overflow) = number.multipliedReportingOverflow(by: factor)
    guard !overflow, let result = Int(exactly: bytes) else { throw Unreadable("“\(text)” is too large for a size") }
    return result
}

/// Reads `50/s`, `100/m` or `1000/h`.
/// - Returns: per second; more than zero.
func rate(_ text: String) throws(Unreadable) -> Double {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    let seconds: [Substring: Double] = ["s": 1, "m": 60, "h": 3600]
    guard parts.count == 2, let number = Double(parts[0]), number.isFinite, number > 0, let per = seconds[parts[1]]
    else {
        throw Unreadable(
            "“\(text)” is not a rate; write a number above zero per second, minute or hour: 50/s, 100/m, 1000/h")
    }
    return number / per
}

/// Reads a whole number of at least `minimum`.
func count(_ text: String, atLeast minimum: Int) throws(Unreadable) -> Int {
    guard let number = Int(text), number >= minimum else {
        throw Unreadable("“\(text)” is not a whole number of \(minimum) or more")
    }
    return number
}

private func numberAndUnit(_ text: String) -> (Int64, Substring)? {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    guard let number = Int64(digits) else { return nil }
    return (number, text[digits.endIndex...])
}

/// An age or a limit as people read it: its two largest units, like `1h 10m`, or `250ms` below one second.
func readable(_ duration: Duration) -> String {
    let milliseconds = duration.milliseconds
    if milliseconds < 0 { return "-" + readable(.zero - duration) }
    if milliseconds == 0 { return "0s" }
    if milliseconds < 1000 { return "\(milliseconds)ms" }
    if milliseconds >= 100 * 365 * 86_400_000 { return "forever" }
    let seconds = milliseconds / 1000
    let parts = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")]
    let largest = parts.drop { $0.0 == 0 }.prefix(2)
    return largest.filter { $0.0 > 0 }.map { "\($0.0)\($0.1)" }.joined(separator: " ")
}

/// A size as people read it, like `1.5 MB`: powers of 1000.
func readable(bytes: Int) -> String {
    var value = Double(bytes)
    for unit in ["B", "KB", "MB", "GB"] {
        if value < 999.5 {
            let tenths = (value * 10).rounded() / 10
            return unit == "B" || tenths >= 100 ? "\(Int(value.rounded())) \(unit)" : "\(tenths) \(unit)"
        }
        value /= 1000
    }
    return "\((value * 10).rounded() / 10) TB"
}
