import PerennialHTTP
import Testing

struct OriginURLTests {
    @Test(arguments: [
        ("https://api.example.com", "https://api.example.com", "api.example.com", 443),
        ("HTTPS://API.Example.com/", "https://api.example.com", "api.example.com", 443),
        ("http://localhost:80", "http://localhost", "localhost", 80),
        ("http://localhost:8080", "http://localhost:8080", "localhost:8080", 8080),
        ("https://a.b:80/", "https://a.b:80", "a.b:80", 80),
        ("http://a:/", "http://a", "a", 80),
        ("http://[::1]:9000/v1/", "http://[::1]:9000/v1", "[::1]:9000", 9000),
        ("http://[2001:DB8::192.0.2.1]", "http://[2001:db8::192.0.2.1]", "[2001:db8::192.0.2.1]", 80),
        ("http://a/b/../c/./d//", "http://a/c/d", "a", 80),
        ("http://a/%7euser/%2f", "http://a/~user/%2F", "a", 80),
        ("http://my_service:1/", "http://my_service:1", "my_service:1", 1),
    ])
    func `An origin has one normal form`(text: String, normal: String, authority: String, port: Int) throws {
        let origin = try OriginURL(text)
        #expect(origin.description == normal)
        #expect(origin.authority == authority)
        #expect(origin.port == port)
        #expect(try OriginURL(origin.description) == origin)
    }

    @Test(arguments: [
        ("", "doesn't begin with http://"), ("api.example.com", "doesn't begin with http://"),
        ("ftp://a", "doesn't begin with http://"), ("http:/a", "doesn't begin with http://"),
        ("http://", "has no host"), ("http:///path", "has no host"), ("http://:80", "has no host"),
        ("http://user:secret@a", "has credentials"), ("http://a?b", "query or fragment"), ("http://a/#b", "query or"),
        ("http://a b", "space or control"), ("http://a\n", "space or control"), ("http://bücher.de", "isn't ASCII"),
        ("http://a:0", "has a port"), ("http://a:65536", "has a port"), ("http://a:x", "has a port"),
        ("http://a:80:80", "has a port"), ("http://a:99999999999999999999", "has a port"),
        ("http://a:-1", "has a port"),
        ("http://[::1", "broken IPv6"), ("http://[]", "broken IPv6"), ("http://[1:2:3]", "broken IPv6"),
        ("http://[1::2::3]", "broken IPv6"), ("http://[::12345]", "broken IPv6"), ("http://[::g]", "broken IPv6"),
        ("http://[1:2:3:4:5:6:7:8:9]", "broken IPv6"), ("http://[::300.1.1.1]", "broken IPv6"),
        ("http://[:::]", "broken IPv6"), ("http://[fe80::1%25eth0]", "broken IPv6"), ("http://[::1]x", "has a port"),
        ("http://a%41", "can't be one"), ("http://a..b", "can't be one"), ("http://.a", "can't be one"),
        ("http://a\\b", "can't be one"),
    ])
    func `What is wrong with an origin is said in one line`(text: String, reason: String) {
        let error = #expect(throws: AddressError.self) { try OriginURL(text) }
        #expect(error?.kind == .malformed)
        #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
        #expect(error?.description.contains { $0.isNewline } == false)
    }
}

struct CacheKeyTests {
    let plain: OriginURL
    let based: OriginURL

    init() throws {
        plain = try OriginURL("https://api.example.com")
        based = try OriginURL("http://a:8080/v1")
    }

    @Test(arguments: [
        ("/", "/"), ("/users/1", "/users/1"), ("/users/1?b=2&a=1&b=2", "/users/1?b=2&a=1&b=2"), ("/?", "/?"),
        ("/%7Efoo/%2fbar", "/~foo/%2Fbar"), ("/a?%7e=%c3%bc", "/a?~=%C3%BC"),
        ("/%zz/%4", "/%zz/%4"), ("/%e%42/%2%35/%%34%32", "/%e%42/%2%35/%%342"), ("/%x%42/%%2e", "/%x%42/%."),
        ("/%", "/%"), ("/%2541", "/%2541"), ("/a/./b/../c", "/a/c"), ("/a/..", "/"),
        ("/..", "/"),
        ("/../../etc", "/etc"), ("/%2e%2E/etc", "/etc"), ("/a/%2e", "/a/"), ("/a//b", "/a//b"), ("/a//../b", "/a/b"),
        ("//evil.example/x", "//evil.example/x"), ("/a?../b", "/a?../b"), ("/A", "/A"), ("/a/", "/a/"),
        ("/a/...", "/a/..."),
        ("/a;b=c,d", "/a;b=c,d"), ("/{a}|b", "/{a}|b"), ("/a/.b", "/a/.b"), ("/a?b=/./c", "/a?b=/./c"),
        ("https://api.example.com/a", "/a"), ("HTTPS://API.example.com:443/a", "/a"), ("https://api.example.com", "/"),
        ("https://api.example.com?a=b", "/?a=b"), ("https://api.example.com/..//a", "//a"),
    ])
    func `A target's key is its address in normal form`(target: String, path: String) throws {
        let key = try plain.key(forTarget: target)
        #expect(key == "https://api.example.com" + path)
        #expect(try plain.key(forInput: key) == key)
        #expect(plain.target(ofKey: key) == path)
    }

