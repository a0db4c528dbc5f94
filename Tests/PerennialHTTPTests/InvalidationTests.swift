import PerennialHTTP
import Testing

/// RFC 9111 §4.4 and RFC 9875 §3.
struct InvalidationTests {
    static let key = "http://api.example/base/things?page=2"

    func invalidation(
        _ method: String = "POST", _ status: Int = 200, _ fields: HeaderFields = [:]
    ) throws -> Invalidation? {
        Invalidation(
            method: method, key: Self.key, status: status, fields: fields,
            origin: try OriginURL("http://api.example/base"))
    }

    @Test(arguments: [
        ("POST", 200, true), ("PUT", 204, true), ("DELETE", 200, true), ("PATCH", 299, true), ("POST", 303, true),
        ("POST", 308, true), ("FROB", 200, true), ("get", 200, true), ("PURGE", 200, true), ("PROPFIND", 207, true),
        ("POST", 400, false), ("DELETE", 404, false), ("PUT", 500, false), ("POST", 199, false), ("POST", 600, false),
        ("GET", 200, false), ("HEAD", 200, false), ("OPTIONS", 200, false), ("TRACE", 200, false),
    ])
    func `What isn't known to be safe makes the address out of date, unless it failed`(
        method: String, status: Int, isInvalidating: Bool
    ) throws {
        let invalidation = try invalidation(
            method, status, ["Location": "/base/7", "Cache-Group-Invalidation": "\"a\""])
        #expect((invalidation != nil) == isInvalidating)
        #expect(invalidation?.keys ?? [] == (isInvalidating ? [Self.key, "http://api.example/base/7"] : []))
        #expect(invalidation?.tags ?? [] == (isInvalidating ? ["http://api.example#a"] : []))
    }

    @Test(arguments: [
        ("/base/7", "http://api.example/base/7"), ("http://api.example/base/7#x", "http://api.example/base/7"),
        ("HTTP://API.EXAMPLE:80/base/%37", "http://api.example/base/7"),
        ("//api.example/base/7", "http://api.example/base/7"),
        ("7", "http://api.example/base/7"), ("./a/../7?x=/y", "http://api.example/base/7?x=/y"),
        ("?page=3", "http://api.example/base/things?page=3"), ("a:b/7", nil), ("./a:b", "http://api.example/base/a:b"),
        ("things?page=2", nil), ("#x", nil), ("", nil), (" 7 ", "http://api.example/base/7"),
        // Another origin, or above the base path: somebody else's.
        ("https://api.example/base/7", nil), ("http://api.example:81/base/7", nil),
        ("http://elsewhere.example/base/7", nil),
        ("//elsewhere.example/base/7", nil), ("/other/7", nil), ("../7", nil), ("/base/../7", nil), ("/basement", nil),
        ("http://user@api.example/base/7", nil), ("http:7", nil), ("mailto:a", nil), ("/base/ü", nil),
        ("/base/a b", nil),
        ("http://", nil), ("://", nil), ("//", nil), ("http://api.example:x/base/7", nil),
    ])
    func `Location and Content-Location name addresses at the same origin`(reference: String, other: String?) throws {
        for name in ["Location", "content-location"] {
            let keys = try invalidation("POST", 201, [name: reference])?.keys
            #expect(keys == [Self.key] + (other.map { [$0] } ?? []))
        }
    }

    @Test(arguments: [
        ("http://blog.example/base/7", ["http://api.example/base/7"]),
        ("https://Blog.example:443/base/7#x", ["http://api.example/base/7"]),
        ("//blog.example/base/7", ["http://api.example/base/7"]),
        ("http://10.0.0.1:9000/base/7", ["http://api.example/base/7"]),
        // As clients know it, whose paths the gateway may map.
        ("http://blog.example/7", ["http://api.example/base/of-clients/7"]), ("http://blog.example:81/base/7", []),
        ("http://10.0.0.1/base/7", []), ("http://elsewhere.example/base/7", []),
    ])
    func `all names of the origin are one origin, that which the client named among them`(
        reference: String, others: [String]
    ) throws {
        let invalidation = try Invalidation(
            method: "POST", key: Self.key, status: 201, fields: ["Location": reference],
            origin: OriginURL("http://api.example/base"), aliases: [HostName("10.0.0.1:9000")],
            client: (
                host: HostName("blog.example"),
                keyOfPath: { $0.hasPrefix("/base") ? nil : "http://api.example/base/of-clients\($0)" }
            ))
        #expect(invalidation?.keys == [Self.key] + others)
    }

    @Test func `Each address is named once`() throws {
        let both = try invalidation("POST", 201, ["Location": "7", "Content-Location": "/base/7"])
        #expect(both?.keys == [Self.key, "http://api.example/base/7"])
    }

    @Test(arguments: [
        ("\"a\", \"b\"", ["http://api.example#a", "http://api.example#b"]), ("\"a\";x", ["http://api.example#a"]),
        ("a", []), ("\"a\", b", []), ("", []), ("\"a", []),
    ])
    func `Groups are a list of strings, or nothing`(value: String, tags: [String]) throws {
        #expect(try invalidation("POST", 200, ["Cache-Group-Invalidation": value])?.tags == tags)
    }
}
