import Perennial
import PerennialGateway
import PerennialHTTP
import PerennialTesting
import Testing

@Suite struct CachingTests {
    @Test func `the first read asks the origin and the second doesn't`() async throws {
        try await withRig(origin: { .ok("hello \($0.number)", ["Cache-Control": "max-age=60"]) }) { rig in
            let client = try await rig.client()
            let first = try await client.get("/greeting")
            #expect(first.status == 200)
            #expect(first.body == "hello 1")
            #expect(first.cacheStatus == "perennial; fwd=uri-miss; stored")
            #expect(first.field("Age") == "0")
            #expect(first.field("Via") == "1.1 perennial")

            rig.clock.advance(by: .seconds(5))
            let second = try await client.get("/greeting")
            #expect(second.body == "hello 1")
            #expect(second.cacheStatus.hasPrefix("perennial; hit; ttl="))
            #expect(second.field("Age") == "5")
            #expect(second.field("Content-Length") == "7")
            #expect(second.field("Date") == first.field("Date"))
            #expect(rig.origin.requests.count == 1)
        }
    }

    @Test func `a stale response is served at once and refreshed behind`() async throws {
        let gate = Gate()
        try await withRig(origin: { request in
            if request.number > 1 { await gate.pass() }
            return .ok("\(request.number)", ["Cache-Control": "max-age=60, stale-while-revalidate=600"])
        }) { rig in
            _ = try await rig.get("/")
            rig.clock.advance(by: .seconds(70))
            let stale = try await rig.get("/")
            #expect(stale.body == "1")
            #expect(stale.field("Age") == "70")
            #expect(stale.cacheStatus.hasPrefix("perennial; hit; ttl=-1"))
            await gate.waitForArrivals()
            let refreshing = try await rig.get("/")
            #expect(refreshing.cacheStatus.hasSuffix("; detail=refreshing"))
            gate.open()
            await rig.events.waitForRefresh()
            let fresh = try await rig.get("/")
            #expect(fresh.body == "2")
            #expect(fresh.field("Age") == "0")
            #expect(rig.origin.requests.count == 2)
        }
    }

    @Test func `a refresh asks conditionally, repeats what the response was chosen by, and a 304 keeps the body`()
        async throws
    {
        try await withRig(origin: { request in
            let fields: KeyValuePairs = ["ETag": "\"v1\"", "Cache-Control": "max-age=60, stale-while-revalidate=600"]
            return request.field("If-None-Match") == "\"v1\"" ? .status(304, "", fields) : .ok("body", fields)
        }) { rig in
            let fields: KeyValuePairs = ["Accept": "text/x", "User-Agent": "me", "X-Forwarded-For": "10.0.0.1"]
            _ = try await rig.get("/", fields)
            rig.clock.advance(by: .seconds(70))
            _ = try await rig.get("/")
            await rig.events.waitForRefresh()
            let refreshed = try await rig.get("/")
            #expect(refreshed.body == "body")
            #expect(refreshed.field("Age") == "0")
            let requests = rig.origin.requests
            #expect(requests.count == 2)
            #expect(requests[0].field("Via") == "1.1 perennial")
            #expect(requests[0].field("X-Forwarded-For") == nil)
            #expect(requests[1].field("If-None-Match") == "\"v1\"")
            #expect(requests[1].field("Accept") == "text/x")
            #expect(requests[1].field("User-Agent") == "me")
        }
    }

    @Test func `an expired response is asked for conditionally`() async throws {
        try await withRig(origin: { request in
            if request.field("If-None-Match") == "\"v1\"" {
                return .status(304, "", ["ETag": "\"v1\"", "Cache-Control": "max-age=60, stale-if-error=600"])
            }
            return .ok("body \(request.number)", ["ETag": "\"v1\"", "Cache-Control": "max-age=60, stale-if-error=600"])
        }) { rig in
            let first = try await rig.get("/")
            rig.clock.advance(by: .seconds(100))
            let second = try await rig.get("/")
            #expect(second.status == 200)
            #expect(second.body == "body 1")
            #expect(second.cacheStatus == "perennial; fwd=stale; fwd-status=304; stored")
            #expect(second.field("Age") == "0")
            #expect(second.field("Date") == HTTPDate.format(rig.clock.now))
            #expect(second.field("Date") != first.field("Date"))
            let third = try await rig.get("/")
            #expect(third.cacheStatus.hasPrefix("perennial; hit"))
            #expect(third.field("Date") == second.field("Date"))
            #expect(rig.origin.requests.count == 2)
        }
    }

