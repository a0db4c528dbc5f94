import PerennialHTTP
import Testing

struct RoutingTests {
    @Test(arguments: [
        ("api.example.com", "api.example.com", true), ("api.example.com", "API.Example.com:8080", true),
        ("api.example.com", "api.example.com.", true), ("api.example.com", "example.com", false),
        ("api.example.com", "xapi.example.com", false), ("api.example.com", "", false),
        ("*.example.com", "a.example.com", true), ("*.example.com", "a.b.example.com:1", true),
        ("*.example.com", "example.com", false), ("*.example.com", ".example.com", false),
        ("*.example.com", "evilexample.com", false), ("[::1]", "[::1]:8080", true), ("[::1]", "[::1]", true),
        ("127.0.0.1", "127.0.0.1:80", true),
        ("api.example.com.", "api.example.com", true),
    ])
    func `a host pattern is for hosts`(pattern: String, host: String, matches: Bool) throws {
        #expect(try HostPattern(pattern).matches(host) == matches)
        #expect(try HostPattern(pattern).description == (pattern.hasSuffix(".") ? String(pattern.dropLast()) : pattern))
    }

    @Test(arguments: ["", "*", "*.", "a.*", "*.*.com", "a b", "http://a", "a:80", "a:8080", "a/b", "[::1", "ä.de"])
    func `what is no host is an error`(pattern: String) {
        #expect(throws: AddressError.self) { try HostPattern(pattern) }
    }

    @Test(arguments: [
        ("/", "/", true), ("/", "/a/b?c", true), ("/users", "/users", true), ("/users", "/users/", true),
        ("/users", "/users/1", true), ("/users", "/users?x=/y", true), ("/users", "/users2", false),
        ("/users", "/Users", false), ("/users", "//users", false), ("/users", "/", false), ("/users/", "/users", true),
        ("/users/*/photos", "/users/1/photos/2", true), ("/users/*/photos", "/users/photos", false),
        ("/users/*/photos", "/users/1/2/photos", false), ("/users/*/photos", "/users/1?/photos", false),
        ("/v*/a", "/v1/a", true), ("/v*/a", "/v/a", true), ("/v*/a", "/w1/a", false), ("/*.js", "/a.js", true),
        ("/*.js", "/a.json", false), ("/a*b*c", "/abc", true), ("/a*b*c", "/axxbxbc", true), ("/a*b*c", "/axxc", false),
        ("/a*bc*c", "/abc", false),
        ("/**/photos", "/photos", true), ("/**/photos", "/a/b/photos/1", true), ("/**/photos", "/a/b", false),
        ("/a/**/b/*.png", "/a/b/c/b/x.png", true), ("/a/**/b/*.png", "/a/b/c.gif", false), ("/%7euser", "/~user", true),
    ])
    func `a path pattern is for paths`(pattern: String, path: String, matches: Bool) throws {
        #expect(try PathPattern(pattern).matches(path) == matches)
    }

    @Test(arguments: ["", "users", "/a?b", "/a#b", "/a b", "/ä", "/../a", "/a/./b", "/**/a/**"])
    func `what is no path is an error`(pattern: String) {
        #expect(throws: AddressError.self) { try PathPattern(pattern) }
    }

    @Test(arguments: [
        ("/", "/a", true), ("/a", "/a/b", true), ("/a", "/b", false), ("/a", "/ab", false), ("/a/*", "/a/b", true),
        ("/a*", "/b", false), ("/*/x", "/a/y", false), ("/**/x", "/a/y", true), ("/a*", "/*b", true),
    ])
    func `patterns that may share a path are known`(one: String, two: String, share: Bool) throws {
        #expect(try PathPattern(one).mayShare(with: PathPattern(two)) == share)
        #expect(try PathPattern(two).mayShare(with: PathPattern(one)) == share)
    }

    @Test(arguments: [
        (QueryRules(dropped: [Wildcard("utm_*")]), "/a?utm_source=x&b=1&utm_=&b=2", "/a?b=1&b=2"),
        (QueryRules(dropped: [Wildcard("utm_*")]), "/a?utm_source=x", "/a"),
        (QueryRules(kept: [Wildcard("page"), Wildcard("q")]), "/a?x=1&page=2&pages=3&q", "/a?page=2&q"),
        (QueryRules(kept: []), "/a?x=1", "/a"), (QueryRules(isSorted: true), "/a?b=2&a=1&b=1&a", "/a?a=1&a&b=2&b=1"),
        (QueryRules(isSorted: true), "/a?", "/a"), (QueryRules(isSorted: true), "/a", "/a"),
        (QueryRules.everything, "/a?b&&a=?&", "/a?b&&a=?&"),
    ])
    func `a query is brought to what counts`(rules: QueryRules, target: String, expected: String) {
        #expect(rules.applied(to: target) == expected)
    }

    static let varying: [(rules: VaryRules, said: String?, expected: String?)] = [
        (VaryRules(added: ["Accept-Language"]), nil, "accept-language"),
        (VaryRules(added: ["Accept-Language"]), "accept", "accept, accept-language"),
        (VaryRules(added: ["Accept"]), "Accept", "accept"), (VaryRules(ignored: ["User-Agent"]), "user-agent", nil),
        (VaryRules(ignored: ["User-Agent"]), "User-Agent, Accept", "accept"),
        (VaryRules(ignored: ["accept"]), "*", "*"),
        (VaryRules.none, "Accept ,x", "Accept ,x"),
    ]

    @Test(arguments: varying)
    func `what chooses among responses is the route's and the origin's to say`(
        rules: VaryRules, said: String?, expected: String?
    ) {
        let fields = HeaderFields(said.map { [("Vary", $0)] } ?? [])
        #expect(rules.applied(to: fields)["Vary"] == expected)
    }

    @Test(arguments: [
        ("/", false, "https://o/base", "/a?b", "https://o/base/a?b"), ("/a", true, "https://o", "/a", "https://o/"),
        ("/a", true, "https://o", "/a?b", "https://o/?b"), ("/a", true, "https://o/v1", "/a/b", "https://o/v1/b"),
        ("/a", false, "https://o", "/a/b", "https://o/a/b"), ("/", false, "https://o/x//y", "/b", "https://o/x//y/b"),
    ])
    func `a route leads to an address`(
        path: String, strips: Bool, origin: String, asked: String, key: String
    ) throws {
        let address = try RouteAddress(path: PathPattern(path), stripsPath: strips, origin: OriginURL(origin))
        #expect(address.matches(host: "x", path: asked))
        #expect(try address.key(forPath: asked) == key)
        #expect(address.mayHaveMade(key))
    }

    @Test func `a wild path can't be stripped`() throws {
        let (path, origin) = (try PathPattern("/a/*"), try OriginURL("https://o"))
        #expect(throws: AddressError.self) { try RouteAddress(path: path, stripsPath: true, origin: origin) }
    }

    @Test(arguments: [
        ("Authorization", "Bearer x", true), ("Host", "a.example", true), ("X-Api-Key", "ü", true), ("a b", "x", false),
        ("X-Key", "a\r\nb: c", false), ("Connection", "close", false), ("Transfer-Encoding", "chunked", false),
        ("If-None-Match", "\"x\"", false), ("", "x", false),
    ])
    func `what may be sent to an origin`(name: String, value: String, isFine: Bool) {
        #expect((complaint(aboutOriginField: name, value: value) == nil) == isFine)
    }
}
