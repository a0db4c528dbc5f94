import Foundation
import NIOCore
import Testing

@testable import PerennialGateway

struct UnixSocketTests {
    let folder = FileManager.default.temporaryDirectory.appending(path: "p-\(UUID().uuidString.prefix(8))").path

    init() throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    @Test func `curl is answered at a socket that only its owner may use, and which is gone at the end`() async throws {
        let path = "\(folder)/s"
        try await withRig({ $0.socketPath = path }, origin: { _ in .ok("local") }) { rig in
            for option in ["--http1.1", "--http2-prior-knowledge"] {
                #expect(try await Shell.run("curl", "-s", option, "--unix-socket", path, "http://x/") == "local")
            }
            let rights = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
            #expect(rights == 0o600)
            let error = #expect(throws: IOError.self) { try listeningSocket(path: path) }
            #expect(error?.errnoCode == EADDRINUSE)
        }
        #expect(!FileManager.default.fileExists(atPath: path))
        try? FileManager.default.removeItem(atPath: folder)
    }

    @Test func `a socket that nobody listens at is replaced, anything else is left alone`() async throws {
        let path = "\(folder)/s"
        close(try listeningSocket(path: path))
        // A program that another test starts in this moment has the closed one until it begins.
        try await eventually { (try? listeningSocket(path: path)).map { close($0) } != nil }
        removeSocket(path: path)
        try Data("mine".utf8).write(to: URL(filePath: path))
        let error = #expect(throws: IOError.self) { try listeningSocket(path: path) }
        #expect(error?.errnoCode == EEXIST)
        removeSocket(path: path)
        #expect(FileManager.default.fileExists(atPath: path))
        try? FileManager.default.removeItem(atPath: folder)
    }
}
