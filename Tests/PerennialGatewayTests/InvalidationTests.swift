import Perennial
import PerennialGateway
import PerennialHTTP
import PerennialTesting
import Testing

@Suite struct InvalidationTests {
    /// Bodies count the requests; a POST answers with the fields in its `X-Answer`, one a line written as `Name: value`.
    @Sendable static func counting(_ request: TestOrigin.Request) async -> TestOrigin.Answer {
        guard request.method == "GET" else {
            let lines = (request.field("X-Answer") ?? "").split(separator: "|").map { "\($0)\r\n" }.joined()
            return .raw("HTTP/1.1 200 OK\r\n\(lines)Content-Length: 0\r\n\r\n")
        }
        let group = request.target.split(separator: "/").first.map(String.init) ?? ""
        return .ok(
            "\(request.number)",
            [
                "Cache-Control": "max-age=60", "Vary": "Accept-Language", "Cache-Groups": "\"\(group)\"",
                "Cache-Tag": group,
            ])
    }

    func post(_ rig: Rig, _ target: String, answer: String, method: String = "POST") async throws {
        let client = try await rig.client()
        try await client.send(method, target, ["X-Answer": answer])
        #expect(try await client.response().status == 200)
        await client.close()
    }

    /// Which of these are still stored.
    func kept(_ rig: Rig, _ targets: [String]) async throws -> [String] {
        let keys = try await rig.storedKeys()
        return targets.filter { keys.contains("http://127.0.0.1:\(rig.origin.port)\($0)") }
    }

    @Test(arguments: ["POST", "DELETE", "PURGE"])
    func `an unsafe request removes its address and those it names, variants included`(method: String) async throws {
        try await withRig(origin: Self.counting) { rig in
            for target in ["/things", "/things/7", "/things/8", "/things/9"] {
                _ = try await rig.get(target, ["Accept-Language": "de"])
                _ = try await rig.get(target, ["Accept-Language": "en"])
            }
            #expect(try await rig.storedKeys().count == 8)
            let answer = "Location: /things/7|Content-Location: http://127.0.0.1:\(rig.origin.port)/things/8"
            try await post(rig, "/things", answer: answer, method: method)
            #expect(try await kept(rig, ["/things", "/things/7", "/things/8", "/things/9"]) == ["/things/9"])
            #expect(try await rig.storedKeys().count == 2)
            #expect(try await rig.get("/things/7", ["Accept-Language": "en"]).cacheStatus.contains("fwd=uri-miss"))
        }
    }

    @Test(arguments: ["http://127.0.0.1:1/other", "https://127.0.0.1/other", "//elsewhere.example/other"])
    func `what is at another origin is left alone`(location: String) async throws {
        try await withRig(origin: Self.counting) { rig in
            _ = try await rig.get("/other")
            try await post(rig, "/things", answer: "Location: \(location)")
            #expect(try await kept(rig, ["/other"]) == ["/other"])
        }
    }

    @Test func `a group that the answer names goes, and only a group`() async throws {
        try await withRig(origin: Self.counting) { rig in
            for target in ["/news/1", "/news/2", "/sport/1"] { _ = try await rig.get(target) }
            try await post(rig, "/x", answer: "Cache-Group-Invalidation: \"sport\", news")
            #expect(try await rig.storedKeys().count == 3)
            try await post(rig, "/x", answer: "Cache-Group-Invalidation: \"news\";why=\"edited\", \"nothing\"")
            #expect(try await kept(rig, ["/news/1", "/news/2", "/sport/1"]) == ["/sport/1"])
        }
    }

    @Test func `a group that the answer to a safe request names stays`() async throws {
        try await withRig(origin: Self.counting) { rig in
            _ = try await rig.get("/news/1")
            try await post(rig, "/x", answer: "Cache-Group-Invalidation: \"news\"", method: "OPTIONS")
            #expect(try await kept(rig, ["/news/1"]) == ["/news/1"])
        }
    }

    @Test func `a response that was on its way when its address changed is not kept`() async throws {
        let gate = Gate()
        try await withRig(origin: { request in
            if request.number == 1 { await gate.pass() }
            return request.method == "GET" ? .ok("\(request.number)", ["Cache-Control": "max-age=60"]) : .status(204)
        }) { rig in
            let early = try await rig.client()
            try await early.send("GET", "/")
            await gate.waitForArrivals()
            let client = try await rig.client()
            try await client.send("PUT", "/")
            #expect(try await client.response().status == 204)
            gate.open()
            // Who waited for it gets what the origin says now.
            #expect(try await early.response().body == "3")
            #expect(try await rig.get("/").body == "3")
        }
    }
}
