import Foundation
import Perennial
import Testing

@testable import PerennialSQLite

@Suite struct PathTests {
    static let folders = [
        ("x", ""), ("a/x", "a"), ("/x", "/"), ("/a/b/x", "/a/b"), ("a/", "a"), ("", ""), ("./x", "."),
    ]

    @Test(arguments: folders) func `the folder is what stands before the last slash`(path: String, folder: String) {
        #expect(FileSystem.folder(of: path) == folder)
    }

    @Test func `folders and files of one letter are made`() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        defer { try? FileManager.default.removeItem(at: folder) }
        let backend = try SQLiteBackend(path: folder.appending(path: "a/b").path)
        #expect(try await backend.statistics().entries == 0)
        await backend.close()
    }

    @Test func `a damaged file stays where it is for those who only look`() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "cache.sqlite").path
        let header = Array("SQLite format 3\0".utf8) + Array(repeating: 7, count: 52) + Array("Pern".utf8)
        try Data(header + Array(repeating: 7, count: 8192)).write(to: URL(filePath: path))
        #expect {
            try SQLiteBackend(path: path, startsAnewWhenDamaged: false)
        } throws: { error in
            (error as? SQLiteBackendError)?.reason == .damaged
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["cache.sqlite"])
    }
}
