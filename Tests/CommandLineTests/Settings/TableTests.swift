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

    @Test func `a row is cut to the terminal's width, with a mark`() {
        #expect(cut("abcdef", to: 6, mark: "…") == "abcdef")
        #expect(cut("abcdef", to: 5, mark: "…") == "abcd…")
        #expect(cut("äöüß", to: 4, mark: ">") == "äöüß")
        #expect(cut("äöüßa", to: 4, mark: ">") == "äöü>")
        #expect(cut("ab", to: 0, mark: ">") == ">")
    }

    @Test func `without more than ASCII there is other punctuation`() {
        #expect(plain("“a” is no ‘b’ – redis://…") == "\"a\" is no 'b' - redis://...")
        #expect(plain("https://example.com/ä") == "https://example.com/ä")
    }

    @Test(
        arguments: [
            (["stat"], "there is no command “stat” of perennial; did you mean “stats”?"),
            (["list"], "there is no command “list” of perennial; did you mean “ls”?"),
            (["frobnicate"], "there is no command “frobnicate” of perennial; see perennial --help"),
            (["jobs", "reply", "3"], "there is no command “reply” of perennial jobs; did you mean “replay”?"),
            (["stats", "extra"], nil), (["jobs", "--dead"], nil), (["origin", "ls"], nil), (["help"], nil), ([], nil),
            (["--bogus"], nil),
        ] as [([String], String?)])
    func `an unknown command is told, with the nearest one`(arguments: [String], hint: String?) {
        #expect(unknownCommand(in: arguments) == hint)
    }

    @Test func `control characters do not reach the terminal`() {
        #expect(printable("a\u{1B}[31mb\nc\u{9B}d") == "a?[31mb?c?d")
    }

    @Test func `a failure is one line`() {
        #expect(Failure(.io, "first\n\nsecond\r\nthird").description == "first second third")
    }
}
