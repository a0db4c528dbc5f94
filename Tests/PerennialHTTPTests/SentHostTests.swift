import Testing

@testable import PerennialHTTP

/// What `Host` an origin is sent, and the addresses that follow from it.
struct SentHostTests {
    @Test(arguments: [
        ("Blog.Example", "blog.example"), ("blog.example.", "blog.example"), ("blog.example:80", "blog.example"),
        ("blog.example:443", "blog.example"), ("blog.example:", "blog.example"), ("BLOG:08080", "blog:8080"),
        ("[2001:DB8::1]:8443", "[2001:db8::1]:8443"), ("127.0.0.1:9000", "127.0.0.1:9000"), ("my_host", "my_host"),
    ])
    func `a host has one normal form`(text: String, normal: String) throws {
        #expect(try HostName(text).description == normal)
        #expect(try HostName(normal).description == normal)
    }

    @Test(arguments: [
        "", ".", "a..b", ".a", "a b", "a/b", "user@a", "a,b", "a:0", "a:65536", "a:b", "[::1", "a%41", "a'b", "*.a",
        String(repeating: "a", count: 254),
    ])
    func `what could be read as something else is no host to send`(text: String) {
        #expect(throws: AddressError.self) { try HostName(text) }
    }

    @Test(arguments: [
        ("blog.example", true), ("a", true), ("127.0.0.1:9000", true), ("a-b.c:1", true), ("A", false), ("a.", false),
        (".a", false), ("a..b", false), ("a:80", false), ("a:443", false), ("a:", false), ("a:01", false),
        ("a:65536", false), ("a:99999999", false), ("a_b", false), ("[::1]", false), ("", false), ("a b", false),
        ("a@b", false), (":80", false),
    ])
    func `a host that is in normal form is told at a look`(text: String, isNormal: Bool) {
        let bytes = Array(text.utf8)
        #expect(bytes.span.isNormalHost(bytes.indices) == isNormal)
        if isNormal { #expect((try? HostName(text))?.description == text) }
    }

    @Test func `the host that is sent is in the address, and the address tells it`() throws {
        let origin = try OriginURL("http://127.0.0.1:9000/base")
        let cases: [(SentHost, host: String, key: String, isSent: String)] = [
            (.origin, "blog.example", "http://127.0.0.1:9000/base/a?b", "127.0.0.1:9000"),
            (.client, "Blog.Example:80", "http://blog.example/base/a?b", "blog.example"),
            (.client, "blog.example:8080", "http://blog.example:8080/base/a?b", "blog.example:8080"),
            (.client, "", "http://127.0.0.1:9000/base/a?b", "127.0.0.1:9000"),
            (.name(try HostName("www.example")), "x", "http://www.example/base/a?b", "www.example"),
        ]
        for (sent, host, key, isSent) in cases {
            let address = RouteAddress(origin: origin, sentHost: sent)
            #expect(try address.key(forPath: "/a?b", host: host) == key)
            #expect(address.mayHaveMade(key))
            #expect(address.origin(ofKey: key)?.authority == isSent)
            #expect(address.origin(ofKey: key)?.target(ofKey: key) == "/base/a?b")
            #expect(try address.key(forInput: key) == key)
        }
    }

    @Test(arguments: [
        "http://elsewhere.example/a", "https://blog.example/a", "http://Blog.example/a", "http://blog.example:80/a",
        "http://blog.example", "http://x@blog.example/a", "http:///a", "/a", "",
    ])
    func `a key that no request can have is nobody's`(key: String) throws {
        let address = try RouteAddress(
            hosts: [HostPattern("blog.example"), HostPattern("*.blog.example")],
            origin: OriginURL("http://127.0.0.1:9000"), sentHost: .client)
        #expect(!address.mayHaveMade(key))
        #expect(address.mayHaveMade("http://www.blog.example/a"))
    }

    @Test func `who types an address may name either scheme, but has to name the host where clients' count`() throws {
        let address = try RouteAddress(
            hosts: [HostPattern("blog.example")], origin: OriginURL("http://127.0.0.1:9000"), sentHost: .client)
        #expect(try address.key(forInput: "https://Blog.example/a#top") == "http://blog.example/a")
        #expect(throws: AddressError.self) { try address.key(forInput: "/a") }
        #expect(throws: AddressError.self) { try address.key(forInput: "https://other.example/a") }
    }

    @Test func `routes share addresses when they ask the same origin by the same name`() throws {
        let (one, two) = (try OriginURL("http://10.0.0.1"), try OriginURL("http://10.0.0.2"))
        let (a, b) = (SentHost.name(try HostName("a.example")), SentHost.name(try HostName("b.example")))
        func address(_ origin: OriginURL, _ sent: SentHost, _ hosts: [String] = []) throws -> RouteAddress {
            try RouteAddress(hosts: hosts.map { try HostPattern($0) }, origin: origin, sentHost: sent)
        }
        #expect(try !address(one, a).mayShareKeys(with: address(one, b)))
        #expect(try address(one, a).mayShareKeys(with: address(two, a)))
        #expect(try !address(one, .client, ["a.example"]).mayShareKeys(with: address(one, .client, ["b.example"])))
        #expect(try address(one, .client, ["*.example"]).mayShareKeys(with: address(two, .client, ["a.example"])))
        #expect(try address(one, .client).mayShareKeys(with: address(two, .origin)))
        #expect(try !address(one, .client, ["a.example"]).mayShareKeys(with: address(two, .origin)))
        let based = try RouteAddress(
            hosts: [HostPattern("a.example")], origin: OriginURL("http://10.0.0.3/base"), sentHost: .client)
        #expect(try based.mayShareKeys(with: address(one, .client)))
        #expect(try based.goesBefore(address(one, .client)))
        // The host in the key tells which of the two a request was for.
        #expect(try address(one, .client, ["a.example"]).goesBefore(address(two, .client, ["*.example"])))
    }
}
