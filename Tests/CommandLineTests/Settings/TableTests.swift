import Testing

@testable import perennial

/// What people see.
struct TableTests {
    @Test func `columns are as wide as their widest cell, lines have no spaces at the end`() {
        var table = Table([("STATE", .left), ("AGE", .right), ("TAGS", .left)])
        table.add(["fresh", "1h 10m", ""])
        table.add(["expired", "9s", "a,b"])
        #expect(table.lines() == ["STATE       AGE  TAGS", "fresh    1h 10m", "expired      9s  a,b"])
        #expect(table.lines(header: false).count == 2)
    }

    @Test func `control characters do not reach the terminal`() {
        #expect(printable("a\u{1B}[31mb\nc\u{9B}d") == "a?[31mb?c?d")
    }

    @Test func `a failure is one line`() {
        #expect(Failure(.io, "first\n\nsecond\r\nthird").description == "first second third")
    }
}
