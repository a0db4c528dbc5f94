import PerennialHTTP
import Testing

/// Which cookies count.
struct CookieRulesTests {
    private static func rules(_ keep: [String]?, _ drop: [String]) -> CookieRules {
        CookieRules(kept: keep?.map { Wildcard($0) }, dropped: drop.map { Wildcard($0) })
    }

    @Test(
        arguments: [
            (nil, ["_ga*"], "_ga=1; session=2; _ga_X=3", "session=2"), (nil, ["_ga*"], "_ga=1", nil),
            (["session"], [], "a=1;session=2 ; b=3", "session=2"), ([], [], "a=1", nil),
            (["a*"], ["ab"], "a=1; ab=2", "a=1"),
            (nil, [], "a=1;b", "a=1;b"), (nil, ["b"], "a=1; b", "a=1"), (nil, ["A"], "a=1", "a=1"),
            (nil, ["a"], " a = 1", nil),
            (nil, ["x"], ";;", nil), (nil, ["a"], "a=\"x; session=1\"", "session=1\""), (nil, ["a"], "", nil),
        ] as [([String]?, [String], String, String?)])
    func `a request's cookies are brought to what counts`(
        keep: [String]?, drop: [String], sent: String, left: String?
    ) {
        let fields = Self.rules(keep, drop).applied(to: ["X": "y", "cookie": sent])
        #expect(fields == HeaderFields([("X", "y")] + (left.map { [("cookie", $0)] } ?? [])))
    }

    @Test func `each line of several is looked at`() {
        let fields = Self.rules(nil, ["a"]).applied(to: ["Cookie": "a=1", "Cookie": "b=2"])
        #expect(fields == ["Cookie": "b=2"])
    }

    @Test(arguments: [
        ("Cookie", "cookies: {drop: [_ga*]}"), ("Authorization", "“fields”"), ("X-Api-Key", "“fields”"),
        ("a b", "no name"),
    ])
    func `who wants to ignore credentials in Vary is told what does it`(name: String, hint: String) {
        #expect(complaint(aboutIgnoredField: name)?.contains(hint) == true)
        #expect(complaint(aboutIgnoredField: "User-Agent") == nil)
    }
}
