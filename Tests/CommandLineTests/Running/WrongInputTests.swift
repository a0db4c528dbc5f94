import Foundation
import Testing

/// Wrong input is one clear line on standard error, and a code of sysexits.
struct WrongInputTests {
    @Test(arguments: [
        (["serve"], 64, "--origin URL is missing; give it, or set PERENNIAL_ORIGIN"),
        (["serve", "--origin", "ftp://x"], 64, "doesn't begin with http:// or https://"),
        (["serve", "--origin", "https://x", "--bogus"], 64, "Unknown option '--bogus'"),
        (
            ["serve", "--origin", "https://x", "--listen", "8080"], 64,
            "--listen: “8080” is not an address to listen on"
        ),
        (["serve", "--origin", "https://x", "--timeout", "5"], 64, "--timeout: “5” is not a duration"),
        (["serve", "--origin", "https://x", "--timeout", "0s"], 64, "--timeout: it must be more than zero"),
        (["serve", "--origin", "https://x", "--memory", "64"], 64, "--memory: “64” is not a size"),
        (["serve", "--origin", "https://x", "--workers", "-1"], 64, "Missing value for '--workers <N>'"),
        (
            ["serve", "--origin", "https://x", "--threads", "0"], 64,
            "--threads: “0” is not a whole number of 1 or more"
        ),
        (["serve", "--origin", "https://x", "--freshness", "none"], 64, "write origin or policy"),
        (["serve", "--origin", "https://x", "--allow", "all"], 64, "can't be allowed"),
        (["serve", "--origin", "https://x", "--client-directives", "no"], 64, "write obey or ignore"),
        (
            ["serve", "--origin", "https://x", "--store", "redis:"], 64,
            "write sqlite:PATH, redis://…, postgres://…, mongodb://… or memory:"
        ),
        (["serve", "--origin", "https://x", "--store", "mysql://u:secret@h"], 64, "“mysql” is no engine"),
        (["serve", "--origin", "https://x", "--admin-token-file", "none"], 64, "can't read none"),
        (["serve", "--origin", "https://x", "--admin-token-file", "wrong.yaml"], 64, "and no spaces"),
        (["serve", "--origin", "https://x", "--tls-cert", "a.crt"], 64, "--tls-cert needs the certificate's key"),
        (["serve", "--origin", "https://x", "--tls-key", "a.key"], 64, "--tls-key needs the key's certificate"),
        (
            ["serve", "--origin", "https://x", "--tls-cert", "a.crt", "--tls-key", "a.key"], 66,
            "--tls-cert: can't read a.crt: No such file"
        ),
        (
            ["serve", "--origin", "https://x", "--tls-cert", "wrong.yaml", "--tls-key", "a.key"], 65,
            "--tls-cert: wrong.yaml has no certificate in PEM form"
        ),
        (
            ["serve", "--origin", "https://x", "--tls-cert", "a.crt", "--tls-cert", "b.crt", "--tls-key", "a.key"], 64,
            "--tls-cert names 2 files and --tls-key 1; give each certificate its key, in the same order"
        ),
        (["serve", "--origin", "https://x", "--tls-cert", ",", "--tls-key", "a"], 64, "“,” names no file"),
        (
            ["serve", "--origin", "https://x", "--client-ca", "a.crt"], 64,
            "--client-ca is about clients that speak TLS"
        ),
        (["serve", "--origin", "https://x", "--origin-ca", "a.crt"], 66, "--origin-ca: can't read a.crt"),
        (["serve", "--origin", "https://x", "--listen", "unix:"], 64, "--listen: “unix:” is no Unix socket"),
        (["serve", "--origin", "https://x", "--admin", "unix:/a"], 64, "--admin: “unix:/a” is a Unix socket"),
        (
            [
                "serve", "--origin", "https://x", "--store", "memory:", "--listen", "unix:wrong.yaml", "--log-level",
                "error",
            ],
            69, "can't listen on unix:wrong.yaml: there is a file that is no socket"
        ),
        (["serve", "--origin", "https://x", "--log-level", "loud"], 64, "is not a log level"),
        (
            ["serve", "--origin", "https://x", "--refresh-after", "2h", "--expire-after", "1h"], 64,
            "--expire-after (1h) is shorter than --refresh-after (2h)"
        ),
        (
            ["serve", "--origin", "https://x", "--soft-timeout", "2s", "--timeout", "1s"], 64,
            "--timeout (1s) is shorter than --soft-timeout (2s)"
        ),
        (
            ["serve", "--origin", "https://x", "--config", "none.yaml"], 66,
            "can't read the configuration file none.yaml"
        ),
        (["serve", "--origin", "https://x", "--config", "wrong.yaml"], 78, "did you mean “refresh-after”?"),
        (["worker", "--origin", "https://x", "--workers", "0"], 64, "a worker needs at least 1"),
        (["worker", "--origin", "https://x", "--store", "memory:"], 64, "name a sqlite: file"),
        (["ls"], 66, "there is no file perennial.sqlite"),
        (["ls", "--store", "memory:"], 64, "can't be seen from outside"),
        (["ls", "--limit", "0"], 64, "--limit"),
        (["inspect", "--store", "sqlite:none"], 64, "Missing expected argument '<URL>'"),
        (["mark-stale"], 64, "say which entries: an address, --tag T, --prefix URL, --match PATTERN or --all"),
        (["remove", "/a", "--tag", "t"], 64, "give one of an address, --tag, --prefix, --match and --all"),
        (["remove", "--prefix", ""], 64, "--prefix is empty; for all entries, say --all"),
        (["remove", "--all", "--admin", "127.0.0.1:1"], 64, "there is no terminal to ask on; add --yes"),
        (["remove", "--match", "*", "--admin", "127.0.0.1:1"], 64, "there is no terminal to ask on; add --yes"),
        (["mark-stale", "/a", "--admin", "127.0.0.1:1"], 69, "no gateway answers at http://127.0.0.1:1"),
        (
            ["mark-stale", "/a", "--admin", "127.0.0.1:1", "--store", "sqlite:a"], 64,
            "give --admin or --store, not both"
        ),
        (["jobs", "replay"], 64, "say which jobs"),
        (["jobs", "replay", "1", "--all"], 64, "say which jobs"),
        (["copy", "--from", "sqlite:none", "--to", "sqlite:new"], 66, "--from: there is no file none"),
        (["copy", "--from", "sqlite:a", "--to", "sqlite:a"], 64, "are the same store"),
        (["copy", "--from", "sqlite:a", "--to", "memory:"], 64, "is gone with this command"),
        (["copy", "--from", "nowhere", "--to", "sqlite:a"], 64, "--from: “nowhere” is not a place"),
        (["origin", "ls", "--admin", "127.0.0.1:1"], 69, "no gateway answers at http://127.0.0.1:1; start it"),
        (["origin", "reopen", "--admin", "none"], 64, "--admin names no address; give the running gateway's"),
        (["origin", "reopen", "--admin", "http://8081"], 64, "--admin: “8081” is not an address"),
        (["origin", "ls", "--admin-token-file", "none"], 64, "can't read none"),
        (["nonsense"], 64, "there is no command “nonsense” of perennial; see perennial --help"),
        (["inspct", "/a"], 64, "did you mean “inspect”?"),
        (["serve", "--origin", "https://x", "--store", "redis://h?prefx=a"], 64, "did you mean “prefix”?"),
        (["ls", "--store", "postgres://h/d?shema=a"], 64, "did you mean “schema”?"),
        (["ls", "--store", "postgres://h/d?sslmod=require"], 64, "did you mean “sslmode”?"),
        (["ls", "--store", "mongodb://h/d?replicaset=r&tlsCAfiel=x"], 64, "did you mean “tlscafile”?"),
        (["ls", "--store", "sqlite:a.sqlite?mode=ro"], 64, "a file has no options"),
        (["ls", "--queue", "celery+redis://h?ques=a"], 64, "did you mean “queue”?"),
        (["copy", "--from", "sqlite:a", "--to", "redis://u:secret@h?nonsense=1"], 64, "there are prefix, timeout"),
    ])
    func `wrong input`(arguments: [String], code: Int32, message: String) async throws {
        let folder = try Folder()
        try "refesh-after: 1h\n".write(toFile: folder.path("wrong.yaml"), atomically: true, encoding: .utf8)
        let result = try await Program.run(arguments, in: folder)
        #expect(result.code == code)
        #expect(result.errors.hasPrefix("perennial: "), "\(result.errors)")
        #expect(result.errors.contains(message), "\(result.errors)")
        #expect(result.errors.hasSuffix("\n") && result.errors.count { $0 == "\n" } == 1, "\(result.errors)")
        #expect(result.output == "")
        #expect(!result.errors.contains("secret"))
    }