    @Test func `a 304 with other fields updates what is stored`() async throws {
        try await withRig(origin: { request in
            if request.field("If-None-Match") != nil {
                return .status(
                    304, "", ["ETag": "\"v1\"", "Cache-Control": "max-age=60, stale-if-error=600", "X-Version": "two"])
            }
            return .ok(
                "same", ["ETag": "\"v1\"", "Cache-Control": "max-age=60, stale-if-error=600", "X-Version": "one"])
        }) { rig in
            #expect(try await rig.get("/").field("X-Version") == "one")
            rig.clock.advance(by: .seconds(100))
            #expect(try await rig.get("/").field("X-Version") == "two")
            let hit = try await rig.get("/")
            #expect(hit.body == "same")
            #expect(hit.field("X-Version") == "two")
            #expect(hit.cacheStatus.hasPrefix("perennial; hit"))
        }
    }

    @Test func `a 304 that brings no-store is shown to its reader and no longer kept`() async throws {
        try await withRig(origin: { request in
            if request.field("If-None-Match") != nil {
                return .status(304, "", ["ETag": "\"v1\"", "Cache-Control": "no-store"])
            }
            return .ok("body", ["ETag": "\"v1\"", "Cache-Control": "max-age=60, stale-if-error=600"])
        }) { rig in
            _ = try await rig.get("/")
            rig.clock.advance(by: .seconds(100))
            let second = try await rig.get("/")
            #expect(second.body == "body")
            #expect(second.cacheStatus.contains("detail=no-store"))
            #expect(try await rig.storedKeys().isEmpty)
        }
    }

    @Test func `a client that has the current response gets a 304`() async throws {
        try await withRig(origin: { _ in .ok("body", ["ETag": "\"v1\"", "Cache-Control": "max-age=60"]) }) { rig in
            let miss = try await rig.get("/", ["If-None-Match": "\"v1\""])
            #expect(miss.status == 304)
            #expect(rig.origin.requests[0].field("If-None-Match") == nil)
            let hit = try await rig.get("/", ["If-None-Match": "\"v0\", W/\"v1\""])
            #expect(hit.status == 304)
            #expect(hit.field("ETag") == "\"v1\"")
            #expect(hit.field("Content-Length") == nil)
            #expect(hit.cacheStatus.hasPrefix("perennial; hit"))
            let other = try await rig.get("/", ["If-None-Match": "\"v0\""])
            #expect(other.status == 200)
            #expect(other.body == "body")
            #expect(rig.origin.requests.count == 1)
        }
    }

    @Test func `HEAD is answered from a stored GET, and a HEAD of something new stores a GET`() async throws {
        try await withRig(origin: { _ in .ok("12345", ["Cache-Control": "max-age=60"]) }) { rig in
            let client = try await rig.client()
            try await client.send("HEAD", "/")
            let head = try await client.response(isBodyless: true)
            #expect(head.status == 200)
            #expect(head.field("Content-Length") == "5")
            #expect(rig.origin.requests[0].method == "GET")
            try await client.send("HEAD", "/")
            #expect(try await client.response(isBodyless: true).cacheStatus.hasPrefix("perennial; hit"))
            let get = try await client.get("/")
            #expect(get.body == "12345")
            #expect(rig.origin.requests.count == 1)
        }
    }

    @Test func `addresses that mean the same share an entry, whatever the client's Host`() async throws {
        try await withRig(origin: { _ in .ok("body", ["Cache-Control": "max-age=60"]) }) { rig in
            _ = try await rig.get("/a/%7Euser?q=1")
            let client = try await rig.client()
            try await client.send("GET /a/./b/../~user?q=1 HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n")
            #expect(try await client.response().cacheStatus.hasPrefix("perennial; hit"))
            #expect(rig.origin.requests[0].field("Host") == "127.0.0.1:\(rig.origin.port)")
        }
    }

    @Test func `404 is remembered for a shorter time than the operator's limits`() async throws {
        try await withRig(
            { $0.routes[0].rules.freshness = .policy(try .init(refreshAfter: .hours(1), expireAfter: .days(7))) },
            origin: { .status($0.target == "/here" ? 200 : 404, "\($0.number)") }
        ) { rig in
            let missing = try await rig.get("/gone")
            #expect(missing.status == 404)
            #expect(try await rig.get("/gone").cacheStatus.hasPrefix("perennial; hit"))
            _ = try await rig.get("/here")
            rig.clock.advance(by: .minutes(6))
            #expect(try await rig.get("/gone").cacheStatus.contains("fwd="))
            #expect(try await rig.get("/here").cacheStatus.hasPrefix("perennial; hit"))
        }
    }

