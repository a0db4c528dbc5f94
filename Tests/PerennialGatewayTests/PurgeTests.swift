import NIOCore
import Perennial
import PerennialGateway
import PerennialHTTP
import PerennialTesting
import Testing

/// PURGE, answered by the gateway.
struct PurgeTests {
    @Sendable static func counting(_ request: TestOrigin.Request) async -> TestOrigin.Answer {
        .ok(
            "\(request.method) \(request.number)",
            ["Cache-Control": "max-age=60, stale-while-revalidate=600", "Vary": "Accept-Language"])
    }

    private func withPurgers(_ ranges: [String], test: (Rig) async throws -> Void) async throws {
        try await withRig(
            { $0.purgeFrom = ranges.compactMap { AddressRange($0) } }, origin: Self.counting, test: test)
    }

    private func purge(
        _ rig: Rig, _ target: String, _ fields: KeyValuePairs<String, String> = [:]
    ) async throws -> TestClient.Response {
        let client = try await rig.client()
        try await client.send("PURGE", target, fields)
        let response = try await client.response()
        await client.close()
        return response
    }

    @Test func `a PURGE from an address that may removes the address with its variants, and says how many`()
        async throws
    {
        try await withPurgers(["10.0.0.0/8", "127.0.0.0/8"]) { rig in
            for language in ["de", "en"] { _ = try await rig.get("/a", ["Accept-Language": language]) }
            _ = try await rig.get("/b")
            let purged = try await purge(rig, "/%61")
            #expect(purged.status == 200)
            #expect(purged.body == "{\"removed\": 2}\n")
            #expect(purged.field("Content-Type") == "application/json")
            #expect(purged.cacheStatus == "perennial; detail=removed")
            #expect(try await rig.storedKeys().count == 1)
            #expect(rig.origin.requests.allSatisfy { $0.method == "GET" })
            #expect(try await purge(rig, "/a").body == "{\"removed\": 0}\n")
            #expect(try await rig.get("/a", ["Accept-Language": "de"]).cacheStatus.contains("fwd=uri-miss"))
        }
    }

    @Test(arguments: ["Perennial-Soft-Purge", "Fastly-Soft-Purge"])
    func `a soft one makes it stale: readers get it, and a refresh follows`(field: String) async throws {
        try await withPurgers(["127.0.0.1"]) { rig in
            _ = try await rig.get("/a")
            rig.clock.advance(by: .seconds(1))
            #expect(try await purge(rig, "/a", [field: "1"]).body == "{\"marked\": 1}\n")
            let stale = try await rig.get("/a")
            #expect(stale.body == "GET 1")
            #expect(stale.cacheStatus.contains("detail=refreshing"))
            await rig.events.waitForRefresh()
            #expect(try await rig.get("/a").body == "GET 2")
        }
    }

    @Test func `a PURGE from elsewhere is refused, whatever it claims, and changes nothing`() async throws {
        try await withPurgers(["10.0.0.1", "::1"]) { rig in
            _ = try await rig.get("/a")
            let refused = try await purge(rig, "/a", ["X-Forwarded-For": "10.0.0.1"])
            #expect(refused.status == 403)
            #expect(refused.cacheStatus == "perennial; detail=purge-refused")
            #expect(try await rig.get("/a").cacheStatus.contains("; hit"))
            #expect(rig.origin.requests.count == 1)
        }
    }

    @Test func `where nobody may, it passes to the origin like any other method`() async throws {
        try await withPurgers([]) { rig in
            _ = try await rig.get("/a")
            #expect(try await purge(rig, "/a").body == "PURGE 2")
            #expect(try await rig.storedKeys().isEmpty)
        }
    }

    @Test func `where clients' hosts count, the host says whose page it is`() async throws {
        try await withRig(
            { configuration in
                configuration.purgeFrom = [try #require(AddressRange("127.0.0.1"))]
                configuration.routes[0].address.sentHost = .client
            }, origin: Self.counting
        ) { rig in
            for host in ["a.example", "b.example"] { _ = try await rig.get("/", ["Host": host]) }
            #expect(try await purge(rig, "/", ["Host": "A.example"]).body == "{\"removed\": 1}\n")
            #expect(try await rig.storedKeys() == ["http://b.example/"])
        }
    }

    @Test(arguments: [
        ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.1", false), ("10.1.2.3", "10.1.2.3", true),
        ("10.1.2.3", "10.1.2.4", false), ("10.128.0.0/9", "10.200.0.0", true), ("10.128.0.0/9", "10.100.0.0", false),
        ("0.0.0.0/0", "1.2.3.4", true), ("0.0.0.0/0", "::1", false), ("::/0", "1.2.3.4", false),
        ("2001:db8::/32", "2001:db8:1::1", true), ("2001:db8::/32", "2001:db9::1", false), ("::1", "::1", true),
        ("10.0.0.0/8", "::ffff:10.0.0.1", true),
    ])
    func `a range has the addresses that begin with its bits`(range: String, address: String, isIn: Bool) throws {
        let range = try #require(AddressRange(range))
        #expect(try range.contains(SocketAddress(ipAddress: address, port: 1)) == isIn)
        #expect(try !range.contains(SocketAddress(unixDomainSocketPath: "/tmp/x")))
    }

    @Test(arguments: [
        "", "10.0.0.0/33", "10.0.0.1/8", "10.0.0/8", "10.0.0.0/-1", "::1/129", "localhost", "10.0.0.0/8/8",
        "10.0.0.0/+8",
    ])
    func `what is no range is told from one`(text: String) {
        #expect(AddressRange(text) == nil)
    }
}
