import Foundation
import Testing

/// The demo, when it is not let to its end. That its end is well is seen by `make demo`.
struct DemoTests {
    @Test func `interrupted, it takes its children and its files with it`() async throws {
        let folder = try Folder()
        let demo = try await RunningProgram(["demo"], environment: ["TMPDIR": folder.path], in: folder)
        #expect(demo.readyLine.hasPrefix("An API that takes 800 ms"))
        let origin = try #require(demo.addresses.first)
        #expect(try await get("\(origin)/asked").status == 200)
        #expect(await demo.stop(SIGINT) == 130)
        await #expect(throws: (any Error).self) { try await get("\(origin)/asked") }
        let left = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(left.filter { !$0.hasSuffix(".log") }.isEmpty)
    }

    @Test func `killed, it takes its children with it`() async throws {
        let folder = try Folder()
        let demo = try await RunningProgram(["demo"], environment: ["TMPDIR": folder.path], in: folder)
        let origin = try #require(demo.addresses.first)
        #expect(await demo.stop(SIGKILL) == SIGKILL)
        try await eventually { (try? await get("\(origin)/asked")) == nil }
    }
}
