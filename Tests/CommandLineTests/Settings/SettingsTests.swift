import ArgumentParser
import Configuration
import Foundation
import PerennialGateway
import PerennialHTTP
import Testing

@testable import perennial

/// Which place wins, and what is wrong in which place.
struct SettingsTests {
    @Test func `the command line comes before the environment, that before the file, that before the default`() throws {
        try withFile("timeout: 4s\nstore-limit: 2GB\nmemory: 1MB\n") { path in
            let settings = try Settings(
                config: path, environment: ["PERENNIAL_TIMEOUT": "3s", "PERENNIAL_STORE_LIMIT": "3GB"])
            #expect(try settings.value(Known.timeout, "2s") == .seconds(2))
            #expect(try settings.value(Known.timeout, nil) == .seconds(3))
            #expect(try settings.value(Known.storeLimit, nil) == 3_000_000_000)
            #expect(try settings.value(Known.memory, nil) == 1_000_000)
            #expect(try settings.value(Known.workers, nil) == 4)
        }
    }

    @Test func `the environment can name the file, and the command line another`() throws {
        try withFile("timeout: 4s\n") { first in
            try withFile("timeout: 5s\n") { second in
                let environment = ["PERENNIAL_CONFIG": first]
                let byEnvironment = try Settings(config: nil, environment: environment)
                #expect(try byEnvironment.value(Known.timeout, nil) == .seconds(4))
                let byCommandLine = try Settings(config: second, environment: environment)
                #expect(try byCommandLine.value(Known.timeout, nil) == .seconds(5))
            }
        }
    }

    @Test func `what clients and origins are told is read, and a wrong word is told`() throws {
        let settings = try Settings(config: nil, environment: [:])
        #expect(try settings.value(Known.host, nil) == .origin)
        #expect(try settings.value(Known.host, "client") == .client)
        #expect(try settings.value(Known.via, "cache-1") == ViaRule(name: "cache-1"))
        #expect(try settings.value(Known.via, "off") == .off)
        #expect(try settings.value(Known.forwarded, "rfc") == .rfc)
        #expect(try settings.find(Known.purgeFrom, nil)?.value == nil)
        #expect(
            try settings.find(Known.purgeFrom, "::1, 10.0.0.0/8")?.value.map(\.description) == ["::1", "10.0.0.0/8"])
        let wrong: [(() throws -> Void, String)] = [
            ({ _ = try settings.find(Known.host, "a b") }, "write origin, client, or a host like"),
            ({ _ = try settings.find(Known.via, "a b") }, "write on, off, or a name"),
            ({ _ = try settings.find(Known.forwarded, "yes") }, "write off, x (X-Forwarded-*) or rfc"),
            ({ _ = try settings.find(Known.purgeFrom, "10.0.0.1/8") }, "“10.0.0.1/8” is neither"),
        ]
        for (read, hint) in wrong {
            let failure = #expect(throws: Failure.self) { try read() }
            #expect(failure?.code == .usage)
            #expect(failure?.description.contains(hint) == true, "\(failure?.description ?? "")")
        }
    }

    @Test func `an empty variable is as good as none`() throws {
        let settings = try Settings(config: nil, environment: ["PERENNIAL_TIMEOUT": ""])
        #expect(try settings.value(Known.timeout, nil) == .seconds(30))
    }

    @Test func `a wrong value is told by the place it stands in, and ends with that place's code`() throws {
        try withFile("timeout: soon\n") { path in
            let file = try Settings(config: path, environment: [:])
            let inFile = #expect(throws: Failure.self) { try file.value(Known.timeout, nil) }
            #expect(inFile?.code == .configuration)
            #expect(inFile?.description.hasPrefix("“timeout” in \(path):1: “soon” is not a duration") == true)
        }
        let environment = try Settings(config: nil, environment: ["PERENNIAL_TIMEOUT": "soon"])
        let inEnvironment = #expect(throws: Failure.self) { try environment.value(Known.timeout, nil) }
        #expect(inEnvironment?.code == .configuration)
        #expect(inEnvironment?.description.hasPrefix("PERENNIAL_TIMEOUT: ") == true)
        let onLine = #expect(throws: Failure.self) { try environment.value(Known.timeout, "5") }
        #expect(onLine?.code == .usage)
        #expect(onLine?.description.hasPrefix("--timeout: ") == true)
    }

    @Test func `an unknown key is an error with the line, the key and the nearest known one`() {
        #expect(
            throws: Failure(.configuration, "unknown key “refesh-after” in p.yaml:2; did you mean “refresh-after”?")
        ) {
            try read("origin: https://a.example\nrefesh-after: 1h\n")
        }
        #expect(
            throws: Failure(
                .configuration,
                "unknown key “colour” in p.yaml:1; the keys are the names of the options of perennial serve, “origins” and “routes”"
            )
        ) {
            try read("colour: red\n")
        }
        #expect(
            throws: Failure(.configuration, "unknown key “refreshAfter” in p.yaml:1; did you mean “refresh-after”?")
        ) {
            try read("refreshAfter: 1h\n")
        }
    }

    @Test func `a file may be empty, have comments and lists`() throws {
        _ = try read("")
        _ = try read("# nothing yet\n")
        try withFile("allow: [private, cookies] # both\norigin: https://a.example\n") { path in
            let settings = try Settings(config: path, environment: [:])
            #expect(try settings.require(Known.allow, nil).value == [.onlyPrivate, .cookies])
        }
    }

    @Test(arguments: [
        "- a\n", "origin: {a: b}\n", "origin: [\n", "a: b: c\n", "just words\n", "timeout: 1s\ntimeout: 2s\n",
    ])
    func `what is no flat mapping is an error of one line`(text: String) throws {
        let failure = try #require(throws: Failure.self) { try read(text) }
        #expect(failure.code == .configuration)
        #expect(failure.description.contains("p.yaml"))
        #expect(!failure.description.contains("\n"))
    }

    @Test func `a file that is not there has a code of its own`() {
        let failure = #expect(throws: Failure.self) { try Settings(config: "/no/such.yaml", environment: [:]) }
        #expect(failure?.code == .noInput)
    }

    @Test func `every key of the file is an option of serve`() throws {
        let help = ServeCommand.helpMessage()
        for key in Known.fileKeys { #expect(help.contains("--\(key) "), "\(key)") }
    }

    private func read(_ text: String) throws -> InMemoryProvider {
        let problems = Problems()
        let file = try OptionFile(text, path: "p.yaml", known: Known.fileKeys, problems)
        try problems.check()
        return file.options
    }
}

/// Runs `body` with a file that has this text.
func withFile(_ text: String, _ body: (String) throws -> Void) throws {
    let path = FileManager.default.temporaryDirectory.appending(path: "perennial-\(UUID().uuidString).yaml").path
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    defer { try? FileManager.default.removeItem(atPath: path) }
    try body(path)
}
