import NIOHTTP1
import Perennial
import PerennialHTTP
import PerennialTesting
import Testing

@testable import PerennialGateway

/// Pages of other origins.
struct CORSTests {
    /// Says who may read only if it is asked by a page, and nothing in `Vary`, as many servers do.
    @Sendable static func careless(_ request: TestOrigin.Request) async -> TestOrigin.Answer {
        let page = request.field("Origin")
        if request.method == "OPTIONS" {
            return .status(
                204, "",
                [
                    "Access-Control-Allow-Origin": page ?? "-", "Access-Control-Max-Age": "600",
                    "Access-Control-Allow-Methods": request.field("Access-Control-Request-Method") ?? "-",
                    "X-Number": "\(request.number)",
                ])
        }
        let fields = ["Cache-Control": "max-age=10, stale-while-revalidate=600"]
            .merging(page.map { ["Access-Control-Allow-Origin": $0] } ?? [:]) { first, _ in first }
        let lines = fields.map { "\($0): \($1)\r\n" }.joined()
        return .raw("HTTP/1.1 200 OK\r\n\(lines)Content-Length: 0\r\n\r\n")
    }

    private func withCORS(test: (Rig) async throws -> Void) async throws {
        try await withRig({ $0.routes[0].rules.cors = true }, origin: Self.careless, test: test)
    }

    private func preflight(
        _ rig: Rig, _ page: String, _ method: String, _ fields: [String: String] = [:], version: String = "1.1"
    ) async throws -> TestClient.Response {
        let client = try await rig.client()
        let lines = fields.map { "\($0): \($1)\r\n" }.joined()
        try await client.send(
            "OPTIONS /x HTTP/\(version)\r\nHost: g\r\nOrigin: \(page)\r\n"
                + "Access-Control-Request-Method: \(method)\r\n\(lines)\r\n")
        let response = try await client.response()
        await client.close()
        return response
    }

    @Test func `each page gets what was said of it, also behind a reader that is no page, and behind a refresh`()
        async throws
    {
        try await withCORS { rig in
            #expect(try await rig.get("/").field("Access-Control-Allow-Origin") == nil)
            for page in ["https://a.example", "https://b.example"] {
                let first = try await rig.get("/", ["Origin": page])
                #expect(first.field("Access-Control-Allow-Origin") == page)
                #expect(first.field("Vary") == "origin")
            }
            rig.clock.advance(by: .seconds(20))
            let stale = try await rig.get("/", ["Origin": "https://a.example"])
            #expect(stale.cacheStatus.contains("detail=refreshing"))
            await rig.events.waitForRefresh()
            let fresh = try await rig.get("/", ["Origin": "https://a.example"])
            #expect(fresh.field("Access-Control-Allow-Origin") == "https://a.example")
            #expect(fresh.cacheStatus.contains("; hit; ttl=1"))
            #expect(rig.origin.requests.count == 4)
        }
    }

    @Test func `a preflight's answer is kept by what it asks, for as long as it says`() async throws {
        try await withCORS { rig in
            let first = try await preflight(rig, "https://a.example", "PUT")
            #expect(first.status == 204)
            #expect(first.field("X-Number") == "1")
            #expect(first.cacheStatus.contains("fwd=uri-miss; stored"))
            let again = try await preflight(rig, "https://a.example", "PUT", ["User-Agent": "another"])
            #expect(again.field("X-Number") == "1")
            #expect(again.field("Access-Control-Allow-Origin") == "https://a.example")
            #expect(again.cacheStatus == "perennial; hit; ttl=600")
            #expect(try await preflight(rig, "https://b.example", "PUT").field("X-Number") == "2")
            #expect(try await preflight(rig, "https://a.example", "DELETE").field("X-Number") == "3")
            #expect(rig.origin.requests.allSatisfy { $0.method == "OPTIONS" && $0.target == "/x" })
            #expect(rig.origin.requests[0].field("Access-Control-Request-Method") == "PUT")
            rig.clock.advance(by: .seconds(601))
            #expect(try await preflight(rig, "https://a.example", "PUT").field("X-Number") == "4")
        }
    }

    @Test func `a preflight's answer is no response to other requests, and goes with its address`() async throws {
        try await withCORS { rig in
            _ = try await preflight(rig, "https://a.example", "PUT")
            #expect(try await rig.get("/x", ["Origin": "https://a.example"]).status == 200)
            let responses = rig.gateway.responses
            #expect(try await responses.remove(responses.key(for: "/x")) == 2)
            #expect(try await preflight(rig, "https://a.example", "PUT").field("X-Number") == "3")
        }
    }

    @Test func `what is no plain preflight passes, and where pages don't count all do`() async throws {
        try await withCORS { rig in
            for fields in [["Cookie": "a=b"], ["Cache-Control": "no-cache"]] {
                for _ in 1...2 {
                    let answer = try await preflight(rig, "https://a.example", "PUT", fields)
                    #expect(answer.cacheStatus.contains("fwd=method"))
                }
            }
            #expect(rig.origin.requests.count == 4)
        }
        try await withRig(origin: Self.careless) { rig in
            for _ in 1...2 { _ = try await preflight(rig, "https://a.example", "PUT") }
            #expect(rig.origin.requests.count == 2)
        }
    }

    @Test func `an answer that may not be kept reaches its reader`() async throws {
        try await withRig(
            { $0.routes[0].rules.cors = true },
            origin: { .status(403, "no \($0.number)", ["X-Number": "\($0.number)"]) }
        ) { rig in
            for number in 1...2 {
                let answer = try await preflight(rig, "https://a.example", "PUT")
                #expect(answer.status == 403)
                #expect(answer.body == "no \(number)")
            }
        }
    }

    @Test func `a body of a preflight's answer is not kept, and its length is said to be none`() async throws {
        try await withRig({ $0.routes[0].rules.cors = true }, origin: { .ok("body \($0.number)") }) { rig in
            for _ in 1...2 {
                let answer = try await preflight(rig, "https://a.example", "PUT")
                #expect(answer.status == 200)
                #expect(answer.field("Content-Length") == "0")
            }
            #expect(rig.origin.requests.count == 1)
        }
    }

    @Test func `nobody hands over the answer to a preflight`() async throws {
        try await withCORS { rig in
            _ = try await preflight(rig, "https://a.example", "PUT")
            let key = try #require(try await rig.storedKeys().first)
            await #expect(throws: NotAccepted.self) {
                try await rig.gateway.responses.accept(
                    key, status: 200, fields: ["Cache-Control": "max-age=60"], body: [], fence: nil, lease: nil)
            }
        }
    }
}
