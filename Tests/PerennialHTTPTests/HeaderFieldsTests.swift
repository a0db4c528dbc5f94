import PerennialHTTP
import Testing

struct HeaderFieldsTests {
    let fields: HeaderFields = ["Accept": "text/html", "X-A": "1", "accept": "text/plain"]

    @Test func `Fields are found whatever their case, and repeats are joined in order`() {
        #expect(fields["ACCEPT"] == "text/html, text/plain")
        #expect(fields.values(of: "aCcept") == ["text/html", "text/plain"])
        #expect(fields["x-a"] == "1")
        #expect(fields["x-b"] == nil)
        #expect(fields["x-"] == nil)
    }

    @Test func `Fields are made from pairs, in their order`() {
        let named = [(name: "A", value: "1"), (name: "a", value: "2")]
        #expect(HeaderFields(named) == ["A": "1", "a": "2"])
        #expect(HeaderFields(named.map { ($0.name, $0.value) }) == HeaderFields(named))
    }

    @Test func `Setting replaces all of a name in the place of the first`() {
        var changed = fields
        changed.set("ACCEPT", to: "*/*")
        #expect(changed.map(\.name) == ["Accept", "X-A"])
        #expect(changed["accept"] == "*/*")
        changed["X-B"] = "2"
        #expect(changed.map(\.name) == ["Accept", "X-A", "X-B"])
        changed["accept"] = nil
        #expect(changed.map(\.name) == ["X-A", "X-B"])
    }

    @Test func `Fields for one connection are removed, and those that Connection names`() {
        let message: HeaderFields = [
            "Connection": "close, X-Private", "connection": "X-Other", "Keep-Alive": "timeout=5", "TE": "trailers",
            "Transfer-Encoding": "chunked", "Upgrade": "h2c", "Proxy-Authenticate": "Basic", "Trailer": "X-T",
            "x-private": "1", "X-Other": "2", "Proxy-Status": "cdn", "ETag": "\"a\"",
        ]
        #expect(message.removingHopByHop().map(\.name) == ["Proxy-Status", "ETag"])
    }

    @Test func `Connection can't take away what keeps a response out of the cache`() {
        let message: HeaderFields = ["Connection": "Cache-Control, Vary", "Cache-Control": "no-store", "Vary": "*"]
        #expect(message.removingHopByHop() == ["Cache-Control": "no-store", "Vary": "*"])
    }
}
