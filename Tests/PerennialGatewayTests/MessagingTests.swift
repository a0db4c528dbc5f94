import NIOHTTP1
import Perennial
import PerennialHTTP
import PerennialTesting
import Testing

@testable import PerennialGateway

/// What RFC 9110 §7 and RFC 9112 ask of those who stand between.
@Suite struct MessagingTests {
    @Test func `Via is added behind what is there, in both directions`() async throws {
        try await withRig(origin: { .ok($0.fields["Via"].joined(separator: " | "), ["Via": "1.0 inner"]) }) { rig in
            let response = try await rig.get("/", ["Via": "1.1 outer"])
            #expect(response.body == "1.1 outer, 1.1 perennial")
            #expect(response.field("Via") == "1.0 inner, 1.1 perennial")
            let old = try await rig.client()
            try await old.send("POST / HTTP/1.0\r\n\r\n")
            #expect(try await old.response().body == "1.0 perennial")
        }
    }

    @Test(arguments: ["M-SEARCH", "PATCH", "QUERY", "PROPFIND", "PURGE", "DELETE"])
    func `a method goes on under its own name`(method: String) async throws {
        try await withRig(origin: { _ in .ok("") }) { rig in
            let client = try await rig.client()
            try await client.send(method, "/")
            _ = try await client.response()
            // The origin's parser is the same as the gateway's, and has its own name for M-SEARCH.
            let seen = try #require(rig.origin.requests.first).method
            #expect(seen == (method == "M-SEARCH" ? "MSEARCH" : method))
        }
    }

    @Test func `Connection can't hide from the next gateway that a request came through here`() async throws {
        try await withRig(origin: { .ok($0.fields["Via"].joined(separator: " | ")) }) { rig in
            let response = try await rig.get("/", ["Via": "1.1 a", "Connection": "Via"])
            #expect(response.body == "1.1 a, 1.1 perennial")
        }
    }

    @Test func `Date is added where it is missing, and kept where it is not`() async throws {
        try await withRig(origin: { request in
            request.target == "/dated"
                ? .ok("", ["Date": "Sun, 06 Nov 1994 08:49:37 GMT", "Cache-Control": "no-store"])
                : .ok("", ["Cache-Control": request.target == "/kept" ? "max-age=60" : "no-store"])
        }) { rig in
            for target in ["/kept", "/kept", "/passed"] {
                let response = try await rig.get(target)
                #expect(response.field("Date") == HTTPDate.format(rig.clock.now))
            }
            #expect(try await rig.get("/dated").field("Date") == "Sun, 06 Nov 1994 08:49:37 GMT")
        }
    }

