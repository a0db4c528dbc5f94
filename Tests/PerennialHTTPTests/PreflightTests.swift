import Perennial
import PerennialHTTP
import Testing

/// Answers to preflights, kept by what they ask (Fetch §3.3).
struct PreflightTests {
    static let asked: HeaderFields = ["Origin": "https://app.example", "Access-Control-Request-Method": "PUT"]

    private func with(_ fields: HeaderFields) -> HeaderFields {
        HeaderFields((Array(Self.asked) + Array(fields)).map { ($0.name, $0.value) })
    }

    @Test func `those that ask the same have one key, which says what is asked`() throws {
        let key = Preflight(method: "OPTIONS", fields: Self.asked)?.key(primary: "http://o/x")
        let names =
            "access-control-request-headers&access-control-request-method=PUT&access-control-request-private-network"
        #expect(key == "http://o/x OPTIONS \(names)&origin=https://app.example")
        #expect(Preflight.variant(ofKey: try #require(key)) == "\(names)&origin=https://app.example")
        let one = Preflight(method: "OPTIONS", fields: with(["Access-Control-Request-Headers": "X-B, x-a"]))
        let two = Preflight(method: "OPTIONS", fields: with(["Access-Control-Request-Headers": "x-a,x-b"]))
        #expect(one?.key(primary: "a") == two?.key(primary: "a"))
        #expect(one?.key(primary: "a") != Preflight(method: "OPTIONS", fields: Self.asked)?.key(primary: "a"))
        #expect(Preflight.variant(ofKey: "http://o/x accept=OPTIONS") == nil)
        #expect(Preflight.variant(ofKey: "http://o/x") == nil)
    }

    @Test(
        arguments: [
            ("GET", asked), ("OPTIONS", ["Origin": "https://a"]), ("OPTIONS", ["Access-Control-Request-Method": "PUT"]),
            ("options", asked),
        ] as [(String, HeaderFields)])
    func `what is no preflight is none`(method: String, fields: HeaderFields) {
        #expect(Preflight(method: method, fields: fields) == nil)
    }

    @Test(arguments: [
        "Cookie", "Authorization", "X-Api-Key", "If-None-Match", "Range", "Cache-Control", "Content-Length",
        "Max-Forwards",
        "Upgrade", "X-HTTP-Method-Override",
    ])
    func `one with anything that matters to a cache is not kept`(name: String) {
        #expect(Preflight(method: "OPTIONS", fields: with([name: "1"])) == nil)
        #expect(Preflight(method: "OPTIONS", fields: with(["Accept": "*/*", "User-Agent": "x"])) != nil)
    }

    @Test(
        arguments: [
            (204, ["Access-Control-Max-Age": "600"], 600), (200, [:], 5),
            (204, ["Access-Control-Max-Age": "999999999"], 86_400),
            (204, ["Access-Control-Max-Age": "0"], nil), (204, ["Access-Control-Max-Age": "-1"], nil),
            (204, ["Access-Control-Max-Age": "soon"], nil), (403, [:], nil), (404, [:], nil), (301, [:], nil),
            (204, ["Set-Cookie": "a=b"], nil), (204, ["Cache-Control": "no-store"], nil),
            (204, ["Cache-Control": "private"], nil),
            (204, ["Cache-Control": "max-age=1"], 5), (204, ["Vary": "*"], nil), (204, ["Vary": "User-Agent"], nil),
            (204, ["Vary": "Origin, Access-Control-Request-Headers, Accept-Encoding"], 5),
        ] as [(Int, HeaderFields, Int?)])
    func `an answer is kept as long as browsers would`(status: Int, fields: HeaderFields, seconds: Int?) {
        #expect(Preflight.lifetime(status: status, fields: fields) == seconds.map { .seconds($0) })
    }
}
