import Foundation
import NIOHTTP1
import TestServers
import Testing

/// The program with its jobs in Celery.
@Suite(.serialized) struct CeleryTests {
    let folder: Folder
    let upstream: Upstream
    let server: RedisServer
    private static let token = "a-token-for-tests-0123456789"

    init() async throws {
        folder = try Folder()
        upstream = try await Upstream()
        server = try await aside { try RedisServer() }
        try Self.token.write(toFile: folder.path("token"), atomically: true, encoding: .utf8)
    }

    private var engines: [String] { ["--store", server.url, "--queue", "celery+\(server.url)"] }

    private func serve() async throws -> RunningProgram {
        try await RunningProgram(
            [
                "serve", "--origin", upstream.url, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
                "--refresh-after", "1h", "--expire-after", "7d", "--workers", "0", "--admin-token-file", "token",
            ] + engines, in: folder)
    }

    /// An entry that is stale, and a read that has queued its refresh.
    private func makeStale(_ gateway: RunningProgram, _ path: String = "/a") async throws {
        #expect(try await get("\(gateway.addresses[1])\(path)").body == "answer 1")
        let marked = try await Program.run(["mark-stale", path] + engines, in: folder)
        #expect(marked.output == "marked 1 entry stale\n", "\(marked.errors)")
        try await eventually {
            try await get("\(gateway.addresses[1])\(path)").headers.first(name: "Cache-Status")?.contains("ttl=-")
                == true
        }
    }

    @Test func `a worker in Python refreshes what the gateway queues, and hands it over`() async throws {
        let gateway = try await serve()
        try await makeStale(gateway)
        try await eventually {
            try await Program.run(["jobs", "--json"] + engines, in: folder).outputLines.count == 1
        }
        let environment = ["BROKER": server.url, "PERENNIAL": gateway.addresses[2], "TOKEN": Self.token]
        let worker = try await aside {
            try CeleryWorker(Celery.file("Examples/celery/worker.py"), environment: environment)
        }
        do {
            try await eventually { try await get("\(gateway.addresses[1])/a").body == "answer 2" }
        } catch {
            Issue.record("\(error); the worker says: \(worker.output)")
        }
        #expect(upstream.asked == 2)
        try await eventually { try await Program.run(["jobs", "--json"] + engines, in: folder).outputLines.isEmpty }
        let entry = try await get("\(gateway.addresses[1])/a")
        #expect(entry.headers.first(name: "ETag") == "\"2\"")

        // And once more: what Celery has done blocks nothing.
        _ = try await Program.run(["mark-stale", "/a"] + engines, in: folder)
        try await eventually { try await get("\(gateway.addresses[1])/a").body == "answer 3" }
        #expect(await gateway.stop(SIGTERM) == 0)
        try await aside { worker.kill() }
        await upstream.stop()
    }

    @Test(arguments: [["--refresh-after", "1h", "--expire-after", "7d"], ["--freshness", "origin"]])
    func `what is gone at the origin is gone for readers, and what is not wanted is told in the worker's log`(
        limits: [String]
    ) async throws {
        let gateway = try await RunningProgram(
            [
                "serve", "--origin", upstream.url, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
                "--workers", "0", "--admin-token-file", "token",
            ] + limits + engines, in: folder)
        let url = gateway.addresses[1]
        if limits.contains("origin") {
            // The origin's own limits allow no stale answers: the job is sent by hand.
            #expect(try await get("\(url)/once").body == "answer 1")
        } else {
            try await makeStale(gateway, "/once")
        }
        let environment = ["BROKER": server.url, "PERENNIAL": gateway.addresses[2], "TOKEN": Self.token]
        let worker = try await aside {
            try CeleryWorker(Celery.file("Examples/celery/worker.py"), environment: environment)
        }
        let (key, broker) = ("\(upstream.url)/once", server.url)
        func send(_ keywords: String) async throws {
            let program = """
                import json, sys
                from celery import Celery
                task = Celery(broker=sys.argv[1]).send_task
                task("perennial.refresh", args=["http", sys.argv[2]], kwargs=json.loads(sys.argv[3]))
                """
            try await aside { try Celery.python(["-c", program, broker, key, keywords], environment: [:]) }
        }
        if limits.contains("origin") { try await send("{}") }
        do {
            try await eventually { try await get("\(url)/once").status == 404 }
            try await eventually { worker.output.contains("\(key): gone (404)") }
            #expect(!worker.output.contains("Retry in"))
            try await send(#"{"generation": 1}"#)
            try await eventually { worker.output.contains("\(key): not wanted") || limits.contains("origin") }
        } catch {
            Issue.record("\(error); the worker says: \(worker.output)")
        }
        #expect(await gateway.stop(SIGTERM) == 0)
        try await aside { worker.kill() }
        await upstream.stop()
    }

    @Test func `a worker of Perennial's does the same`() async throws {
        let gateway = try await serve()
        try await makeStale(gateway)
        let worker = try await RunningProgram(
            ["worker", "--origin", upstream.url, "--refresh-after", "1h", "--expire-after", "7d"] + engines, in: folder)
        try await eventually { try await get("\(gateway.addresses[1])/a").body == "answer 2" }
        #expect(upstream.asked == 2)
        #expect(await worker.stop(SIGTERM) == 0)
        #expect(await gateway.stop(SIGTERM) == 0)
        await upstream.stop()
    }

    @Test func `malformed messages are seen among the dead letters`() async throws {
        let worker = try await RunningProgram(
            ["worker", "--origin", upstream.url, "--refresh-after", "1h", "--expire-after", "7d"] + engines, in: folder)
        let server = server
        try await aside {
            try server.command(["LPUSH", "celery", #"{"headers": {"task": "perennial.refresh"}, "properties": {}}"#])
        }
        try await eventually {
            try await Program.run(["jobs", "--dead"] + engines, in: folder).output
                .contains("a malformed message: the header id is missing")
        }
        let replay = try await Program.run(["jobs", "replay", "--all"] + engines, in: folder)
        #expect(replay.output == "replayed 0 jobs; 1 can't be replayed, since their messages make no sense\n")
        #expect(await worker.stop(SIGTERM) == 0)
        await upstream.stop()
    }

    @Test func `Celery's queue is no store`() async throws {
        let result = try await Program.run(["stats", "--store", "celery+redis://:secret@h"], in: folder)
        #expect(result.code == 64)
        #expect(result.errors.contains("name it as the queue"))
        #expect(!result.errors.contains("secret"))
        let other = try await Program.run(
            ["stats", "--store", "memory:", "--queue", "celery+redis://:secret@h?colour=red"], in: folder)
        #expect(other.code == 64)
        #expect(!other.errors.contains("secret"))
        await upstream.stop()
    }
}
