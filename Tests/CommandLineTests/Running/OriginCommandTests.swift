import Foundation
import NIOHTTP1
import Perennial
import PerennialConsole
import Testing

/// What of an origin is left alone: how an operator sees it and undoes it.
struct OriginCommandTests {
    let folder: Folder
    let upstream: Upstream

    init() async throws {
        folder = try Folder()
        upstream = try await Upstream()
    }

    @Test func `what asked for a pause is seen everywhere, and asked again by hand`() async throws {
        let gateway = try await serve()
        let (url, admin) = (gateway.addresses[1], gateway.addresses[2])
        #expect(try await origin("ls", admin).outputLines.count == 2)
        #expect(try await origin("reopen", admin).output == "nothing was left alone\n")

        // One address: the others are asked.
        #expect(try await get("\(url)/busy").status == 503)
        #expect(try await get("\(url)/busy").headers.first(name: "Cache-Status")?.contains("unavailable") == true)
        #expect(try await get("\(url)/a").status == 200)
        #expect(upstream.asked == 2)
        var report = try await report(admin)
        #expect(report.state == .closed)
        #expect(report.addresses.map(\.url) == ["\(upstream.url)/busy"])
        #expect(report.addresses.map(\.state) == [.paused])
        let reason = "it asked for a pause (Retry-After): the origin answered 503"
        #expect(report.addresses.map(\.reason) == [reason])
        try await eventually { gateway.errors.contains("an address is left alone for 60 s: \(reason)") }
        #expect(try await metrics(admin).contains("perennial_origin_closed_addresses{origin=\"\(upstream.url)\"} 1"))

        let reopened = try await origin("reopen", admin, "\(upstream.url)/busy")
        #expect(reopened.output == "1 is asked again\n", "\(reopened.errors)")
        #expect(try await get("\(url)/busy").headers.first(name: "Cache-Status")?.contains("fwd-status=503") == true)

        // Several: the origin as a whole is left alone.
        for number in 1...2 { #expect(try await get("\(url)/busy\(number)").status == 503) }
        #expect(try await get("\(url)/b").status == 503)
        report = try await self.report(admin)
        #expect(report.state == .paused)
        #expect(report.until != nil)
        #expect(report.addressCount == 3)
        #expect(try await metrics(admin).contains("perennial_origin_closed{origin=\"\(upstream.url)\"} 1"))
        let ready = try await get("\(admin)/readyz")
        #expect(ready.status == 200)
        #expect(ready.body.contains("\(upstream.url) is left alone until 2"), "\(ready.body)")
        #expect(ready.body.contains("3 of its addresses asked for a pause (Retry-After)"), "\(ready.body)")
        let table = try await origin("ls", admin).output
        #expect(table.contains("\(upstream.url)"))
        #expect(table.contains("3 of its addresses asked for a pause"), "\(table)")
        #expect(try await origin("reopen", admin, "--json").output == "{\"reopened\":4}\n")
        #expect(gateway.errors.contains("what was left alone is asked again by hand"))
        #expect(try await get("\(url)/b").status == 200)

        let elsewhere = try await origin("reopen", admin, "https://elsewhere.test/a")
        #expect(elsewhere.code == 64)
        #expect(elsewhere.errors.hasPrefix("perennial: "), "\(elsewhere.errors)")
        #expect(await gateway.stop(SIGTERM) == 0)
        await upstream.stop()
    }

    @Test func `an origin that can't be connected to is left alone, and the log says why, once`() async throws {
        await upstream.stop()
        let gateway = try await serve()
        let (url, admin) = (gateway.addresses[1], gateway.addresses[2])
        for _ in 0..<30 { _ = try await get("\(url)/a") }
        try await eventually { gateway.errors.contains("the origin is left alone for 5 s: ") }
        #expect(gateway.errors.contains("last: the origin refuses connections"))
        #expect(gateway.errors.split(separator: "\n").count { $0.contains("the origin is left alone for 5 s: ") } == 1)
        #expect(
            try await metrics(admin).contains(
                "perennial_origin_circuit_openings_total{origin=\"\(upstream.url)\",scope=\"origin\"} 1"))
        #expect(await gateway.stop(SIGTERM) == 0)
    }

    @Test func `a gateway with a token wants to see it`() async throws {
        try "0123456789abcdef".write(toFile: folder.path("token"), atomically: true, encoding: .utf8)
        let gateway = try await serve(["--admin-token-file", "token"])
        let admin = gateway.addresses[2]
        let refused = try await origin("ls", admin)
        #expect(refused.code == 77)
        #expect(
            refused.errors == "perennial: the gateway at \(admin) wants its token; give --admin-token-file FILE\n")
        #expect(try await origin("ls", admin, "--admin-token-file", "token").code == 0)
        #expect(await gateway.stop(SIGTERM) == 0)
        await upstream.stop()
    }

    private func serve(_ more: [String] = []) async throws -> RunningProgram {
        try await RunningProgram(
            [
                "serve", "--origin", upstream.url, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--store",
                "memory:", "--longest-retry-after", "1m",
            ] + more, in: folder)
    }

    private func origin(_ command: String, _ admin: String, _ more: String...) async throws -> Program.Result {
        try await Program.run(["origin", command, "--admin", admin] + more, in: folder)
    }

    private func report(_ admin: String) async throws -> OriginReport {
        let result = try await origin("list", admin, "--json")
        return try JSONDecoder().decode(OriginReport.self, from: Data(result.output.utf8))
    }

    private func metrics(_ admin: String) async throws -> String { try await get("\(admin)/metrics").body }
}
