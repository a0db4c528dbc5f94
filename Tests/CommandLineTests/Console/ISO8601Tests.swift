import Foundation
import Perennial
import PerennialConsole
import Testing

/// Times as text.
struct ISO8601Tests {
    @Test(arguments: [
        (Int64(0), "1970-01-01T00:00:00.000Z"), (1_795_396_242_250, "2026-11-23T01:10:42.250Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ])
    func `a time is written in UTC to the millisecond`(milliseconds: Int64, expected: String) {
        #expect(Timestamp(milliseconds: milliseconds).iso8601 == expected)
    }

    @Test func `never is no time`() {
        #expect(Timestamp.distantFuture.iso8601 == nil)
        #expect(Timestamp.distantPast.iso8601 == nil)
    }

    /// From 1582 on: before, Foundation counts in the Julian calendar.
    @Test func `a thousand random times agree with Foundation`() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<1000 {
            let seconds = Int64.random(in: -12_000_000_000..<250_000_000_000, using: &random)
            let expected = Date(timeIntervalSince1970: Double(seconds)).formatted(
                .iso8601.year().month().day().time(includingFractionalSeconds: true).dateTimeSeparator(.standard))
            #expect(Timestamp(milliseconds: seconds * 1000).iso8601?.hasPrefix(String(expected.prefix(23))) == true)
        }
    }
}
