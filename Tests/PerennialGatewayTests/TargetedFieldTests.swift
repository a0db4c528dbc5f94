import Perennial
import PerennialGateway
import PerennialHTTP
import PerennialTesting
import Testing

@Suite struct TargetedFieldTests {
    static let fields: KeyValuePairs = [
        "Cache-Control": "no-store", "CDN-Cache-Control": "max-age=600", "Perennial-Cache-Control": "max-age=60",
        "Surrogate-Key": "a", "Cache-Tag": "b", "ETag": "\"v1\"",
    ]

    func check(_ response: TestClient.Response) {
        #expect(response.field("Perennial-Cache-Control") == nil)
        #expect(response.field("Surrogate-Key") == nil)
        #expect(response.field("Cache-Control") == "no-store")
        #expect(response.field("CDN-Cache-Control") == "max-age=600")
        #expect(response.field("Cache-Tag") == "b")
    }

    @Test func `the field for this cache rules, is not shown to clients, and stays in force after a 304`() async throws
    {
        try await withRig(origin: { request in
            request.field("If-None-Match") == nil
                ? .ok("\(request.number)", Self.fields) : .status(304, "", ["ETag": "\"v1\""])
        }) { rig in
            check(try await rig.get("/"))
            rig.clock.advance(by: .seconds(50))
            let hit = try await rig.get("/")
            check(hit)
            #expect(hit.cacheStatus == "perennial; hit; ttl=10")
            check(try await rig.get("/", ["If-None-Match": "\"v1\""]))
            rig.clock.advance(by: .seconds(20))
            let confirmed = try await rig.get("/")
            check(confirmed)
            #expect(confirmed.cacheStatus == "perennial; fwd=stale; fwd-status=304; stored")
            rig.clock.advance(by: .seconds(50))
            #expect(try await rig.get("/").cacheStatus == "perennial; hit; ttl=10")
            #expect(rig.origin.requests.count == 2)
        }
    }

    @Test(arguments: [("Range", "bytes=0-0", 200), ("Cookie", "a=b", 200), ("X-Fail", "1", 503)])
    func `nor is it shown where a response passes or fails`(name: String, value: String, status: Int) async throws {
        try await withRig(origin: { request in
            .status(request.field("X-Fail") == nil ? 200 : 503, "x", Self.fields)
        }) { rig in
            let response = try await rig.get("/", [name: value])
            #expect(response.status == status)
            check(response)
        }
    }
}
