import Perennial
import PerennialGateway
import PerennialHTTP
import PerennialTesting
import Testing

@Suite struct TagTests {
    @Test func `entries are expired and removed by the tags of their responses`() async throws {
        try await withRig(origin: { request in
            .ok(
                "\(request.number)",
                [
                    "Cache-Control": "max-age=60, stale-while-revalidate=600", "Vary": "Accept-Language",
                    "Surrogate-Key": "all page\(request.target.dropFirst())", "Cache-Tag": "all, odd tag",
                    "Cache-Groups": "\"g\"",
                ])
        }) { rig in
            _ = try await rig.get("/1", ["Accept-Language": "de"])
            _ = try await rig.get("/1", ["Accept-Language": "en"])
            _ = try await rig.get("/2")
            let cache = rig.gateway.responses.cache
            #expect(try await cache.markStale(tag: "page2") == 1)
            #expect(try await rig.get("/2").cacheStatus.hasPrefix("perennial; hit; ttl=0"))
            #expect(try await cache.remove(tag: "page1") == 2)
            #expect(try await rig.storedKeys().count == 1)
            #expect(try await cache.remove(tag: "g") == 0)
            #expect(try await cache.remove(tag: "http://127.0.0.1:\(rig.origin.port)#g") == 1)
        }
    }

    @Test func `a response can't be put among the variants of another address`() async throws {
        try await withRig(origin: { request in
            let address = "http://\(request.field("Host") ?? "")/victim"
            return .ok(
                "\(request.number)",
                ["Cache-Control": "max-age=60", "Surrogate-Key": address, "Cache-Tag": address])
        }) { rig in
            _ = try await rig.get("/victim")
            _ = try await rig.get("/other")
            let responses = rig.gateway.responses
            #expect(try await responses.remove(try responses.key(for: "/victim")) == 1)
            #expect(try await rig.get("/other").cacheStatus.hasPrefix("perennial; hit"))
        }
    }

    @Test(arguments: [false, true])
    func `a 304 changes the tags, or leaves them`(isChanged: Bool) async throws {
        try await withRig(origin: { request in
            guard request.field("If-None-Match") != nil else {
                return .ok("body", ["ETag": "\"v1\"", "Cache-Control": "max-age=60", "Surrogate-Key": "old"])
            }
            return isChanged
                ? .status(304, "", ["ETag": "\"v1\"", "Surrogate-Key": "new"]) : .status(304, "", ["ETag": "\"v1\""])
        }) { rig in
            _ = try await rig.get("/")
            rig.clock.advance(by: .seconds(100))
            #expect(try await rig.get("/").cacheStatus == "perennial; fwd=stale; fwd-status=304; stored")
            let cache = rig.gateway.responses.cache
            #expect(try await cache.remove(tag: isChanged ? "old" : "new") == 0)
            #expect(try await cache.remove(tag: isChanged ? "new" : "old") == 1)
        }
    }

    @Test func `a 304 that names other fields in Vary holds for the request that it answers`() async throws {
        try await withRig(origin: { request in
            let fields: KeyValuePairs = ["ETag": "\"v1\"", "Cache-Control": "max-age=60"]
            guard request.field("If-None-Match") != nil else { return .ok("\(request.number)", fields) }
            return .status(304, "", ["ETag": "\"v1\"", "Cache-Control": "max-age=60", "Vary": "X-Side"])
        }) { rig in
            _ = try await rig.get("/", ["X-Side": "left"])
            rig.clock.advance(by: .seconds(100))
            #expect(try await rig.get("/", ["X-Side": "right"]).body == "1")
            #expect(try await rig.get("/", ["X-Side": "right"]).cacheStatus.hasPrefix("perennial; hit"))
            #expect(try await rig.get("/", ["X-Side": "left"]).cacheStatus.contains("fwd=vary-miss"))
        }
    }
}
