import Testing

@testable import PerennialConsole

/// Who may talk to the admin server.
struct VisitorTests {
    @Test(arguments: ["127.0.0.1:8081", "localhost:8081", "LOCALHOST", "[::1]:8081", "10.1.2.3", "console.internal:1"])
    func `addresses in digits, localhost and configured names are this server`(host: String) {
        #expect(Visitor(host: host).refusal(names: ["console.internal"]) == nil)
    }

    @Test(arguments: [
        "evil.example", "127.0.0.1.evil.example:8081", "localhost.evil.example", "1.2.3", "1.2.3.256", nil,
    ])
    func `other names are refused, so that no name can be pointed here`(host: String?) {
        #expect(Visitor(host: host).refusal(names: ["console.internal"]) != nil)
    }

    @Test func `a page of this server may ask`() {
        let visitor = Visitor(host: "127.0.0.1:8081", origin: "http://127.0.0.1:8081", fetchSite: "same-origin")
        #expect(visitor.refusal(names: []) == nil)
    }

    @Test(arguments: ["https://evil.example", "http://127.0.0.1:9999", "http://127.0.0.1", "null", ""])
    func `pages of other sites are refused`(origin: String) {
        #expect(Visitor(host: "127.0.0.1:8081", origin: origin).refusal(names: []) != nil)
    }

    @Test func `so are requests that a browser says come from elsewhere`() {
        #expect(Visitor(host: "127.0.0.1", fetchSite: "cross-site").refusal(names: []) != nil)
        #expect(Visitor(host: "127.0.0.1", fetchSite: "same-site").refusal(names: []) != nil)
        #expect(Visitor(host: "127.0.0.1", fetchSite: "none").refusal(names: []) == nil)
    }
}