    @Test(arguments: [
        (["ls", "--store", "sqlite:notes.txt"], "--store"),
        (["serve", "--origin", "https://x", "--store", "sqlite:notes.txt", "--log-level", "error"], "--store"),
        (["worker", "--origin", "https://x", "--store", "sqlite:notes.txt", "--log-level", "error"], "--store"),
        (["copy", "--from", "sqlite:empty", "--to", "sqlite:notes.txt"], "--to"),
        (["copy", "--from", "sqlite:notes.txt", "--to", "sqlite:new"], "--from"),
    ])
    func `a file that is no store is told, and left as it is`(arguments: [String], option: String) async throws {
        let folder = try Folder()
        try "dear diary\n".write(toFile: folder.path("notes.txt"), atomically: true, encoding: .utf8)
        try "".write(toFile: folder.path("empty"), atomically: true, encoding: .utf8)
        let result = try await Program.run(arguments, in: folder)
        #expect(result.code == 65)
        #expect(result.errors.hasPrefix("perennial: \(option): notes.txt is not Perennial's"), "\(result.errors)")
        #expect(result.errors.count { $0 == "\n" } == 1, "\(result.errors)")
        #expect(try String(contentsOfFile: folder.path("notes.txt"), encoding: .utf8) == "dear diary\n")
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: folder.path).contains { $0.hasPrefix("notes.txt.") }
                == false)
    }

    @Test func `a store that can't be made is told`() async throws {
        let folder = try Folder()
        try "".write(toFile: folder.path("file"), atomically: true, encoding: .utf8)
        let result = try await Program.run(
            ["serve", "--origin", "https://x", "--store", "sqlite:file/cache.sqlite", "--log-level", "error"],
            in: folder)
        #expect(result.code == 73)
        #expect(result.errors.hasPrefix("perennial: --store: can't open file/cache.sqlite: "), "\(result.errors)")
        #expect(result.errors.count { $0 == "\n" } == 1, "\(result.errors)")
    }

    @Test func `a wrong variable is wrong configuration`() async throws {
        let folder = try Folder()
        let result = try await Program.run(
            ["serve", "--origin", "https://x"],
            environment: ["PERENNIAL_REFRESH_AFTER": "2h", "PERENNIAL_EXPIRE_AFTER": "1h"], in: folder)
        #expect(result.code == 78)
        #expect(
            result.errors.hasPrefix(
                "perennial: PERENNIAL_EXPIRE_AFTER (1h) is shorter than PERENNIAL_REFRESH_AFTER (2h)"))
    }

    @Test func `help shows the defaults, and is no error`() async throws {
        let folder = try Folder()
        let result = try await Program.run(["serve", "--help"], in: folder)
        #expect(result.code == 0)
        #expect(result.errors == "")
        for fallback in ["127.0.0.1:8080", "127.0.0.1:8081", "sqlite:perennial.sqlite", "64MB", "30s", "10GB"] {
            #expect(
                result.output.contains("(default: \(fallback))") || result.output.contains("\(fallback))"),
                "\(fallback)")
        }
        #expect(try await Program.run(["--version"], in: folder).output.first?.isNumber == true)
        #expect(try await Program.run(["--help"], in: folder).code == 0)
    }
}
