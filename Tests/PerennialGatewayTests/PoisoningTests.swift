import NIOHTTP1
import Perennial
import PerennialHTTP
import PerennialTesting
import Testing

@testable import PerennialGateway

/// One reader must not be able to choose what the cache shows to another: web cache poisoning, deception, and denial of
/// service by stored errors.
@Suite struct PoisoningTests {
    /// An origin that puts what it is told into its answers, as careless ones do.
    static let careless: TestOrigin.Handler = { request in
        let told = request.fields.filter { !["host", "via", "user-agent"].contains($0.name.lowercased()) }
        return .ok(told.map { "\($0.name)=\($0.value)" }.joined(separator: "&"), ["Cache-Control": "max-age=60"])
    }

    @Test(arguments: [
        "X-Forwarded-Host", "X-Forwarded-Scheme", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix",
        "X-Forwarded-For",
        "X_Forwarded_Host", "Forwarded", "X-Host", "X-Original-URL", "X-Original-Host", "X-Rewrite-URL", "X-Real-IP",
        "X-HTTP-Host-Override", "True-Client-IP", "Front-End-Https", "X-Url-Scheme",
    ])
    func `a field about the client or the address that no key knows does not get to the origin`(name: String)
        async throws
    {
        try await withRig(origin: Self.careless) { rig in
            #expect(try await rig.get("/", [name: "evil.example"]).body == "")
            let next = try await rig.get("/")
            #expect(next.body == "" && next.cacheStatus.hasPrefix("perennial; hit"))
        }
    }

    @Test(arguments: ["a", "evil.example", "evil.example:1337", "", "127.0.0.1", "x_y", "[::1]"])
    func `the client's Host is neither key nor sent on`(host: String) async throws {
        try await withRig(origin: { .ok($0.field("Host") ?? "none", ["Cache-Control": "max-age=60"]) }) { rig in
            let client = try await rig.client()
            try await client.send("GET / HTTP/1.1\r\nHost: \(host)\r\n\r\n")
            #expect(try await client.response().body == "127.0.0.1:\(rig.origin.port)")
            #expect(try await client.get("/").cacheStatus.hasPrefix("perennial; hit"))
        }
    }

    @Test(arguments: ["http://api.test", "https://api.test:8443", "http://127.0.0.1:1"])
    func `an absolute address stands for its path, whatever host it names`(server: String) async throws {
        try await withRig(origin: { .ok($0.target, ["Cache-Control": "max-age=60"]) }) { rig in
            let client = try await rig.client()
            try await client.send("GET \(server)/x?y HTTP/1.1\r\nHost: other.test\r\n\r\n")
            #expect(try await client.response().body == "/x?y")
            #expect(try await client.get("/x?y").cacheStatus.hasPrefix("perennial; hit"))
        }
    }

    @Test func `the Host beside an absolute address plays no part`() async throws {
        try await withRig(origin: { .ok($0.field("Host") ?? "none") }) { rig in
            let client = try await rig.client()
            try await client.send("GET http://127.0.0.1:\(rig.origin.port)/ HTTP/1.1\r\nHost: evil.example\r\n\r\n")
            #expect(try await client.response().body == "127.0.0.1:\(rig.origin.port)")
        }
    }

    @Test(
        arguments: [
            ("X-HTTP-Method-Override", "POST", "method-override"), ("X-HTTP-Method", "DELETE", "method-override"),
            ("x-method-override", "PUT", "method-override"), ("Cookie", "id=1", "cookies"),
            ("Authorization", "Basic YTpi", "authorization"), ("X-Api-Key", "k", "authorization"),
            ("X-Auth-Token", "t", "authorization"), ("Connection", "X-Own", "connection"),
            ("Connection", "close, Accept-Language", "connection"), ("Connection", "Cookie", "connection"),
            ("Upgrade", "h2c", "upgrade"),
        ])
    func `a request that may mean more than its address passes, and leaves nothing behind`(
        name: String, value: String, detail: String
    ) async throws {
        try await withRig(origin: { .ok("\($0.number)", ["Cache-Control": "max-age=60"]) }) { rig in
            let passed = try await rig.get("/", [name: value])
            #expect(passed.body == "1" && passed.cacheStatus.contains("detail=\(detail)"))
            #expect(try await rig.storedKeys().isEmpty)
            #expect(try await rig.get("/").body == "2")
            // Nor does it get what was stored for others.
            #expect(try await rig.get("/", [name: value]).body == "3")
            #expect(try await rig.get("/").body == "2")
        }
    }

    @Test func `a GET with a body passes, and leaves nothing behind`() async throws {
        try await withRig(origin: { request in
            .ok(String(decoding: request.body, as: UTF8.self), ["Cache-Control": "max-age=60"])
        }) { rig in
            let client = try await rig.client()
            try await client.send("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nevil")
            #expect(try await client.response().body == "evil")
            try await client.send(
                "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n")
            #expect(try await client.response().body == "evil")
            #expect(try await client.get("/").body == "")
        }
    }

