import Foundation
import NIOHTTP1
import PerennialConsole
import TestServers
import Testing

/// The program on engines that many machines share, each machine a process.
@Suite(.serialized) struct SharedEngineTests {
    let folder: Folder
    let upstream: Upstream

    init() async throws {
        folder = try Folder()
        upstream = try await Upstream()
    }

    private func redis() async throws -> RedisServer { try await aside { try RedisServer() } }
    private func postgres() async throws -> PostgresServer { try await aside { try PostgresServer() } }

    private func serve(_ store: [String]) async throws -> RunningProgram {
        try await RunningProgram(
            [
                "serve", "--origin", upstream.url, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
                "--refresh-after",
                "1h", "--expire-after", "7d", "--workers", "0",
            ] + store, in: folder)
    }

    /// Two gateways, a worker and the command line, on one store.
    private func share(_ store: [String]) async throws {
        let gateways = [try await serve(store), try await serve(store)]
        let urls = gateways.map { $0.addresses[1] }
        for url in urls { #expect(try await get("\(url)/a").body == "answer 1") }
        #expect(upstream.asked == 1)
        for gateway in gateways {
            #expect(try await get("\(gateway.addresses[2])/readyz").body == #"{"ready":true,"reasons":[]}"# + "\n")
        }

        let marked = try await Program.run(["mark-stale", "/a"] + store, in: folder)
        #expect(marked.output == "marked 1 entry stale\n", "\(marked.errors)")
        // Both find it stale; one job.
        for url in urls {
            try await eventually {
                try await get("\(url)/a").headers.first(name: "Cache-Status")?.contains("ttl=-") == true
            }
        }
        try await eventually { try await Program.run(["jobs", "--json"] + store, in: folder).outputLines.count == 1 }
        #expect(upstream.asked == 1)
        let worker = try await RunningProgram(
            ["worker", "--origin", upstream.url, "--refresh-after", "1h", "--expire-after", "7d"] + store, in: folder)
        for url in urls { try await eventually { try await get("\(url)/a").body == "answer 2" } }
        #expect(upstream.asked == 2)
        #expect(await worker.stop(SIGTERM) == 0)

        #expect(try await Program.run(["remove", "/a"] + store, in: folder).output == "removed 1 entry\n")
        for url in urls { try await eventually { try await get("\(url)/a").body == "answer 3" } }
        #expect(upstream.asked == 3)
        for gateway in gateways { #expect(await gateway.stop(SIGTERM) == 0) }
        await upstream.stop()
    }

    @Test func `two gateways and a worker share Redis`() async throws {
        let server = try await redis()
        try await share(["--store", server.url])
    }

    @Test func `two gateways and a worker share PostgreSQL`() async throws {
        let server = try await postgres()
        try await share(["--store", server.url])
    }

    @Test func `entries in PostgreSQL and jobs in Redis`() async throws {
        let (entries, jobs) = (try await postgres(), try await redis())
        try await share(["--store", entries.url, "--queue", jobs.url])
    }

    @Test func `a cache moves from a file to Redis and on to PostgreSQL`() async throws {
        let (first, second) = (try await redis(), try await postgres())
        let gateway = try await serve(["--store", "sqlite:cache.sqlite"])
        for number in 0..<25 { _ = try await get("\(gateway.addresses[1])/\(number)") }
        #expect(await gateway.stop(SIGTERM) == 0)
        let stores = ["sqlite:cache.sqlite", first.url, second.url]
        for (from, to) in zip(stores, stores.dropFirst()) {
            let copy = try await Program.run(["copy", "--from", from, "--to", to, "--json"], in: folder)
            #expect(copy.code == 0, "\(copy.errors)")
            #expect(try JSONDecoder().decode(StoreCopy.Progress.self, from: Data(copy.output.utf8)).copied == 25)
        }
        let other = try await serve(["--store", second.url])
        let asked = upstream.asked
        for number in 0..<25 { #expect(try await get("\(other.addresses[1])/\(number)").status == 200) }
        #expect(upstream.asked == asked)
        #expect(await other.stop(SIGTERM) == 0)
        await upstream.stop()
    }

    @Test func `a gateway starts, serves and says what is wrong while its engine is away`() async throws {
        let server = try await redis()
        try await aside { server.kill() }
        let gateway = try await serve(["--store", server.url])
        #expect(try await get("\(gateway.addresses[1])/a").body == "answer 1")
        let ready = try await get("\(gateway.addresses[2])/readyz")
        #expect(ready.status == 503)
        #expect(ready.body.contains("can't reach \(server.url)"))
        #expect(try await get("\(gateway.addresses[1])/a").body == "answer 1")
        try await aside { try server.start() }
        try await eventually {
            _ = try await get("\(gateway.addresses[1])/\(upstream.asked)")
            return try await get("\(gateway.addresses[2])/readyz").status == 200
        }
        #expect(await gateway.stop(SIGTERM) == 0)
        await upstream.stop()
    }

    @Test func `a server that can't be reached, or lets nobody in, is one line without the password`() async throws {
        for store in ["redis://ada:secret@127.0.0.1:1/0", "postgres://ada:secret@127.0.0.1:1/db"] {
            let result = try await Program.run(["stats", "--store", store], in: folder)
            #expect(result.code == 74)
            #expect(result.errors.hasPrefix("perennial: can't reach "), "\(result.errors)")
            #expect(result.errors.split(separator: "\n").count == 1)
            #expect(!result.errors.contains("secret"))
        }
        for (store, message) in [
            ("rediss://h", "has no TLS"), ("redis://h/x", "is no database"),
            ("redis://h?colour=red", "no option “colour”"),
            ("postgres://h?tables=red", "write logged or unlogged"), ("postgres://h?schema=A-b", "small letters"),
            ("redis://h?timeout=0", "write seconds"),
        ] {
            let result = try await Program.run(["stats", "--store", store], in: folder)
            #expect(result.code == 64, "\(store): \(result.errors)")
            #expect(result.errors.contains(message), "\(store): \(result.errors)")
        }
    }

    @Test func `other users of the machine don't see the password among the processes`() async throws {
        let server = try await redis()
        let gateway = try await serve(["--store", server.url.replacing("redis://", with: "redis://:very-secret@")])
        let arguments = try String(contentsOfFile: "/proc/\(gateway.pid)/cmdline", encoding: .utf8)
        #expect(arguments.contains("redis://:***********@127.0.0.1"))
        #expect(await gateway.stop(SIGTERM) == 0)
        await upstream.stop()
    }
}
