import Foundation
import Logging
import Perennial
import PerennialTesting
import Synchronization
import Testing

@testable import PerennialSQLite

/// A folder for one test, gone after it.
final class Scratch: Sendable {
    let folder: String
    private let opened = Mutex<[SQLiteBackend]>([])

    init() throws {
        var template = Array(
            (NSTemporaryDirectory() as NSString).appendingPathComponent("perennial-XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else { throw CocoaError(.fileWriteUnknown) }
        folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    var path: String { folder + "/cache.sqlite" }

    var files: [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
    }

    /// What the file and its side files take, in bytes.
    var size: Int { files.reduce(0) { $0 + FileSystem.size(of: "\(folder)/\($1)") } }

    func copyFiles(to other: Scratch) throws {
        for name in files {
            try FileManager.default.copyItem(atPath: "\(folder)/\(name)", toPath: "\(other.folder)/\(name)")
        }
    }

    func permissions(_ path: String) throws -> Int {
        try #require(FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? NSNumber).intValue
    }

    /// Opens a backend on this folder's file, to be closed with ``closeAll()``.
    func open(sizeLimit: Int? = nil) throws -> SQLiteBackend {
        let backend = try SQLiteBackend(path: path, sizeLimit: sizeLimit)
        opened.withLock { $0.append(backend) }
        return backend
    }

    func closeAll() async {
        for backend in opened.withLock({ $0 }) { await backend.close() }
    }

    /// Gives a backend on this folder's file and closes it afterwards.
    func withBackend<Result>(
        log: LogLines? = nil, sizeLimit: Int? = nil, maximumPageCount: Int? = nil,
        _ body: (SQLiteBackend) async throws -> Result
    ) async throws -> Result {
        let backend = try SQLiteBackend(
            path: path, sizeLimit: sizeLimit, maximumPageCount: maximumPageCount, time: SystemTime(),
            logger: log?.logger ?? Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
        do {
            let result = try await body(backend)
            await backend.close()
            return result
        } catch {
            await backend.close()
            throw error
        }
    }
}

/// What was logged, a line each.
final class LogLines: Sendable {
    private let lines = Mutex<[String]>([])

    var all: [String] { lines.withLock { $0 } }

    var logger: Logger { Logger(label: "test") { [self] _ in Handler(lines: self) } }

    private struct Handler: LogHandler {
        let lines: LogLines
        var metadata: Logger.Metadata = [:]
        var logLevel: Logger.Level = .trace

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            lines.lines.withLock { $0.append("\(event.level): \(event.message)") }
        }
    }
}

extension Store {
    @discardableResult
    func put(_ entry: StoredEntry) async throws -> SaveOutcome {
        try await save(entry, fence: nil, releasing: nil)
    }

    func entry(_ key: EntryKey = Samples.key()) async throws -> StoredEntry? {
        try await read([key])[0].entry
    }
}
