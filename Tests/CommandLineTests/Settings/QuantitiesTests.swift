import Perennial
import Testing

@testable import perennial

/// How durations, sizes and rates are read and written.
struct QuantitiesTests {
    @Test(arguments: [
        ("500ms", Duration.milliseconds(500)), ("2s", .seconds(2)), ("5m", .seconds(300)), ("1h", .seconds(3600)),
        ("7d", .seconds(604_800)), ("0", .zero), ("0s", .zero),
    ])
    func `a duration is a whole number and a unit`(text: String, expected: Duration) throws {
        #expect(try duration(text) == expected)
    }

    @Test(arguments: [
        "", "5", "s", "1.5h", "-1s", "1h30m", "5 m", "5M", "1w", "٣s", "99999999999999999999d", "200000000000d",
    ])
    func `anything else is no duration`(text: String) {
        #expect(throws: Unreadable.self) { try duration(text) }
    }

    @Test(arguments: [
        ("64MB", 64_000_000), ("10GB", 10_000_000_000), ("1KB", 1000), ("2TB", 2_000_000_000_000), ("7B", 7), ("0", 0),
        ("1KiB", 1024), ("512MiB", 512 << 20), ("2GiB", 2 << 30), ("64mb", 64_000_000),
    ])
    func `a size is a whole number and a unit of 1000 or 1024`(text: String, expected: Int) throws {
        #expect(try size(text) == expected)
    }

    @Test(arguments: ["", "64", "MB", "1.5GB", "-1MB", "64 MB", "64M", "9999999999TB"])
    func `anything else is no size`(text: String) {
        #expect(throws: Unreadable.self) { try size(text) }
    }

    @Test func `an error says what it got and what it wants`() {
        #expect(
            throws: Unreadable("“5” is not a duration; write a whole number and a unit, like 500ms, 2s, 5m, 1h or 7d")
        ) {
            try duration("5")
        }
    }

    @Test(arguments: [("50/s", 50.0), ("120/m", 2.0), ("1800/h", 0.5), ("0.5/s", 0.5)])
    func `a rate is a number per time`(text: String, expected: Double) throws {
        #expect(try rate(text) == expected)
    }

    @Test(arguments: ["", "5", "0/s", "-1/s", "5/d", "inf/s", "nan/s", "/s", "5/s/s"])
    func `anything else is no rate`(text: String) {
        #expect(throws: Unreadable.self) { try rate(text) }
    }

    @Test(arguments: [
        (Duration.zero, "0s"), (.milliseconds(250), "250ms"), (.seconds(59), "59s"), (.seconds(4200), "1h 10m"),
        (.seconds(3600), "1h"), (.seconds(3601), "1h"), (.seconds(90_000), "1d 1h"), (.seconds(-5), "-5s"),
        (.forever, "forever"),
    ])
    func `an age is read by its two largest units`(duration: Duration, expected: String) {
        #expect(readable(duration) == expected)
    }

    @Test(arguments: [
        (0, "0 B"), (999, "999 B"), (1000, "1.0 KB"), (1_540_000, "1.5 MB"), (999_600, "1.0 MB"),
        (640_000_000, "640 MB"),
        (3_000_000_000_000, "3.0 TB"),
    ])
    func `a size is read in powers of 1000`(bytes: Int, expected: String) {
        #expect(readable(bytes: bytes) == expected)
    }
}
