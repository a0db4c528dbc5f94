import Foundation
import NIOHTTP1
import Perennial
import PerennialConsole
import Testing

/// The gateway as a process.
struct ServeTests {
    let folder: Folder
    let upstream: Upstream

    init() async throws {
        folder = try Folder()
        upstream = try await Upstream()
    }

    @Test func `it says where it serves, answers from what it saved, and stops on a signal`() async throws {
        let gateway = try await serve()
        #expect(gateway.readyLine.hasPrefix("perennial: serving \(upstream.url) on http://127.0.0.1:"))
        #expect(gateway.readyLine.contains(", admin on http://127.0.0.1:"))
        let url = gateway.addresses[1]
        #expect(try await get("\(url)/a").body == "answer 1")
        let second = try await get("\(url)/a")
        #expect(second.body == "answer 1")
        #expect(second.headers.first(name: "Cache-Status")?.hasPrefix("perennial; hit") == true)
        #expect(upstream.asked == 1)
        #expect(await gateway.stop(SIGTERM) == 0)
        #expect(await (try serve()).stop(SIGINT) == 0)
        await upstream.stop()
    }

    @Test func `killed with -9 and started again, it answers from the file while the origin is gone`() async throws {
        let first = try await serve()
        #expect(try await get("\(first.addresses[1])/a").body == "answer 1")
        #expect(await first.stop(SIGKILL) == SIGKILL)
        await upstream.stop()
        let second = try await serve()
        let answer = try await get("\(second.addresses[1])/a")
        #expect(answer.status == 200)
        #expect(answer.body == "answer 1")
        #expect(try await get("\(second.addresses[1])/b").status == 502)
        #expect(await second.stop(SIGTERM) == 0)
    }

    @Test func `the admin address and the command line see and do the same`() async throws {
        let gateway = try await serve()
        let (url, admin) = (gateway.addresses[1], gateway.addresses[2])
        _ = try await get("\(url)/a")
        _ = try await get("\(url)/b")

        let listed = try await perennial("ls", "--json").outputLines.map { try decode(EntryReport.self, String($0)) }
        #expect(listed.map(\.url) == ["\(upstream.url)/a", "\(upstream.url)/b"])
        let paged = try decode(Page<EntryReport>.self, try await get("\(admin)/api/entries").body)
        #expect(paged.items.map(\.url) == listed.map(\.url))

        let detail = try decode([EntryDetail].self, try await perennial("inspect", "/a", "--json").output)[0]
        #expect(detail.entry.state == .fresh)
        #expect(detail.response?.status == 200)
        #expect(
            try decode([EntryDetail].self, try await get("\(admin)/api/entry?url=/a").body)[0].response
                == detail.response)

        // The command line removes; the running gateway, whose memory has the entry, asks again.
        #expect(try await perennial("remove", "/a", "--json").output == #"{"removed":1}"# + "\n")
        try await eventually { try await get("\(url)/a").body == "answer 3" }
        let post: HTTPHeaders = ["Content-Type": "application/json"]
        let removed = try await get(
            "\(admin)/api/remove", method: .POST, headers: post, body: #"{"url": "\#(upstream.url)/b"}"#)
        #expect(removed.body == #"{"removed":1}"# + "\n")

        #expect(try await get("\(admin)/healthz").status == 200)
        #expect(try await get("\(admin)/readyz").status == 200)
        let metrics = try await get("\(admin)/metrics").body
        for line in [
            "perennial_store_entries 1", "perennial_store_up 1", "# TYPE perennial_gateway_answers_total counter",
        ] {
            #expect(metrics.contains("\n\(line)\n") || metrics.hasPrefix("\(line)\n"), "\(line)")
        }
        #expect(await gateway.stop(SIGTERM) == 0)
        await upstream.stop()
    }

    @Test func `a stale entry is refreshed by a worker in another process`() async throws {
        let limits = ["--refresh-after", "1h", "--expire-after", "7d"]
        let gateway = try await serve(["--workers", "0"] + limits)
        let url = gateway.addresses[1]
        #expect(try await get("\(url)/a").body == "answer 1")
        #expect(try await perennial("mark-stale", "/a").output == "marked 1 entry stale\n")
        // By the name that it had before.
        let older = try await perennial("expire", "/a")
        #expect(older.output == "marked 1 entry stale\n" && older.errors.contains("mark-stale"))
        try await eventually {
            let answer = try await get("\(url)/a")
            #expect(answer.body == "answer 1")
            return try await perennial("jobs", "--json").outputLines.count == 1
        }
        #expect(upstream.asked == 1)
        let worker = try await RunningProgram(
            ["worker", "--origin", upstream.url, "--store", "sqlite:cache.sqlite"] + limits, in: folder)
        #expect(worker.readyLine == "perennial: refreshing \(upstream.url) with 4 workers from sqlite:cache.sqlite")
        try await eventually { try await get("\(url)/a").body == "answer 2" }
        #expect(upstream.asked == 2)
        #expect(await worker.stop(SIGTERM) == 0)
        #expect(await gateway.stop(SIGTERM) == 0)
        await upstream.stop()
    }

