import Perennial
import PerennialGateway
import PerennialHTTP
import PerennialTesting
import Testing

/// Parts of what is stored.
@Suite struct RangeTests {
    private static let body = String(repeating: "0123456789", count: 100)
    private static let handler: TestOrigin.Handler = { request in
        if let range = request.field("Range") {
            return .status(206, "part", ["Content-Range": "bytes 0-3/1000", "X": range])
        }
        return .ok(body, ["Content-Type": "text/x", "ETag": "\"v1\"", "Cache-Control": "max-age=60"])
    }

    /// The same request answered on the event loop and, since the memory tier has nothing, in a task.
    private func bothWays(
        _ fields: KeyValuePairs<String, String>, method: String = "GET",
        check: (TestClient.Response) throws -> Void
    ) async throws {
        let backend = InMemoryBackend()
        try await withRig(backend: backend, origin: Self.handler) { rig in
            let client = try await rig.client()
            let whole = try await client.get("/")
            #expect(whole.status == 200)
            #expect(whole.field("Accept-Ranges") == "bytes")
            try await client.send(method, "/", fields)
            let fromMemory = try await client.response(isBodyless: method == "HEAD")
            try check(fromMemory)
            #expect(fromMemory.cacheStatus.hasPrefix("perennial; hit; ttl="))

            var configuration = GatewayConfiguration(origin: try OriginURL("http://127.0.0.1:\(rig.origin.port)"))
            configuration.port = 0
            let cold = try Gateway(configuration: configuration, backend: backend, time: rig.clock)
            let other = try await TestClient(port: try await cold.start().port)
            try await other.send(method, "/", fields)
            let fromStore = try await other.response(isBodyless: method == "HEAD")
            try check(fromStore)
            #expect(fromStore.cacheStatus == fromMemory.cacheStatus)
            #expect(Set(fromStore.fields.map(\.name)) == Set(fromMemory.fields.map(\.name)))
            await other.close()
            await cold.shutdown(deadline: .seconds(1))
            #expect(rig.origin.requests.count == 1)
        }
    }

    @Test(arguments: [
        ("bytes=0-3", "0123", "bytes 0-3/1000"), ("bytes=996-", "6789", "bytes 996-999/1000"),
        ("bytes=-2", "89", "bytes 998-999/1000"), ("bytes=5-5,5000-", "5", "bytes 5-5/1000"),
    ])
    func `a range of what is stored is cut from it`(range: String, body: String, contentRange: String) async throws {
        try await bothWays(["Range": range]) { response in
            #expect(response.status == 206)
            #expect(response.body == body)
            #expect(response.field("Content-Range") == contentRange)
            #expect(response.field("Content-Length") == "\(body.count)")
            #expect(response.field("Content-Type") == "text/x")
            #expect(response.field("ETag") == "\"v1\"")
            #expect(response.field("Age") == "0")
            #expect(response.field("Date") != nil)
        }
    }

