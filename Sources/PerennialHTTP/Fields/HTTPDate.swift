public import Perennial

/// Dates as HTTP writes them (RFC 9110 §5.6.7).
public enum HTTPDate {
    /// The time that `text` names, in any of the three forms, without regard to case (RFC 9111 §4.2):
    /// `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT`, `Sun Nov  6 08:49:37 1994`.
    ///
    /// - Parameter now: settles the century of a two-digit year: never more than 50 years after `now`.
    ///   Default: years from 1970 to 2069.
    /// - Returns: `nil` for everything else: a day the month doesn't have, another time zone, missing zeros. Which day
    ///   of the week is named is not compared with the date.
    public static func parse(_ text: some StringProtocol, now: Timestamp? = nil) -> Timestamp? {
        var reader = DateReader(bytes: Array(text.bytes))
        return reader.imfDate() ?? reader.rfc850Date(now: now) ?? reader.ascDate()
    }

    /// `time` in the preferred form, `Sun, 06 Nov 1994 08:49:37 GMT`; parts of a second are cut off.
    /// Times outside the years 0 to 9999 become the nearest within.
    public static func format(_ time: Timestamp) -> String {
        let seconds = min(max(floorDivide(time.milliseconds, 1000), -62_167_219_200), 253_402_300_799)
        let days = floorDivide(seconds, 86_400)
        let second = seconds - days * 86_400
        let date = civilDate(daysSinceEpoch: days)
        let weekday = weekdays[Int(((days + 4) % 7 + 7) % 7)]
        let clock = [second / 3600, second / 60 % 60, second % 60].map { padded($0, to: 2) }.joined(separator: ":")
        return "\(weekday), \(padded(date.day, to: 2)) \(months[Int(date.month) - 1]) \(padded(date.year, to: 4)) "
            + "\(clock) GMT"
    }
}

private let weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
private let longWeekdays = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
private let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

/// Reads one of the forms from the front; each form starts over.
private struct DateReader {
    let bytes: [UInt8]
    private var position = 0

    init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    mutating func imfDate() -> Timestamp? {
        position = 0
        guard one(of: weekdays) != nil, take(", "), let day = number(2), take(" "), let month = one(of: months),
            take(" "), let year = number(4), take(" "), let time = timeOfDay(), take(" GMT"), isAtEnd
        else { return nil }
        return timestamp(year: year, month: month, day: day, time: time)
    }

    mutating func rfc850Date(now: Timestamp?) -> Timestamp? {
        position = 0
        guard one(of: longWeekdays) != nil, take(", "), let day = number(2), take("-"), let month = one(of: months),
            take("-"), let short = number(2), take(" "), let time = timeOfDay(), take(" GMT"), isAtEnd
        else { return nil }
        let latest = now.map { civilDate(daysSinceEpoch: floorDivide($0.milliseconds, 86_400_000)).year + 50 } ?? 2069
        let year = latest - floorModulo(latest - short, 100)
        return timestamp(year: year, month: month, day: day, time: time)
    }

    mutating func ascDate() -> Timestamp? {
        position = 0
        guard one(of: weekdays) != nil, take(" "), let month = one(of: months), take(" "),
            let day = take(" ") ? number(1) : number(2), take(" "), let time = timeOfDay(), take(" "),
            let year = number(4), isAtEnd
        else { return nil }
        return timestamp(year: year, month: month, day: day, time: time)
    }

    private var isAtEnd: Bool { position == bytes.count }

    private mutating func take(_ text: String) -> Bool {
        let end = position + text.utf8.count
        guard end <= bytes.count,
            zip(bytes[position..<end], text.utf8).allSatisfy({ $0.lowercasedASCII == $1.lowercasedASCII })
        else { return false }
        position = end
        return true
    }

    /// The place of the name in `names`, counted from 1.
    private mutating func one(of names: [String]) -> Int64? {
        for (index, name) in names.enumerated() where take(name) { return Int64(index + 1) }
        return nil
    }

    private mutating func number(_ digits: Int) -> Int64? {
        let end = position + digits
        guard end <= bytes.count, bytes[position..<end].allSatisfy(\.isDigit) else { return nil }
        let value = bytes[position..<end].reduce(Int64(0)) { $0 * 10 + Int64($1 - UInt8(ascii: "0")) }
        position = end
        return value
    }

    /// Seconds since midnight; a leap second is the first of the next minute.
    private mutating func timeOfDay() -> Int64? {
        guard let hour = number(2), take(":"), let minute = number(2), take(":"), let second = number(2),
            hour < 24, minute < 60, second <= 60
        else { return nil }
        return hour * 3600 + minute * 60 + second
    }
}

private func timestamp(year: Int64, month: Int64, day: Int64, time: Int64) -> Timestamp? {
    guard day >= 1, day <= daysInMonth(month, year: year) else { return nil }
    let seconds = daysSinceEpoch(year: year, month: month, day: day) * 86_400 + time
    return Timestamp(milliseconds: seconds * 1000)
}

private func daysInMonth(_ month: Int64, year: Int64) -> Int64 {
    switch month {
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
}

// Howard Hinnant's day arithmetic on the proleptic Gregorian calendar: years begin in March, so that the leap day is
// the last of its year, and are counted in eras of 400.

private func daysSinceEpoch(year: Int64, month: Int64, day: Int64) -> Int64 {
    let year = month <= 2 ? year - 1 : year
    let era = floorDivide(year, 400)
    let yearOfEra = year - era * 400
    let dayOfYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
}

private func civilDate(daysSinceEpoch: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let days = daysSinceEpoch + 719_468
    let era = floorDivide(days, 146_097)
    let dayOfEra = days - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let march = (5 * dayOfYear + 2) / 153
    let month = march < 10 ? march + 3 : march - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * march + 2) / 5 + 1)
}

private func floorDivide(_ dividend: Int64, _ divisor: Int64) -> Int64 {
    let quotient = dividend / divisor
    return dividend % divisor < 0 ? quotient - 1 : quotient
}

private func floorModulo(_ dividend: Int64, _ divisor: Int64) -> Int64 {
    dividend - floorDivide(dividend, divisor) * divisor
}

private func padded(_ number: Int64, to width: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
}