    @Test func `what is set in the environment and the file counts`() async throws {
        try "admin: none\nstore: sqlite:cache.sqlite\nlisten: 127.0.0.1:1\n".write(
            toFile: folder.path("p.yaml"), atomically: true, encoding: .utf8)
        let gateway = try await RunningProgram(
            ["serve", "--config", "p.yaml"],
            environment: ["PERENNIAL_ORIGIN": upstream.url, "PERENNIAL_LISTEN": "127.0.0.1:0"], in: folder)
        #expect(gateway.addresses.count == 2)
        #expect(!gateway.readyLine.contains("admin"))
        #expect(await gateway.stop(SIGTERM) == 0)
        await upstream.stop()
    }

    @Test func `with a certificate it serves https, and says so`() async throws {
        let openssl = Process()
        openssl.executableURL = URL(filePath: "/usr/bin/env")
        openssl.arguments = [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
            "2",
            "-subj", "/CN=localhost", "-keyout", folder.path("key.pem"), "-out", folder.path("cert.pem"),
        ]
        openssl.standardError = FileHandle.nullDevice
        try openssl.run()
        openssl.waitUntilExit()
        let gateway = try await serve(["--tls-cert", folder.path("cert.pem"), "--tls-key", folder.path("key.pem")])
        #expect(gateway.addresses[1].hasPrefix("https://127.0.0.1:"))
        // The same in the file, as lists, and with clients' certificates.
        try """
        origin: \(upstream.url)
        tls-cert: [cert.pem, cert.pem]
        tls-key: [key.pem, key.pem]
        client-ca: cert.pem
        """.write(toFile: folder.path("tls.yaml"), atomically: true, encoding: .utf8)
        let checked = try await Program.run(["check", "tls.yaml"], in: folder)
        #expect(checked.code == 0)
        #expect(
            checked.output.contains("certificate cert.pem for no host, and for clients that ask for another host\n"))
        #expect(checked.output.contains("clients must show a certificate of --client-ca\n"))
        let mixed = try await Program.run(
            ["serve", "--origin", upstream.url, "--tls-cert", "cert.pem", "--tls-key", "cert.pem"], in: folder)
        #expect(mixed.code == 65)
        #expect(mixed.errors.hasPrefix("perennial: --tls-key: cert.pem has no private key in PEM form"))
        #expect(await gateway.stop(SIGTERM) == 0)
        await upstream.stop()
    }

    @Test func `a Unix socket may be named, and is removed at the end`() async throws {
        let gateway = try await RunningProgram(
            ["serve", "--origin", upstream.url, "--listen", "unix:p.sock", "--admin", "none", "--store", "memory:"],
            in: folder)
        #expect(gateway.readyLine == "perennial: serving \(upstream.url) on unix:p.sock")
        #expect(FileManager.default.fileExists(atPath: folder.path("p.sock")))
        #expect(await gateway.stop(SIGTERM) == 0)
        #expect(!FileManager.default.fileExists(atPath: folder.path("p.sock")))
        await upstream.stop()
    }

    @Test func `an address that is taken is one line and a code`() async throws {
        let gateway = try await serve()
        let taken = String(gateway.addresses[1].dropFirst("http://".count))
        for option in ["--listen", "--admin"] {
            let other = option == "--listen" ? "--admin" : "--listen"
            let result = try await Program.run(
                [
                    "serve", "--origin", upstream.url, "--store", "memory:", option, taken, other, "127.0.0.1:0",
                    "--log-level", "error",
                ], in: folder)
            #expect(result.code == 69)
            #expect(
                result.errors
                    == "perennial: can't listen on \(taken): it is in use; stop what listens there, or choose another with \(option)\n"
            )
        }
        #expect(await gateway.stop(SIGTERM) == 0)
        await upstream.stop()
    }

    @Test func `what is not there is said to be so`() async throws {
        let gateway = try await serve()
        _ = try await get("\(gateway.addresses[1])/a")
        for command in ["inspect", "mark-stale", "remove"] {
            let result = try await perennial(command, "/nothing")
            #expect(result.code == 66)
            #expect(result.errors == "perennial: nothing is saved for \(upstream.url)/nothing\n")
        }
        // The gateway's own address is no address of an entry.
        let own = try await perennial("inspect", "\(gateway.addresses[1])/a")
        #expect(own.code == 66)
        #expect(own.errors.contains("the origin, \(upstream.url), not at the gateway: try /a\n"), "\(own.errors)")
        let replay = try await perennial("jobs", "replay", "12345")
        #expect(replay.code == 66)
        #expect(try await perennial("remove", "--tag", "none").output == "removed 0 entries\n")
        #expect(await gateway.stop(SIGTERM) == 0)
        await upstream.stop()
    }

    @Test func `everything is removed when it is asked about or said to be meant, in the store or by the gateway`()
        async throws
    {
        let gateway = try await serve()
        let (url, admin) = (gateway.addresses[1], gateway.addresses[2])
        for path in ["/a", "/b/1", "/b/2"] { _ = try await get(url + path) }
        #expect(try await perennial("remove", "--all").code == 64)
        let store = ["--store", "sqlite:cache.sqlite"]
        let no = try await Program.runOnTerminal(["remove", "--all"] + store, answer: "n\n", in: folder)
        #expect(no.code == 1)
        #expect(no.output.contains("remove all 3 entries of the store? [y/N]"), "\(no.output)")
        #expect(no.output.contains("nothing was changed"))
        #expect(try await perennial("mark-stale", "--all", "--yes").output == "marked 3 entries stale\n")
        #expect(try await perennial("remove", "--prefix", "/b/").output == "removed 2 entries\n")
        try await eventually { try await get("\(url)/b/1").body != "answer 2" }
        let yes = try await Program.runOnTerminal(["remove", "--all"] + store, answer: "y\n", in: folder)
        #expect(yes.code == 0)
        #expect(yes.output.contains("removed 2 entries"), "\(yes.output)")
        // The gateway knows, and its own store needs no name.
        try await eventually { try await get("\(url)/a").body != "answer 1" }
        for path in ["/c/1", "/c/2"] { _ = try await get(url + path) }
        #expect(
            try await Program.run(["remove", "--match", "/c/*1", "--admin", admin, "--json"], in: folder).output
                == #"{"removed":1}"# + "\n")
        #expect(
            try await Program.run(["mark-stale", "--all", "--yes", "--admin", admin], in: folder).output
                == "marked 2 entries stale\n")
        #expect(await gateway.stop(SIGTERM) == 0)
        await upstream.stop()
    }

    @Test func `a cache is copied to another store, and a copy that was begun is taken up again`() async throws {
        let gateway = try await serve()
        for number in 0..<30 { _ = try await get("\(gateway.addresses[1])/\(number)") }
        #expect(await gateway.stop(SIGTERM) == 0)
        let copy = ["copy", "--from", "sqlite:cache.sqlite", "--to", "sqlite:other.sqlite"]
        let first = try await Program.run(copy + ["--json"], in: folder)
        #expect(first.code == 0, "\(first.errors)")
        #expect(try decode(StoreCopy.Progress.self, first.output).copied == 30)
        let second = try await Program.run(copy, in: folder)
        #expect(second.output.hasPrefix("copied 0 entries"))
        #expect(second.output.contains("30 were there already"))
        let other = try await serve(["--store", "sqlite:other.sqlite"])
        let asked = upstream.asked
        #expect(try await get("\(other.addresses[1])/7").headers.first(name: "Cache-Status")?.contains("; hit") == true)
        #expect(upstream.asked == asked)
        #expect(await other.stop(SIGTERM) == 0)
        await upstream.stop()
    }

    @Test func `an origin that says nothing of freshness is noticed once, with what to do`() async throws {
        let word = "answers come without freshness"
        let gateway = try await serve()
        for path in ["/silent/1?secret", "/silent/2", "/silent/1?secret"] {
            _ = try await get("\(gateway.addresses[1])\(path)")
        }
        #expect(gateway.errors.split(separator: "\n").count { $0.contains(word) } == 1, "\(gateway.errors)")
        #expect(gateway.errors.contains("--refresh-after 1h --expire-after 7d"))
        #expect(gateway.errors.contains("\(upstream.url)/silent/1") && !gateway.errors.contains("secret"))
        #expect(await gateway.stop(SIGTERM) == 0)
        // Where it says something, and where the operator does, there is nothing to notice.
        for (options, path) in [([], "/a"), (["--refresh-after", "1h"], "/silent/3"), ([], "/broken")] {
            let gateway = try await serve(options)
            _ = try await get(gateway.addresses[1] + path)
            #expect(!gateway.errors.contains(word), "\(gateway.errors)")
            #expect(await gateway.stop(SIGTERM) == 0)
        }
        await upstream.stop()
    }

    @Test func `who looks into a store leaves nothing behind and changes nothing`() async throws {
        let gateway = try await serve()
        for path in ["/a", "/b"] { _ = try await get("\(gateway.addresses[1])\(path)") }
        #expect(await gateway.stop(SIGTERM) == 0)
        let files = FileManager.default
        let file = folder.path("cache.sqlite")
        func everything() throws -> [String] {
            try files.contentsOfDirectory(atPath: folder.path).filter { $0.contains("sqlite") }.sorted()
        }
        #expect(try everything() == ["cache.sqlite"])
        let before = try Data(contentsOf: URL(filePath: file))
        for command in [["ls"], ["inspect", "/a"], ["stats"], ["jobs"], ["jobs", "--dead"]] {
            let result = try await Program.run(command + ["--store", "sqlite:cache.sqlite"], in: folder)
            #expect(result.code == 0, "\(command): \(result.errors)")
            #expect(try everything() == ["cache.sqlite"], "\(command)")
        }
        try "origin: \(upstream.url)\nstore: sqlite:cache.sqlite\n"
            .write(toFile: folder.path("gateway.yaml"), atomically: true, encoding: .utf8)
        let check = try await Program.run(["check", "gateway.yaml"], in: folder)
        #expect(check.output.contains("sqlite:cache.sqlite, 2 entries"), "\(check.output)\(check.errors)")
        #expect(try everything() == ["cache.sqlite"])
        #expect(try Data(contentsOf: URL(filePath: file)) == before)
        // What is changed is changed in the file alone.
        #expect(try await perennial("remove", "/a").output == "removed 1 entry\n")
        #expect(try everything() == ["cache.sqlite"])
        await upstream.stop()
    }

    @Test func `what a killed process of the same number left behind is nothing to complain of`() async throws {
        let process = Program.make([], environment: [:], in: folder)
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        // The file in which libmongoc keeps its counters.
        process.arguments = ["-c", ": > /dev/shm/mongoc-$$ && exec '\(Program.path)' --version"]
        let errors = folder.path("errors")
        process.standardOutput = FileHandle.nullDevice
        process.standardError = try Program.newFile(errors)
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            process.terminationHandler = { _ in continuation.resume() }
            do { try process.run() } catch { continuation.resume(throwing: error) }
        }
        #expect(process.terminationStatus == 0)
        #expect(try String(contentsOfFile: errors, encoding: .utf8) == "")
        await upstream.stop()
    }

    @Test func `rows are cut to a terminal, and whole in a pipe`() async throws {
        let gateway = try await serve()
        let long = "/" + String(repeating: "long", count: 60)
        _ = try await get("\(gateway.addresses[1])\(long)")
        #expect(await gateway.stop(SIGTERM) == 0)
        #expect(try await perennial("ls").output.contains(long))
        let list = ["ls", "--store", "sqlite:cache.sqlite"]
        let shown = try await Program.runOnTerminal(list, columns: 60, in: folder)
        #expect(shown.outputLines.count == 2, "\(shown.output)")
        #expect(
            shown.outputLines.last?.count == 60 && shown.outputLines.last?.hasSuffix("…") == true, "\(shown.output)")
        let plain = try await Program.runOnTerminal(list, columns: 60, environment: ["LC_ALL": "C"], in: folder)
        #expect(plain.outputLines.last?.hasSuffix(">") == true, "\(plain.output)")
        await upstream.stop()
    }

    @Test func `a terminal with no more than ASCII gets no curly quotes, but for what is data`() async throws {
        for locale in ["C", "POSIX"] {
            let result = try await Program.run(["statz"], environment: ["LC_ALL": locale], in: folder)
            #expect(result.errors.contains("there is no command \"statz\""))
            let help = try await Program.run(["serve", "--help"], environment: ["LC_ALL": locale], in: folder)
            #expect(help.output.utf8.allSatisfy { $0 < 0x80 })
        }
        #expect(try await Program.run(["jobs", "--help"], in: folder).output.contains("--dead"))
        await upstream.stop()
    }

    @Test func `people get tables`() async throws {
        let gateway = try await serve()
        _ = try await get("\(gateway.addresses[1])/a")
        let list = try await perennial("ls").outputLines
        #expect(list.count == 2)
        #expect(list[0].hasPrefix("STATE"))
        #expect(list[1].hasPrefix("fresh") && list[1].hasSuffix("\(upstream.url)/a"))
        let inspected = try await perennial("inspect", "/a").output
        for text in ["address", "state", "age", "etag", "HTTP 200", "Cache-Control: max-age=600"] {
            #expect(inspected.localizedCaseInsensitiveContains(text), "\(text)")
        }
        #expect(try await perennial("stats").outputLines[0].hasPrefix("entries"))
        #expect(try await perennial("jobs").output.hasPrefix("ID"))
        #expect(await gateway.stop(SIGTERM) == 0)
        await upstream.stop()
    }

    @Test func `another program may hand over what it asked the origin for, if it has the token`() async throws {
        let token = "0123456789abcdef0123"
        try Data("\(token)\n".utf8).write(to: URL(filePath: folder.path("token")))
        let gateway = try await serve(["--admin-token-file", folder.path("token")])
        let (url, admin) = (gateway.addresses[1], gateway.addresses[2])
        #expect(try await get("\(url)/a").body == "answer 1")
        let key = "\(upstream.url)/a".addingPercentEncoding(withAllowedCharacters: .alphanumerics)!
        func put(_ query: String, _ body: String, token: String?) async throws -> (status: Int, body: String) {
            var headers: HTTPHeaders = ["Content-Type": "text/plain", "Cache-Control": "max-age=60", "ETag": "\"9\""]
            if let token { headers.add(name: "Authorization", value: "Bearer \(token)") }
            let answer = try await get(
                "\(admin)/api/entries/\(key)\(query)", method: .PUT, headers: headers, body: body)
            return (answer.status, answer.body)
        }
        for wrong in [nil, "", "\(token)x", "another token"] {
            #expect(try await put("", "never", token: wrong).status == 401)
        }
        #expect(try await get("\(admin)/api/stats").status == 401)
        #expect(try await get("\(admin)/healthz").status == 200)

        let saved = try await put("", "handed over", token: token)
        #expect(saved.status == 200)
        let generation = try #require(try decode([String: Int].self, saved.body)["generation"])
        let answer = try await get("\(url)/a")
        #expect(answer.body == "handed over")
        #expect(answer.headers.first(name: "ETag") == "\"9\"")
        #expect(answer.headers.first(name: "Cache-Status")?.hasPrefix("perennial; hit") == true)
        #expect(upstream.asked == 1)

        // Behind a fence it is saved while nothing was written since, and once.
        #expect(try await put("?fence=\(generation)", "second", token: token).status == 200)
        #expect(try await put("?fence=\(generation)", "third", token: token).status == 412)
        #expect(try await get("\(url)/a").body == "second")
        // A failure replaces nothing, and neither does what may not be kept or makes no sense.
        for query in ["?status=503", "?status=99", "?fence=old", "?status=304"] {
            #expect(try await put(query, "never", token: token).status == 400, "\(query)")
        }
        #expect(try await get("\(url)/a").body == "second")
        #expect(await gateway.stop(SIGTERM) == 0)
        await upstream.stop()
    }

    @Test func `without a token nothing can be handed over`() async throws {
        let gateway = try await serve()
        let answer = try await get("\(gateway.addresses[2])/api/entries/x", method: .PUT, headers: [:], body: "x")
        #expect(answer.status == 403)
        #expect(answer.body.contains("--admin-token-file"))
        #expect(await gateway.stop(SIGTERM) == 0)
        await upstream.stop()
    }

    private func serve(_ more: [String] = []) async throws -> RunningProgram {
        try await RunningProgram(
            [
                "serve", "--origin", upstream.url, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--store",
                "sqlite:cache.sqlite",
            ] + more, in: folder)
    }

    private func perennial(_ arguments: String...) async throws -> Program.Result {
        try await Program.run(arguments + ["--store", "sqlite:cache.sqlite"], in: folder)
    }

    private func decode<Value: Decodable>(_ type: Value.Type, _ text: String) throws -> Value {
        try JSONDecoder().decode(type, from: Data(text.utf8))
    }
}

/// Asks again and again until it is so: for what another process does in its own time.
func eventually(_ condition: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(30)
    while try await !condition() {
        try #require(ContinuousClock.now < deadline, "it did not come about within 30 s")
        try await Task.sleep(for: .milliseconds(20))
    }
}
