import Foundation
import Perennial

/// Times as Celery's headers have them: ISO 8601, like `2026-11-24T19:30:00.250+00:00`.
enum ISOTime {
    /// Python's dates end with the year 9999.
    private static let last: Int64 = 253_402_300_799_000
    /// Python's begin with the year 1; a task that is due before 1970 is due now.
    private static let first: Int64 = 0

    static func text(_ time: Timestamp) -> String {
        let milliseconds = min(max(time.milliseconds, first), last)
        let seconds = milliseconds / 1000
        let date = Date(timeIntervalSince1970: TimeInterval(seconds)).formatted(.iso8601.timeZoneSeparator(.colon))
        let fraction = String(milliseconds % 1000)
        return date.prefix(19) + "." + String(repeating: "0", count: 3 - fraction.count) + fraction + "+00:00"
    }

    /// Reads a date with a time of day, with or without a fraction and an offset; without one it is UTC, Celery's default.
    /// - Returns: `nil` when it is none.
    static func read(_ text: String) -> Timestamp? {
        let pattern =
            /(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(Z|[+-]\d\d:?\d\d)?/
        guard let match = text.wholeMatch(of: pattern)?.output, let year = Int(match.1), let month = Int(match.2),
            let day = Int(match.3), let hour = Int(match.4), let minute = Int(match.5),
            let second = Int(match.6 ?? "0"), year >= 1, (1...12).contains(month),
            (1...31).contains(day), hour < 24, minute < 60, second < 60
        else { return nil }
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = .gmt
        let parts = DateComponents(year: year, month: month, day: day, hour: hour, minute: minute, second: second)
        guard let date = calendar.date(from: parts), calendar.component(.day, from: date) == day else { return nil }
        let fraction = Int64((match.7.map(String.init) ?? "").padding(toLength: 3, withPad: "0", startingAt: 0)) ?? 0
        var milliseconds = Int64(date.timeIntervalSince1970) * 1000 + fraction
        if let zone = match.8, zone != "Z" {
            let digits = zone.dropFirst().filter { $0 != ":" }
            guard let hours = Int64(digits.prefix(2)), let minutes = Int64(digits.suffix(2)) else { return nil }
            milliseconds -= (zone.first == "-" ? -1 : 1) * (hours * 60 + minutes) * 60_000
        }
        return Timestamp(milliseconds: milliseconds)
    }
}
