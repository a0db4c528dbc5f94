import Perennial
import PerennialHTTP
import PerennialTesting
import Testing

struct HTTPDateTests {
    @Test(arguments: [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
        ("Sun Nov  6 08:49:37 1994", 784_111_777),
        ("Wed Nov 16 08:49:37 1994", 784_975_777),
        ("sun, 06 nov 1994 08:49:37 gmt", 784_111_777),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
        ("Tue, 29 Feb 2000 00:00:00 GMT", 951_782_400),
        ("Thu, 29 Feb 2024 12:00:00 GMT", 1_709_208_000),
        ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_800),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
        ("Sat, 01 Jan 0000 00:00:00 GMT", -62_167_219_200),
    ])
    func `All three forms are read`(text: String, seconds: Int64) {
        #expect(HTTPDate.parse(text) == Timestamp(milliseconds: seconds * 1000))
    }

    @Test(arguments: [
        "", "0", "-1", "now", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000", "Sun, 06 Nov 1994 08:49:37 GMT ", " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 94 08:49:37 GMT", "Sun,06 Nov 1994 08:49:37 GMT",
        "Thu, 31 Feb 2000 00:00:00 GMT", "Wed, 29 Feb 2023 00:00:00 GMT", "Thu, 29 Feb 1900 00:00:00 GMT",
        "Thu, 00 Jan 1970 00:00:00 GMT", "Thu, 31 Apr 1970 00:00:00 GMT", "Thu, 01 Jan 1970 24:00:00 GMT",
        "Thu, 01 Jan 1970 00:60:00 GMT", "Thu, 01 Jan 1970 00:00:61 GMT", "Xyz, 01 Jan 1970 00:00:00 GMT",
        "Thu, 01 Xyz 1970 00:00:00 GMT", "Thu, 01 Jan 1970 0:00:00 GMT", "Thu, 01 Jan 1970 00.00.00 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT", "Sun Nov 6 08:49:37 1994", "Sun Nov 06 8:49:37 1994",
        "Thu, 01 Jan 19700 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMTX", "Thu, 01 Jan +970 00:00:00 GMT",
    ])
    func `Everything else is no date`(text: String) {
        #expect(HTTPDate.parse(text) == nil)
    }

    @Test func `A two-digit year is never more than fifty years ahead`() throws {
        let text = "Friday, 01-Jan-51 00:00:00 GMT"
        let in2000 = Timestamp(milliseconds: 946_684_800_000)
        let in2001 = Timestamp(milliseconds: 978_307_200_000)
        #expect(HTTPDate.format(try #require(HTTPDate.parse(text, now: in2000))).contains("1951"))
        #expect(HTTPDate.format(try #require(HTTPDate.parse(text, now: in2001))).contains("2051"))
        #expect(HTTPDate.format(try #require(HTTPDate.parse(text))).contains("2051"))
    }

    @Test func `A formatted date is read back, whatever the day`() {
        var generator = SeededGenerator(seed: 1)
        for _ in 0..<5000 {
            let seconds = Int64.random(in: -62_167_219_200...253_402_300_799, using: &generator)
            let text = HTTPDate.format(Timestamp(milliseconds: seconds * 1000 + 999))
            #expect(HTTPDate.parse(text) == Timestamp(milliseconds: seconds * 1000), "\(text)")
        }
    }

    @Test(arguments: [
        (784_111_777_000, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (-1, "Wed, 31 Dec 1969 23:59:59 GMT"),
        (Int64.max, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (Int64.min, "Sat, 01 Jan 0000 00:00:00 GMT"),
    ])
    func `Dates are written in the preferred form`(milliseconds: Int64, text: String) {
        #expect(HTTPDate.format(Timestamp(milliseconds: milliseconds)) == text)
    }
}