    @Test func `several ranges are several parts`() async throws {
        try await bothWays(["Range": "bytes=0-1,-1"]) { response in
            #expect(response.status == 206)
            #expect(response.field("Content-Range") == nil)
            let type = try #require(response.field("Content-Type"))
            let boundary = try #require(type.firstRange(of: "boundary=").map { String(type[$0.upperBound...]) })
            #expect(type.hasPrefix("multipart/byteranges; "))
            #expect(
                response.body
                    == "--\(boundary)\r\nContent-Type: text/x\r\nContent-Range: bytes 0-1/1000\r\n\r\n01"
                    + "\r\n--\(boundary)\r\nContent-Type: text/x\r\nContent-Range: bytes 999-999/1000\r\n\r\n9"
                    + "\r\n--\(boundary)--\r\n")
        }
    }

    @Test func `a range beyond the end is refused with the size`() async throws {
        try await bothWays(["Range": "bytes=1000-"]) { response in
            #expect(response.status == 416)
            #expect(response.field("Content-Range") == "bytes */1000")
            #expect(response.body.isEmpty)
        }
    }

    @Test(
        arguments: [
            ["Range": "lines=0-1"], ["Range": "bytes=9-5"], ["Range": "bytes=0-9,5-14"],
            ["Range": "bytes=0-3", "If-Range": "\"v0\""], ["Range": "bytes=0-3", "If-Range": "W/\"v1\""],
            ["If-Range": "\"v1\""],
        ] as [KeyValuePairs<String, String>])
    func `a range that does not count gets the whole`(fields: KeyValuePairs<String, String>) async throws {
        try await bothWays(fields) { response in
            #expect(response.status == 200)
            #expect(response.body == Self.body)
            #expect(response.field("Content-Range") == nil)
        }
    }

    @Test func `If-Range with the stored tag gets the part, and If-None-Match comes first`() async throws {
        try await bothWays(["Range": "bytes=0-3", "If-Range": "\"v1\""]) { #expect($0.status == 206) }
        try await bothWays(["Range": "bytes=0-3", "If-None-Match": "\"v1\""]) { #expect($0.status == 304) }
        try await bothWays(["Range": "bytes=0-3", "If-None-Match": "\"v0\""]) { #expect($0.status == 206) }
        try await bothWays(["Range": "bytes=5000-", "If-None-Match": "\"v1\""]) { #expect($0.status == 304) }
    }

    @Test func `HEAD knows no ranges`() async throws {
        try await bothWays(["Range": "bytes=0-3"], method: "HEAD") { response in
            #expect(response.status == 200)
            #expect(response.field("Content-Length") == "1000")
        }
    }

    @Test func `a range of what is not stored is the origin's to answer, and nothing is stored`() async throws {
        try await withRig(origin: Self.handler) { rig in
            let client = try await rig.client()
            let passed = try await client.get("/", ["Range": "bytes=0-3"])
            #expect(passed.status == 206)
            #expect(passed.body == "part")
            #expect(passed.field("X") == "bytes=0-3")
            #expect(passed.cacheStatus == "perennial; fwd=uri-miss; fwd-status=206; detail=range")
            #expect(try await rig.storedKeys().isEmpty)
            // One that is ignored makes an ordinary read.
            let whole = try await client.get("/", ["Range": "items=0-3"])
            #expect(whole.cacheStatus == "perennial; fwd=uri-miss; stored")
            #expect(rig.origin.requests[1].field("Range") == nil)
        }
    }

    @Test func `a range of what has expired makes the gateway ask for all of it, conditionally`() async throws {
        try await withRig(origin: { request in
            let fields: KeyValuePairs = ["ETag": "\"v1\"", "Cache-Control": "max-age=60"]
            return request.field("If-None-Match") == "\"v1\"" ? .status(304, "", fields) : .ok("0123456789", fields)
        }) { rig in
            _ = try await rig.get("/")
            rig.clock.advance(by: .seconds(61))
            let part = try await rig.get("/", ["Range": "bytes=2-3"])
            #expect(part.status == 206)
            #expect(part.body == "23")
            #expect(part.cacheStatus == "perennial; fwd=stale; fwd-status=304; stored")
            #expect(rig.origin.requests[1].field("Range") == nil)
        }
    }

    @Test func `a range with credentials passes`() async throws {
        try await withRig(origin: Self.handler) { rig in
            _ = try await rig.get("/")
            let passed = try await rig.get("/", ["Range": "bytes=0-3", "Authorization": "x"])
            #expect(passed.cacheStatus == "perennial; fwd=bypass; fwd-status=206; detail=authorization")
        }
    }

    @Test func `large parts arrive whole, one behind the other on a connection`() async throws {
        let large = String(repeating: "abcdefgh", count: 100_000)
        try await withRig(origin: { _ in .ok(large, ["Cache-Control": "max-age=60"]) }) { rig in
            let client = try await rig.client()
            _ = try await client.get("/")
            try await client.send("GET", "/", ["Range": "bytes=8-"])
            try await client.send("GET", "/", ["Range": "bytes=0-299999,400000-699999"])
            try await client.send("GET", "/", ["Range": "bytes=-8"])
            #expect(try await client.response().body == String(large.dropFirst(8)))
            let parts = try await client.response()
            #expect(parts.status == 206)
            #expect(parts.body.utf8.count > 600_000)
            #expect(try await client.response().body == "abcdefgh")
        }
    }

    @Test func `If-Match and If-Unmodified-Since are the origin's to judge`() async throws {
        try await withRig(origin: { request in
            request.field("If-Match") == nil ? .ok("body", ["Cache-Control": "max-age=60"]) : .status(412)
        }) { rig in
            _ = try await rig.get("/")
            let failed = try await rig.get("/", ["If-Match": "\"x\""])
            #expect(failed.status == 412)
            #expect(failed.cacheStatus == "perennial; fwd=bypass; fwd-status=412; detail=precondition")
        }
    }
}
