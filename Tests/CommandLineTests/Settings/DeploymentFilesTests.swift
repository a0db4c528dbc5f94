import ArgumentParser
import Foundation
import PerennialGateway
import Testing
import Yams

@testable import perennial

/// The files for many machines are what systemd and Compose read, and name only options that there are.
@Suite struct DeploymentFilesTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../../../Examples/deploy").standardized

    private func text(_ name: String) throws -> String {
        try String(contentsOf: Self.folder.appending(path: name), encoding: .utf8)
    }

    /// Section, name and value of each line of a unit file (systemd.syntax(7)).
    private func unit(_ name: String) throws -> [(section: String, name: String, value: String)] {
        var section = ""
        var found: [(String, String, String)] = []
        for line in try text(name).split(separator: "\n") where !line.hasPrefix("#") {
            if line.hasPrefix("["), line.hasSuffix("]") {
                section = String(line.dropFirst().dropLast())
                continue
            }
            let parts = line.split(separator: "=", maxSplits: 1).map(String.init)
            try #require(parts.count == 2 && !section.isEmpty, "\(name): \(line)")
            found.append((section, parts[0], parts[1]))
        }
        return found
    }

    @Test(arguments: ["perennial-gateway.service", "perennial-worker.service"])
    func `a unit file is well formed and starts a command that there is`(name: String) throws {
        let known: [String: Set<String>] = [
            "Unit": ["Description", "Documentation", "After", "Wants"],
            "Service": [
                "Type", "User", "EnvironmentFile", "ExecStart", "ExecReload", "Restart", "RestartSec", "TimeoutStopSec",
                "NoNewPrivileges",
                "ProtectSystem", "ProtectHome", "PrivateTmp", "StateDirectory", "WorkingDirectory",
            ],
            "Install": ["WantedBy"],
        ]
        let lines = try unit(name)
        for line in lines { #expect(known[line.section]?.contains(line.name) == true, "\(line)") }
        let command = try #require(lines.first { $0.name == "ExecStart" }).value.split(separator: " ").map(String.init)
        _ = try PerennialCommand.parseAsRoot(Array(command.dropFirst()))
    }

    @Test func `the configuration file has only settings that there are`() throws {
        let problems = Problems()
        _ = try OptionFile(text("gateway.yaml"), path: "gateway.yaml", known: Known.fileKeys, problems)
        try problems.check()
    }

    @Test func `the file with routes is one that can be served`() throws {
        let path = Self.folder.appending(path: "routes.yaml").path
        let settings = try Settings(config: path, environment: ["GITHUB_TOKEN": "x"])
        #expect(try GivenRules().routes(settings).map(\.name) == ["github", "forecasts", "everything else"])
    }

    @Test func `the compose file is YAML, and its commands are such that there are`() throws {
        let file = try #require(try Yams.load(yaml: text("compose.yaml")) as? [String: Any])
        let services = try #require(file["services"] as? [String: [String: Any]])
        #expect(Set(services.keys) == ["redis", "gateway", "worker"])
        for name in ["gateway", "worker"] {
            let command = try #require(services[name]?["command"] as? [String])
            #expect(command.first == "perennial")
            _ = try PerennialCommand.parseAsRoot(Array(command.dropFirst()))
            for dependency in services[name]?["depends_on"] as? [String] ?? [] { #expect(services[dependency] != nil) }
        }
    }
}
