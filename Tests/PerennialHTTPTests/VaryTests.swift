import PerennialHTTP
import Testing

struct VaryTests {
    @Test func `Selecting fields are named once, in order`() {
        let vary = Vary(["Vary": "Accept-Encoding, accept", "VARY": "Accept,, Origin"])
        #expect(vary.names == ["accept", "accept-encoding", "origin"])
        #expect(!vary.isAny)
        #expect(Vary([:]).names == [])
        #expect(Vary(["Vary": ""]).names == [])
    }

    @Test(arguments: ["*", "accept, *", "*, accept", "acc ept", "\"accept\""])
    func `A star or what names no field never matches`(value: String) {
        let vary = Vary(["Vary": value])
        #expect(vary.isAny)
        #expect(!vary.matches(selecting: [:], request: [:]))
    }

    @Test(
        arguments: [
            ("accept-encoding", ["Accept-Encoding": "gzip, br"], ["accept-encoding": "BR,gzip"], true),
            ("accept-encoding", ["Accept-Encoding": "gzip"], ["accept-encoding": "br"], false),
            ("accept-encoding", ["Accept-Encoding": "gzip ; q=1"], ["accept-encoding": "gzip;q=1"], true),
            ("accept-encoding", ["Accept-Encoding": ""], [:], true),
            ("accept-encoding", ["Accept-Encoding": "gzip, deflate;q=0.5"], ["Accept-Encoding": "x-gzip"], true),
            ("accept", ["Accept": "a/b,  c/d"], ["Accept": "a/b", "accept": "c/d"], true),
            ("accept", ["Accept": "a/b, c/d"], ["Accept": "c/d, a/b"], false),
            ("accept-language", ["Accept-Language": "en-GB"], ["Accept-Language": "EN-gb"], true),
            ("user-agent", ["User-Agent": "a,b"], ["User-Agent": "a, b"], false),
            ("user-agent", ["User-Agent": " a "], ["User-Agent": "a"], true),
            ("x-a", [:], [:], true),
            ("x-a", ["X-A": "1"], [:], false),
            ("x-a, x-b", ["X-A": "1"], ["X-B": "1"], false),
            ("x-a, x-b", ["X-A": "1&x-b=2"], ["X-A": "1", "X-B": "2"], false),
            ("", ["X-A": "1"], ["X-A": "2"], true),
        ] as [(String, HeaderFields, HeaderFields, Bool)])
    func `Two requests choose the same response if their selecting fields mean the same`(
        value: String, one: HeaderFields, other: HeaderFields, isSame: Bool
    ) {
        let vary = Vary(["Vary": value])
        #expect(vary.matches(selecting: vary.selectingFields(of: one), request: other) == isSame)
        #expect((vary.variantKey(for: one) == vary.variantKey(for: other)) == isSame)
    }

    @Test func `A variant's key is one line of visible ASCII`() {
        let vary = Vary(names: ["X-B", "Accept", "x-a"])
        #expect(
            vary.variantKey(for: ["Accept": "text/html", "X-B": "50% ü\n&"])
                == "accept=text/html&x-a&x-b=50%25%20%C3%BC%0A%26")
        #expect(Vary([:]).variantKey(for: ["Accept": "a"]) == "")
    }

    @Test func `Credentials among the selecting fields are told`() {
        let vary = Vary(["Vary": "Cookie, Authorization, Accept"])
        #expect(vary.credentials(in: ["Cookie": "a", "Accept": "b"]) == ["cookie"])
        #expect(vary.credentials(in: [:]) == [])
    }
}
