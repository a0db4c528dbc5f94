import Perennial
import PerennialHTTP
import PerennialTesting
import Testing

@testable import PerennialGateway

@Suite struct VaryTests {
    @Test func `requests that the origin answers differently get different entries`() async throws {
        try await withRig(origin: Self.byLanguage) { rig in
            #expect(try await rig.get("/", ["Accept-Language": "de"]).body == "de 1")
            let english = try await rig.get("/", ["Accept-Language": "en"])
            #expect(english.body == "en 2")
            #expect(english.cacheStatus == "perennial; fwd=vary-miss; stored")
            #expect(try await rig.get("/").body == "- 3")
            for (language, body) in [("de", "de 1"), ("EN", "en 2")] {
                let hit = try await rig.get("/", ["Accept-Language": language])
                #expect(hit.body == body)
                #expect(hit.cacheStatus.hasPrefix("perennial; hit"))
            }
            #expect(rig.origin.requests.count == 3)
        }
    }

    @Test func `each variant is refreshed with the fields it was chosen by`() async throws {
        try await withRig(origin: Self.byLanguage) { rig in
            _ = try await rig.get("/", ["Accept-Language": "de"])
            _ = try await rig.get("/", ["Accept-Language": "en, fr"])
            rig.clock.advance(by: .seconds(70))
            let variant = try await rig.get("/", ["Accept-Language": "en,fr"])
            #expect(variant.body == "en, fr 2")
            #expect(variant.cacheStatus.hasPrefix("perennial; hit; ttl=-"))
            await rig.events.waitForRefresh()
            #expect(rig.origin.requests.count == 3)
            #expect(rig.origin.requests[2].field("Accept-Language") == "en, fr")
        }
    }

    @Test func `removing an address removes its variants`() async throws {
        try await withRig(origin: Self.byLanguage) { rig in
            _ = try await rig.get("/a", ["Accept-Language": "de"])
            _ = try await rig.get("/a", ["Accept-Language": "en"])
            let responses = rig.gateway.responses
            #expect(try await responses.remove(try responses.key(for: "/a")) == 2)
            #expect(try await rig.get("/a", ["Accept-Language": "en"]).body == "en 3")
        }
    }

    @Test func `a variant key carries the fields it stands for`() throws {
        let request: HeaderFields = ["Accept-Language": "de, en;q=0.5", "X-Odd": "a&b=c %é"]
        let key = try #require(
            variantKey(primary: "http://x/y", varyNames: ["accept-language", "x-odd", "x-none"], request: request))
        #expect(primaryKey(of: key) == "http://x/y")
        let fields = selectingFields(ofKey: key)
        #expect(fields["Accept-Language"] == "de,en;q=0.5")
        #expect(fields["X-Odd"] == "a&b=c %é")
        #expect(fields["X-None"] == nil)
        #expect(
            variantKey(primary: "http://x/y", varyNames: ["accept-language", "x-odd", "x-none"], request: fields) == key
        )
        #expect(variantKey(primary: "http://x/y", varyNames: ["cookie"], request: ["Cookie": "secret"]) == nil)
    }

    @Sendable static func byLanguage(_ request: TestOrigin.Request) async -> TestOrigin.Answer {
        .ok(
            "\(request.field("Accept-Language") ?? "-") \(request.number)",
            ["Vary": "Accept-Language", "Cache-Control": "max-age=60, stale-while-revalidate=600"])
    }
}
