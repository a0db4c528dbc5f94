import PerennialHTTP
import Testing

/// RFC 9110 §7.6.3 and RFC 8586.
struct ViaTests {
    @Test func `a request names the gateways it has come through, or nobody`() throws {
        let request: HeaderFields = ["Via": "1.0 front", "CDN-Loop": "front", "X": "y"]
        let named = try #require(ViaRule(name: "cache-1:80"))
        #expect(
            ViaRule.on.applied(to: request, of: request, version: "1.1")
                == ["CDN-Loop": "front", "X": "y", "Via": "1.0 front, 1.1 perennial"])
        #expect(
            named.applied(to: ["X": "y"], of: request, version: "2") == ["X": "y", "Via": "1.0 front, 2 cache-1:80"])
        #expect(
            ViaRule.off.applied(to: request, of: request, version: "1.1")
                == ["CDN-Loop": "front, perennial", "X": "y"])
    }

    @Test(
        arguments: [
            (ViaRule.on, ["Via": "1.1 perennial"], 1), (.on, ["Via": "1.1 a, 1.1 perennial,2 perennial"], 2),
            (.on, ["Via": "1.1 notperennial, perennial"], 0), (.on, ["CDN-Loop": "perennial;a=b, x"], 1),
            (.off, ["CDN-Loop": "perennial, perennial", "Via": "1.1 perennial"], 3),
            (.name("cache"), ["Via": "1.1 cache, 1.1 perennial, 1.1 cache2"], 2), (.on, [:], 0),
        ] as [(ViaRule, HeaderFields, Int)])
    func `how often it has come through one like this`(rule: ViaRule, fields: HeaderFields, times: Int) {
        #expect(rule.timesPassed(fields) == times)
    }

    @Test(arguments: ["", "a b", "a,b", "a(b)", "é", String(repeating: "a", count: 65)])
    func `what would end the name is none`(name: String) {
        #expect(ViaRule(name: name) == nil)
    }
}
