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

    /// What browsers and programs send, those that take most first.
    private static let codings = [
        "gzip, deflate, br, zstd", "zstd, br, deflate, gzip", "br;q=1.0, gzip;q=0.8, *;q=0.1", "gzip, deflate, br",
        "gzip, br", "gzip,deflate", "gzip;q=1.0, identity; q=0.5", "deflate", "identity",
    ]

    @Test func `there are no more variants of a compressed page than its origin can choose from`() async throws {
        try await withRig(origin: { request in
            let coding =
                request.field("Accept-Encoding").map { $0.contains("gzip") ? "gzip" : "identity" } ?? "identity"
            return .ok(
                "\(request.number)",
                ["Vary": "Accept-Encoding", "Cache-Control": "max-age=60", "Content-Encoding": coding])
        }) { rig in
            for _ in 0..<2 {
                for codings in Self.codings + [""] { _ = try await rig.get("/", ["Accept-Encoding": codings]) }
                _ = try await rig.get("/")
            }
            let asked = rig.origin.requests.map { $0.field("Accept-Encoding") }
            #expect(asked == ["gzip, br, zstd", "gzip, br", "gzip", "identity"])
        }
    }

    @Test(arguments: [codings, codings.reversed(), ["gzip", "gzip, br", "identity", "gzip, br, zstd"]])
    func `a page that its origin does not compress is one entry for all who take gzip, and another at most`(
        codings: [String]
    ) async throws {
        try await withRig(origin: { request in
            .ok("\(request.number)", ["Vary": "Accept-Encoding", "Cache-Control": "max-age=60"])
        }) { rig in
            for codings in codings + codings { _ = try await rig.get("/", ["Accept-Encoding": codings]) }
            _ = try await rig.get("/")
            // Who takes no coding says nothing of the page's being compressed for others.
            #expect(rig.origin.requests.count == (codings[0] == "identity" ? 2 : 1))
            // What is not compressed is not for this one.
            let asked = rig.origin.requests.count
            _ = try await rig.get("/", ["Accept-Encoding": "gzip, *;q=0"])
            #expect(rig.origin.requests.count == asked + 1)
        }
    }

    @Test func `what passes is asked for with what the client sent`() async throws {
        try await withRig(origin: { _ in .ok("") }) { rig in
            let client = try await rig.client()
            try await client.send("POST", "/", ["Accept-Encoding": "gzip;q=0.5, deflate"])
            _ = try await client.response()
            #expect(rig.origin.requests[0].field("Accept-Encoding") == "gzip;q=0.5, deflate")
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