    @Test(arguments: ["/kept", "/passed"])
    func `fields of one connection go no further, in both directions`(target: String) async throws {
        let hopByHop: KeyValuePairs = [
            "Connection": "X-Own, close", "X-Own": "1", "Keep-Alive": "timeout=5", "Proxy-Connection": "keep-alive",
            "TE": "trailers",
            "Trailer": "X-T", "Proxy-Authorization": "Basic YQ==", "Upgrade": "h2c", "HTTP2-Settings": "AAA",
        ]
        try await withRig(origin: { request in
            var fields = Array(hopByHop.filter { $0.key != "Upgrade" })
            fields.append(("Cache-Control", request.target == "/kept" ? "max-age=60" : "no-store"))
            return .raw(
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + fields.map { "\($0): \($1)\r\n" }.joined() + "\r\n",
                closes: true)
        }) { rig in
            _ = try await rig.get(target, hopByHop)
            let asked = try #require(rig.origin.requests.first)
            for response in [try await rig.get(target), try await rig.get(target)] {
                #expect(response.status == 200)
                for (name, _) in hopByHop {
                    // The gateway's own Connection is about its own connection.
                    if name != "Connection" { #expect(response.field(name) == nil, "\(name)") }
                    #expect(asked.fields[name].isEmpty, "\(name)")
                }
            }
        }
    }

    @Test func `a response whose Connection names its length still has its length`() async throws {
        try await withRig(origin: { _ in
            .ok("whole", ["Connection": "Content-Length, Cache-Control", "Cache-Control": "no-store"])
        }) { rig in
            let client = try await rig.client()
            for _ in 0..<2 {
                let response = try await client.get("/")
                #expect(response.body == "whole")
                #expect(response.field("Content-Length") == "5" && response.field("Transfer-Encoding") == nil)
            }
            #expect(try await rig.storedKeys().isEmpty)
        }
    }

    @Test func `204 has no length, for nothing follows it`() async throws {
        try await withRig(origin: { _ in .raw("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n") }) { rig in
            let client = try await rig.client()
            try await client.send("DELETE", "/")
            #expect(try await client.response().field("Content-Length") == nil)
            try await client.send("DELETE", "/")
            #expect(try await client.response().status == 204)
        }
    }

    @Test func `an expectation is met at once, or refused, and HTTP 1.0 has none`() async throws {
        try await withRig(origin: { .ok(String(decoding: $0.body, as: UTF8.self)) }) { rig in
            let client = try await rig.client()
            try await client.send("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n")
            #expect(try await client.response().status == 100)
            try await client.send("ok")
            #expect(try await client.response().body == "ok")
            try await client.send("POST / HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\nContent-Length: 2\r\n\r\nok")
            #expect(try await client.response().status == 417)
            let old = try await rig.client()
            try await old.send("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok")
            #expect(try await old.response().body == "ok")
            #expect(rig.origin.requests.allSatisfy { $0.field("Expect") == nil })
        }
    }

    @Test func `Max-Forwards is counted down, and nothing goes on when it is used up`() async throws {
        try await withRig(origin: { .ok("\($0.method) \($0.field("Max-Forwards") ?? "none")") }) { rig in
            let client = try await rig.client()
            func send(_ method: String, _ value: String?, _ target: String = "/") async throws -> TestClient.Response {
                try await client.send(
                    "\(method) \(target) HTTP/1.1\r\nHost: x\r\n\(value.map { "Max-Forwards: \($0)\r\n" } ?? "")\r\n")
                return try await client.response()
            }
            #expect(try await send("OPTIONS", "2").body == "OPTIONS 1")
            #expect(try await send("TRACE", "1").body == "TRACE 0")
            #expect(try await send("OPTIONS", nil).body == "OPTIONS none")
            #expect(try await send("POST", "0").body == "POST 0")
            let asked = rig.origin.requests.count
            let last = try await send("OPTIONS", "0")
            #expect(last.status == 200 && last.field("Allow")?.contains("GET") == true)
            #expect(try await send("TRACE", "0").status == 405)
            #expect(try await send("OPTIONS", "x").status == 400)
            let server = try await send("OPTIONS", nil, "*")
            #expect(server.status == 200 && server.field("Allow")?.contains("GET") == true)
            #expect(rig.origin.requests.count == asked)
        }
    }

    @Test func `an upgrade to HTTP 2 is ignored, and what follows it is the next request`() async throws {
        try await withRig(origin: { .ok($0.field("Upgrade") ?? "plain") }) { rig in
            let client = try await rig.client()
            try await client.send(
                "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n"
            )
            let response = try await client.response()
            #expect(response.body == "plain" && response.field("Connection") == nil)
            #expect(try await client.response().body == "plain")
            #expect(rig.origin.requests.map(\.target) == ["/", "/2"])
        }
    }

    @Test(arguments: ["GET", "POST"])
    func `interim answers go to the reader who asked, and are not taken for the final one`(method: String) async throws
    {
        try await withRig(origin: { _ in
            .raw(
                "HTTP/1.1 100 Continue\r\n\r\n"
                    + "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nConnection: x\r\nX: 1\r\n\r\n"
                    + "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nCache-Control: max-age=60\r\n\r\nfinal")
        }) { rig in
            let client = try await rig.client()
            try await client.send(method, "/", method == "POST" ? ["Content-Length": "0"] : [:])
            let hint = try await client.response()
            #expect(hint.status == 103)
            #expect(hint.field("Link") == "</a>; rel=preload")
            #expect(hint.field("X") == nil && hint.field("Cache-Status") == nil)
            let final = try await client.response()
            #expect(final.status == 200 && final.body == "final" && final.field("Link") == nil)
            guard method == "GET" else { return }
            #expect(try await client.get("/").cacheStatus.hasPrefix("perennial; hit"))
            let old = try await rig.client()
            try await old.send("POST / HTTP/1.0\r\n\r\n")
            #expect(String(decoding: await old.rest(), as: UTF8.self).hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test func `an origin that never stops hinting is not passed on for ever`() async throws {
        try await withRig(origin: { _ in
            .raw(
                String(repeating: "HTTP/1.1 103 Early Hints\r\n\r\n", count: 100)
                    + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        }) { rig in
            let client = try await rig.client()
            try await client.send("GET", "/")
            var statuses: [Int] = []
            while statuses.last != 200 { statuses.append(try await client.response().status) }
            #expect(statuses.count == 17)
        }
    }

    @Test func `chunks are for HTTP 1.1, and so are trailers`() async throws {
        try await withRig(origin: { _ in
            .raw(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: no-store\r\nTrailer: X-T\r\n\r\n"
                    + "3\r\nabc\r\n0\r\nX-T: 1\r\nSet-Cookie: a\r\nCache-Control: public\r\n\r\n")
        }) { rig in
            let new = try await rig.client()
            try await new.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            let text = String(decoding: await new.rest(), as: UTF8.self)
            #expect(text.hasSuffix("\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"))
            let old = try await rig.client()
            try await old.send("GET / HTTP/1.0\r\n\r\n")
            let plain = String(decoding: await old.rest(), as: UTF8.self)
            #expect(plain.hasSuffix("\r\n\r\nabc") && !plain.contains("Transfer-Encoding"))
        }
    }

    @Test func `trailers of what is stored are not kept`() async throws {
        try await withRig(origin: { _ in
            .raw(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n"
                    + "3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n")
        }) { rig in
            for _ in 1...2 {
                let answer = try await rig.get("/")
                #expect(answer.body == "abc" && answer.field("Content-Length") == "3" && answer.field("X-T") == nil)
            }
        }
    }

    @Test func `HEAD has the fields of GET and no body, passed through or not`() async throws {
        try await withRig(origin: { request in
            .raw(
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nCache-Control: \(request.target == "/kept" ? "max-age=60" : "no-store")\r\n\r\n"
                    + (request.method == "HEAD" ? "" : "abcde"))
        }) { rig in
            let client = try await rig.client()
            for target in ["/kept", "/kept", "/passed", "/passed"] {
                try await client.send("HEAD", target)
                #expect(try await client.response(isBodyless: true).field("Content-Length") == "5")
            }
        }
    }
}
