import NIOHTTP1
import Perennial
import PerennialGateway
import PerennialHTTP
import PerennialTesting
import Testing

/// What of a client's cookies and credentials counts.
struct CredentialTests {
    /// Answers with the credentials it was shown.
    @Sendable static func echo(_ request: TestOrigin.Request) async -> TestOrigin.Answer {
        let shown = ["Authorization", "X-Api-Key", "Cookie"].map { request.field($0) ?? "-" }.joined(separator: " ")
        return .ok("\(request.number) \(shown)", ["Cache-Control": "max-age=60", "Vary": "Cookie"])
    }

    @Test func `cookies that don't count keep nobody from the cache, and are not sent with what is kept`() async throws
    {
        try await withRig(
            { $0.routes[0].rules.cookies = CookieRules(dropped: [Wildcard("_ga*")]) }, origin: Self.echo
        ) { rig in
            #expect(try await rig.get("/", ["Cookie": "_ga=1; _ga_X=2"]).body == "1 - - -")
            for fields: KeyValuePairs in [["Cookie": "_ga=3"], [:]] {
                let again = try await rig.get("/", fields)
                #expect(again.body == "1 - - -")
                #expect(again.cacheStatus.contains("; hit"))
            }
            // What is left is a credential; what passes has all that its client sent.
            let passed = try await rig.get("/", ["Cookie": "_ga=1; session=2"])
            #expect(passed.body == "2 - - _ga=1; session=2")
            #expect(passed.cacheStatus.contains("fwd=bypass"))
            let client = try await rig.client()
            try await client.send("POST", "/", ["Cookie": "_ga=1", "Content-Length": "0"])
            #expect(try await client.response().body == "3 - - _ga=1")
            await client.close()
        }
    }

    @Test func `only the cookies that are kept count, and those that were let in reach the origin alone`() async throws
    {
        try await withRig(
            { configuration in
                configuration.routes[0].rules.cookies = CookieRules(kept: [Wildcard("lang")])
                configuration.routes[0].rules.allowances = [.cookies]
            }, origin: { .ok("\($0.number) \($0.field("Cookie") ?? "-")", ["Cache-Control": "max-age=60"]) }
        ) { rig in
            let first = try await rig.get("/", ["Cookie": "session=1; lang=de"])
            #expect(first.body == "1 lang=de")
            #expect(try await rig.get("/", ["Cookie": "session=2"]).body == "1 lang=de")
        }
    }

    @Test func `a credential that the gateway replaces plays no part, and the answer is shared`() async throws {
        try await withRig(
            { $0.routes[0].origin.fields = ["authorization": "Bearer ours"] }, origin: Self.echo
        ) { rig in
            #expect(try await rig.get("/", ["Authorization": "Bearer theirs"]).body == "1 Bearer ours - -")
            for token in ["Bearer another", "Basic x"] {
                let again = try await rig.get("/", ["Authorization": token])
                #expect(again.cacheStatus.contains("; hit"), "\(token)")
            }
            #expect(try await rig.get("/").cacheStatus.contains("; hit"))
            // Another one counts.
            let other = try await rig.get("/", ["Authorization": "x", "X_Api_Key": "theirs"])
            #expect(other.cacheStatus == "perennial; fwd=bypass; fwd-status=200; detail=authorization")
            #expect(rig.origin.requests.allSatisfy { $0.fields["Authorization"] == ["Bearer ours"] })
        }
    }

    @Test func `a credential is the same field however it is written`() async throws {
        try await withRig({ $0.routes[0].origin.fields = ["X-Api-Key": "ours"] }, origin: Self.echo) { rig in
            let first = try await rig.get("/", ["X_Api_Key": "theirs"])
            #expect(first.body == "1 - ours -")
            #expect(try await rig.get("/", ["x-api_key": "theirs"]).cacheStatus.contains("; hit"))
            #expect(try await rig.get("/", ["Authorization": "theirs"]).body == "2 theirs ours -")
        }
    }
}