    @Test func `a field that Connection takes away can't change what others of that kind get`() async throws {
        try await withRig(origin: { request in
            .ok(request.field("Accept-Language") ?? "none", ["Cache-Control": "max-age=60", "Vary": "Accept-Language"])
        }) { rig in
            _ = try await rig.get("/", ["Accept-Language": "de", "Connection": "Accept-Language"])
            #expect(try await rig.get("/", ["Accept-Language": "de"]).body == "de")
            #expect(try await rig.get("/", ["Accept-Language": "fr"]).body == "fr")
        }
    }

    @Test func `different addresses have different entries, however alike they look`() async throws {
        let targets = [
            "/a", "/a?", "/a?x=1", "/a?x=1&x=2", "/a?x=2&x=1", "/a?x=1;x=2", "/a?X=1", "/a/", "//a", "/a%2F", "/a;/",
            "/a;.css",
            "/a/.css", "/a%00", "/a%00.css", "/a%0A.css", "/a%3F.css", "/a%23.css", "/a%2f..%2fb", "/a/..;/b", "/%5Ca",
            "/A", "/a%20",
            "/a%252F", "/a?x=%26", "/a?x=&", "/a&x=1", "/a?utm_content=1",
        ]
        try await withRig(origin: { .ok($0.target, ["Cache-Control": "max-age=60"]) }) { rig in
            let client = try await rig.client()
            for target in targets {
                let response = try await client.get(target)
                #expect(response.cacheStatus.contains("stored"), "\(target)")
            }
            #expect(Set(rig.origin.requests.map(\.target)).count == targets.count)
            for (target, request) in zip(targets, rig.origin.requests) {
                #expect(try await client.get(target).body == request.target)
            }
        }
    }

    @Test(arguments: [
        ("/%61", "/a"), ("/b/../a", "/a"), ("/./a", "/a"), ("/%2e%2e/a", "/a"), ("/a?%7e", "/a?~"), ("/%2f", "/%2F"),
    ])
    func `the origin is asked for the very address that is the key`(target: String, normal: String) async throws {
        try await withRig(origin: { .ok($0.target, ["Cache-Control": "max-age=60"]) }) { rig in
            let first = try await rig.get(target)
            #expect(first.body == normal)
            #expect(try await rig.get(normal).cacheStatus.hasPrefix("perennial; hit"))
        }
    }

    /// The page of one user under a name that looks like a file (web cache deception).
    @Test(arguments: [
        "/account/x.css", "/account;x.js", "/account%2Fx.png", "/account/../account/x.ico", "/account%00.css",
    ])
    func `a private page under a public name is not kept`(target: String) async throws {
        try await withRig(origin: { request in
            .ok("balance of \(request.field("Cookie") ?? "nobody")", ["ETag": "\"a\"", "Content-Type": "text/css"])
        }) { rig in
            let own = try await rig.get(target, ["Cookie": "victim"])
            #expect(own.body == "balance of victim")
            #expect(try await rig.get(target).body == "balance of nobody")
        }
    }

    @Test(arguments: [400, 401, 403, 407, 413, 417, 431, 500, 501, 503])
    func `an error that a request's fields brought about is not kept for others`(status: Int) async throws {
        for isByPolicy in [false, true] {
            try await withRig(
                {
                    if isByPolicy {
                        $0.routes[0].rules.freshness = .policy(
                            try .init(refreshAfter: .hours(1), expireAfter: .days(7)))
                    }
                },
                origin: { request in
                    let isTooMuch = request.fields.contains { $0.value.utf8.count > 8000 || $0.name == "X-Metachar" }
                    return .status(
                        isTooMuch ? status : 200, isTooMuch ? "error" : "good", ["Cache-Control": "max-age=60"])
                }
            ) { rig in
                let big = String(repeating: "a", count: 9000)
                #expect(try await rig.get("/", ["X-Big": big]).status == status)
                #expect(try await rig.get("/", ["X-Metachar": "\u{1}"]).status == 400)
                #expect(try await rig.get("/").body == "good")
                // Nor does it take the place of what is there, once the address is looked at again.
                rig.clock.advance(by: .seconds(11))
                #expect(try await rig.get("/").body == "good")
                #expect(try await rig.storedKeys().count == 1)
                rig.clock.advance(by: .seconds(61))
                _ = try await rig.get("/", ["X-Big": big])
                #expect(try await rig.get("/").body == "good")
            }
        }
    }

    @Test func `what is refused for its size is the sender's alone`() async throws {
        try await withRig({ $0.maxHeader = 1024 }, origin: { _ in .ok("good", ["Cache-Control": "max-age=60"]) }) {
            rig in
            let refused = try await rig.get("/", ["X": String(repeating: "a", count: 2000)])
            #expect(refused.status == 431)
            #expect(try await rig.get("/").body == "good")
        }
    }

    @Test func `an answer with a cookie is its reader's alone`() async throws {
        try await withRig(origin: { request in
            .ok("\(request.number)", ["Cache-Control": "max-age=60", "Set-Cookie": "id=\(request.number)"])
        }) { rig in
            let first = try await rig.get("/")
            #expect(first.field("Set-Cookie") == "id=1")
            #expect(try await rig.get("/").field("Set-Cookie") == "id=2")
        }
    }
}
