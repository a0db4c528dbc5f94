import PerennialHTTP
import Testing

struct RequestCheckTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var fields: HeaderFields
        var status: Int?
        var isOldVersion = false

        init(_ fields: HeaderFields, _ status: Int?, isOldVersion: Bool = false) {
            self.fields = fields
            self.status = status
            self.isOldVersion = isOldVersion
        }

        var testDescription: String { "\(fields) → \(status.map(String.init) ?? "taken")" }
    }

    @Test(arguments: [
        Case(["Host": "a"], nil), Case(["host": "[::1]:80"], nil), Case(["Host": ""], nil), Case([:], 400),
        Case([:], nil, isOldVersion: true), Case(["Host": "a", "HOST": "a"], 400),
        Case(["Host": "a", "Host": "b"], 400, isOldVersion: true), Case(["Host": "a/b"], 400),
        Case(["Host": "a@b"], 400),
        Case(["Host": "a b"], 400), Case(["Host": "a, b"], 400), Case(["Host": "a?b"], 400), Case(["Host": "a#b"], 400),
        Case(["Host": "ü"], 400), Case(["Host": "a\\b"], 400), Case(["Host": "a:80"], nil),
        Case(["Host": "a:notaport"], 400), Case(["Host": "[::1"], 400), Case(["Host": "a:80:80"], 400),
        // Expect.
        Case(["Host": "a", "Expect": "100-continue"], nil), Case(["Host": "a", "Expect": "100-Continue"], nil),
        Case(["Host": "a", "Expect": "tea"], 417), Case(["Host": "a", "Expect": "100-continue, tea"], 417),
        Case(["Expect": "tea"], nil, isOldVersion: true),
    ])
    func `A request has one host and no wish that can't be met`(tested: Case) {
        let complaint = complaint(
            aboutFields: tested.fields.map { ($0.name, $0.value) }, isOldVersion: tested.isOldVersion)
        #expect(complaint?.status == tested.status)
        #expect(complaint.map { $0.text.hasSuffix(".") } ?? true)
    }
}

struct ResponseCheckTests {
    @Test(
        arguments: [
            (200, [:], false, nil), (200, ["Content-Length": "5"], false, nil),
            (599, ["Transfer-Encoding": "Chunked"], false, nil), (204, [:], true, nil),
            (101, [:], false, .status), (100, [:], false, .status), (0, [:], false, .status),
            (600, [:], false, .status),
            (999, [:], false, .status),
            (200, ["Content-Length": "5", "Content-Length": "5"], false, .length),
            (200, ["Content-Length": "5, 5"], false, .length), (200, ["Content-Length": "-5"], false, .length),
            (200, ["Content-Length": "5", "Transfer-Encoding": "chunked"], false, .length),
            (200, ["Transfer-Encoding": "gzip"], false, .coding),
            (200, ["Transfer-Encoding": "gzip, chunked"], false, .coding),
            (200, ["Transfer-Encoding": "chunked", "Transfer-Encoding": "chunked"], false, .coding),
            (200, ["Transfer-Encoding": "chunked, gzip"], false, .coding),
            (200, ["Transfer-Encoding": "chunked"], true, .coding),
        ] as [(Int, HeaderFields, Bool, ResponseProblem?)])
    func `A response has one end and a known coding`(
        status: Int, fields: HeaderFields, isOldVersion: Bool, problem: ResponseProblem?
    ) {
        #expect(responseProblem(status: status, fields: fields, isOldVersion: isOldVersion) == problem)
    }
}

struct ForwardingTests {
    @Test(
        arguments: [
            ([:], .unlimited), (["Max-Forwards": "0"], .exhausted), (["max-forwards": "3"], .goOn(2)),
            (["Max-Forwards": "-1"], .invalid), (["Max-Forwards": "x"], .invalid), (["Max-Forwards": ""], .invalid),
            (["Max-Forwards": "1", "Max-Forwards": "2"], .invalid),
            (["Max-Forwards": "99999999999999999999"], .invalid),
        ] as [(HeaderFields, MaxForwards)])
    func `Max-Forwards is a number`(fields: HeaderFields, expected: MaxForwards) {
        #expect(MaxForwards(fields) == expected)
    }

    @Test func `Connection can't take away what a message is read by`() {
        let fields: HeaderFields = [
            "Connection": "Content-Length, Cache-Control, vary, X-Own, close", "Content-Length": "5",
            "Cache-Control": "no-store",
            "Vary": "Accept", "X-Own": "1",
        ]
        #expect(fields.removingHopByHop().map(\.name) == ["Content-Length", "Cache-Control", "Vary"])
        #expect(fields.connectionNamesOthers)
        for usual in ["close", "keep-alive", "Keep-Alive, TE, Upgrade", "", "close, HTTP2-Settings"] {
            #expect(!(["Connection": usual] as HeaderFields).connectionNamesOthers)
        }
    }
}