    @Test(
        arguments: [
            (
                200,
                ["Cache-Control": "no-cache, max-age=0, must-revalidate", "Expires": "Fri, 01 Jan 1980 00:00:00 GMT"]
            ),
            (302, ["Expires": "Thu, 01 Jan 1970 00:00:00 GMT", "Location": "https://files.example/?Signature=x"]),
            (200, ["Cache-Control": "must-revalidate, max-age=0", "ETag": "\"a\""]), (200, ["Expires": "-1"]),
        ] as [(Int, KeyValuePairs<String, String>)])
    func `what says that it must not be served unasked is asked for each time, with the operator's limits, too`(
        status: Int, fields: KeyValuePairs<String, String>
    ) async throws {
        try await withRig(
            { $0.routes[0].rules.freshness = .policy(try .init(refreshAfter: .hours(1), expireAfter: .days(7))) },
            origin: { .status(status, "\($0.number)", fields) }
        ) { rig in
            for number in 1...3 {
                let body = try await rig.get("/info/refs?service=git-upload-pack").body
                #expect(body == "\(number)")
            }
        }
        // An operator may want the limits all the same.
        try await withRig(
            {
                $0.routes[0].rules.freshness = .policy(try .init(refreshAfter: .hours(1), expireAfter: .days(7)))
                $0.routes[0].rules.allowances = .noCache
            },
            origin: { .status(status, "\($0.number)", fields) }
        ) { rig in
            let bodies = try await (1...3).asyncMap { _ in try await rig.get("/").body }
            #expect(bodies == ["1", "1", "1"])
        }
    }

    @Test func `what must be asked for each time is served when the origin fails, where nothing forbids that`()
        async throws
    {
        try await withRig(
            { $0.routes[0].rules.freshness = .policy(try .init(refreshAfter: .hours(1), expireAfter: .days(7))) },
            origin: { request in
                if request.number > 2 { return .status(503) }
                return .ok(
                    "old",
                    request.target == "/a" ? ["Expires": "0"] : ["ETag": "\"a\"", "Cache-Control": "no-cache"])
            }
        ) { rig in
            for path in ["/a", "/b"] { _ = try await rig.get(path) }
            rig.clock.advance(by: .hours(2))
            #expect(try await rig.get("/a").body == "old")
            #expect(try await rig.get("/b").status == 503)
        }
    }

    @Test(arguments: [("W/\"x\"", "\"x\""), ("\"x-gzip\"", "\"x\""), ("\"x;br\"", "W/\"x\"")])
    func `a 304 whose tag differs by what compressing made of it costs no second question`(
        stored: String, confirmed: String
    ) async throws {
        try await withRig(origin: { request in
            request.field("If-None-Match") == nil
                ? .ok("body", ["ETag": stored, "Cache-Control": "max-age=60", "Content-Encoding": "x"])
                : .status(304, "", ["ETag": confirmed, "Cache-Control": "max-age=60"])
        }) { rig in
            _ = try await rig.get("/")
            for count in 2...3 {
                rig.clock.advance(by: .seconds(61))
                let response = try await rig.get("/")
                #expect(response.cacheStatus == "perennial; fwd=stale; fwd-status=304; stored")
                #expect(response.body == "body" && response.field("ETag") == stored)
                #expect(rig.origin.requests.count == count)
                #expect(rig.origin.requests[count - 1].field("If-None-Match") == stored)
            }
        }
    }

    @Test func `100 readers of a cold address make one request`() async throws {
        let gate = Gate()
        try await withRig(origin: { _ in
            await gate.pass()
            return .ok("shared", ["Cache-Control": "max-age=60"])
        }) { rig in
            let clients = try await (0..<100).asyncMap { _ in try await rig.client() }
            for client in clients { try await client.send("GET", "/") }
            await gate.waitForArrivals()
            gate.open()
            var collapsed = 0
            for client in clients {
                let response = try await client.response()
                #expect(response.body == "shared")
                if response.cacheStatus.contains("collapsed") { collapsed += 1 }
            }
            #expect(rig.origin.requests.count == 1)
            #expect(collapsed > 0)
        }
    }
}

extension Sequence {
    func asyncMap<Result>(_ transform: (Element) async throws -> Result) async rethrows -> [Result] {
        var results: [Result] = []
        for element in self { results.append(try await transform(element)) }
        return results
    }
}
