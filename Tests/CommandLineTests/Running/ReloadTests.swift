import Foundation
import NIOHTTP1
import Testing

/// Origins and routes of a configuration file, checked and changed while a gateway runs.
struct ReloadTests {
    let folder: Folder
    let first: Upstream
    let second: Upstream

    init() async throws {
        folder = try Folder()
        first = try await Upstream()
        second = try await Upstream()
    }

    @Test func `a changed file is read again, a wrong one changes nothing, and SIGHUP reads at once`() async throws {
        try write("origin: \(first.url)\nlisten: 127.0.0.1:0\nadmin: 127.0.0.1:0\n")
        let gateway = try await RunningProgram(["serve", "--config", "gateway.yaml"], in: folder)
        let (url, admin) = (gateway.addresses[1], gateway.addresses[2])
        #expect(try await get("\(url)/a").status == 200)
        #expect(first.asked == 1)

        try write(
            "routes: [{origin: '\(second.url)', path: /a}]\norigin: \(first.url)\nlisten: 127.0.0.1:0\nthreads: 1\n")
        try await eventually { try await reloads(admin, "taken") == 1 }
        #expect(try await get("\(url)/a").status == 200)
        #expect(try await get("\(url)/b").status == 200)
        #expect(first.asked == 2)
        #expect(second.asked == 1)

        try write("origin: nonsense")
        try await eventually { try await reloads(admin, "refused") == 1 }
        #expect(try await get("\(url)/a").headers.first(name: "Cache-Status")?.contains("hit") == true)

        gateway.send(SIGHUP)
        try await eventually { try await reloads(admin, "refused") == 2 }
        #expect(await gateway.stop(SIGTERM) == 0)
        let errors = gateway.errors
        #expect(errors.contains("“origin” in gateway.yaml"))
        #expect(errors.contains("needs a restart"))
        await first.stop()
        await second.stop()
    }

    @Test func `check says what a file would do`() async throws {
        try write(
            """
            origins:
              users:
                url: https://users.example/v1
                fields: {Authorization: "Bearer ${TOKEN}"}
                rate: 50/s
            routes:
              - name: users
                host: api.example.com
                path: /users
                origin: users
                refresh-after: 1h
                query: {drop: [utm_*]}
            """)
        let asked = ["https://api.example.com/users/1?utm_source=x&a=b", "/elsewhere"]
        let result = try await Program.run(
            ["check", "gateway.yaml"] + asked, environment: ["TOKEN": "s3cret"], in: folder)
        #expect(result.code == 0)
        #expect(result.output.contains("gateway.yaml: 1 route, no mistakes found"))
        #expect(result.output.contains("https://users.example/v1/users/1?a=b\n"))
        #expect(result.output.contains("refreshed after 1h, expired after 7d"))
        #expect(result.output.contains("50 a second"))
        #expect(result.output.contains("no route is for it: the answer is a 404"))
        #expect(!result.output.contains("s3cret"))

        let json = try await Program.run(
            ["check", "gateway.yaml", "--json"] + asked, environment: ["TOKEN": "s3cret"], in: folder)
        let answers = try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [[String: Any]]
        let route = answers?.first?["route"] as? [String: Any]
        #expect(route?["key"] as? String == "https://users.example/v1/users/1?a=b")
        #expect(answers?.last?["route"] == nil)

        let all = try await Program.run(["check", "gateway.yaml"], environment: ["TOKEN": "s3cret"], in: folder)
        for text in ["10000 connections", "to be made", "64.0 MB for large bodies", "within 10s", "2m in all"] {
            #expect(all.output.contains(text), "\(text) in \(all.output)")
        }
        #expect(!FileManager.default.fileExists(atPath: folder.path("perennial.sqlite")))

        let wrong = try await Program.run(["check", "gateway.yaml"], in: folder)
        #expect(wrong.code == 78)
        #expect(wrong.errors.contains("gateway.yaml:4: it needs TOKEN in the environment, which is not set"))
    }

    @Test func `check shows what a route does with hosts, cookies, pages and the like`() async throws {
        try write(
            """
            purge-from: [127.0.0.1, 10.0.0.0/8]
            origins:
              blog: {url: "http://127.0.0.1:8000", host: client, via: off, forwarded: x}
            routes:
              - {name: blog, host: "*.example", origin: blog, cors: true, cookies: {keep: [session], drop: [_ga*]}}
              - {name: named, path: /named, origin: "https://o.example", send-host: www.example}
            """)
        let result = try await Program.run(
            ["check", "gateway.yaml", "https://Blog.example/page", "/named/x"], in: folder)
        let lines = result.output.split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") }
        for line in [
            "PURGE is answered for 127.0.0.1, 10.0.0.0/8", "asks http://blog.example/page", "at http://127.0.0.1:8000",
            "host the client's, by which addresses are kept apart", "via not told to the origin",
            "tells who the client is whose request passes, with X-Forwarded-For, -Proto and -Host",
            "cookies only session, without _ga*", "cors by Origin, preflights by what they ask",
            "asks https://www.example/named/x", "host www.example, by which addresses are kept",
        ] {
            #expect(lines.contains(line), "\(line)\n\(result.output)\(result.errors)")
        }
    }

    private func write(_ text: String) throws {
        try text.write(toFile: folder.path("gateway.yaml"), atomically: true, encoding: .utf8)
    }

    private func reloads(_ admin: String, _ outcome: String) async throws -> Int? {
        try await get("\(admin)/metrics").body.split(separator: "\n")
            .first { $0.hasPrefix("perennial_gateway_reloads_total{outcome=\"\(outcome)\"}") }
            .flatMap { Int($0.split(separator: " ")[1]) }
    }
}
