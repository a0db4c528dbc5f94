import ArgumentParser
import UnixSignals

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// `perennial demo`: the pattern on a bundled origin, in half a minute.
struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo", abstract: "Show the pattern on a slow origin that comes with it.",
        discussion: "Checks what it shows; ends with code 0 when all was as claimed.")

    mutating func run() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "perennial-demo-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let result = try await untilSignal {
            var story = DemoStory(folder: folder)
            return try await story.tell()
        }
        guard let result else { throw ExitCode(130) }
        guard result.failed == 0 else {
            throw Failure(.software, "\(result.failed) of \(result.passed + result.failed) claims did not hold")
        }
        Console.print(
            """

            All \(result.passed) claims held. Before an API of your own:

              perennial serve --origin https://api.example.com --refresh-after 1h --expire-after 7d
              curl -i http://127.0.0.1:8080/users/1

            or, from the sources: make demo ORIGIN=https://api.example.com
            """)
    }

    /// - Returns: `nil` when a signal asked to stop first.
    private func untilSignal<Result: Sendable>(
        _ work: @escaping @Sendable () async throws -> Result
    ) async throws -> Result? {
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        return try await withThrowingTaskGroup(of: Result?.self) { group in
            group.addTask { try await work() }
            group.addTask {
                for await _ in signals { return nil }
                // Cancelled: the story is over, which the other task tells.
                try await Task.sleep(for: .seconds(1 << 30))
                return nil
            }
            defer { group.cancelAll() }
            return try await group.next()!
        }
    }
}

func textOfFile(_ path: String) throws -> String {
    try String(contentsOfFile: path, encoding: .utf8)
}