    @Test(arguments: [
        ("/", "/v1/"), ("/users", "/v1/users"), ("/../admin", "/v1/admin"), ("/%2e%2e/%2e%2e/admin", "/v1/admin"),
        ("http://a:8080/v1/users", "/v1/users"), ("http://a:8080/v1", "/v1"), ("http://a:8080/v1?x", "/v1?x"),
    ])
    func `A base path comes before every path and can't be left`(target: String, path: String) throws {
        let key = try based.key(forTarget: target)
        #expect(key == "http://a:8080" + path)
        #expect(based.target(ofKey: key) == path)
    }

    @Test(
        arguments: [
            ("", .malformed), ("users", .malformed), ("*", .malformed), ("?a", .malformed), ("/a b", .malformed),
            ("/a\u{0}", .malformed), ("/a\r\nX: y", .malformed), ("/ü", .malformed), ("/\u{7F}", .malformed),
            ("http://a:8080@b/", .malformed), ("http://b:8080/v1", .elsewhere), ("http://a/v1", .elsewhere),
            ("https://a:8080/v1", .elsewhere), ("http://a:8080/v2", .elsewhere), ("http://a:8080/v10", .elsewhere),
            ("http://a:8080/v1/../v2", .elsewhere), ("http://a:8080", .elsewhere), ("a:8080", .malformed),
            ("/a#b", .malformed), ("/a?b#c?d", .malformed), ("http://a:8080/v1#b", .malformed),
        ] as [(String, AddressError.Kind)])
    func `Other targets are refused`(target: String, kind: AddressError.Kind) {
        let error = #expect(throws: AddressError.self) { try based.key(forTarget: target) }
        #expect(error?.kind == kind)
        #expect(error?.description.utf8.allSatisfy { $0 >= 0x20 } == true)
    }

    @Test func `A target over the limit is refused`() throws {
        let error = #expect(throws: AddressError.self) { try plain.key(forTarget: "/1234567890", limit: 10) }
        #expect(error?.kind == .tooLong)
        #expect(try plain.key(forTarget: "/123456789", limit: 10) == "https://api.example.com/123456789")
    }

    @Test func `People may type an address or a path`() throws {
        #expect(try plain.key(forInput: " /users/1\t") == "https://api.example.com/users/1")
        #expect(try plain.key(forInput: "https://api.example.com/users/1") == "https://api.example.com/users/1")
        #expect(try plain.key(forInput: "/users/1?a#top?x") == "https://api.example.com/users/1?a")
        let error = #expect(throws: AddressError.self) { try plain.key(forInput: "users/1") }
        #expect(
            error?.description == "\"users/1\" is neither an address nor a path; write https://api.example.com/… or /…")
    }

    @Test func `A key of another origin has no target`() {
        for key in ["https://api.example.com.evil/a", "https://api.example.com", "http://api.example.com/a", ""] {
            #expect(plain.target(ofKey: key) == nil)
        }
        #expect(based.target(ofKey: "http://a:8080/v10") == nil)
    }

    @Test(arguments: [
        ("http://a:8080/v1/x?y", "http://a:8080/v1/x?y"), ("http://A:8080/v1", "http://a:8080/v1"),
        ("http://a:8080/v2", nil), ("http://api.test/v1/x", nil), ("https://a:8080/v1/x", nil), ("/v1/x", nil),
    ])
    func `an absolute target at the origin is told from others`(target: String, key: String?) throws {
        let wanted = try RequestTarget(target)
        #expect(try OriginURL("http://a:8080/v1").key(ofAbsolute: wanted) == key)
    }
}
