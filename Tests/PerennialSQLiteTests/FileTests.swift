import Foundation
import GRDB
import Perennial
import PerennialTesting
import Testing

@testable import PerennialSQLite

/// The file: private, shared, kept, refused when it is somebody else's.
@Suite struct FileTests {
    @Test func `the file, its side files and its new folders are its owner's only`() async throws {
        let scratch = try Scratch()
        let folder = scratch.folder + "/new/deeper"
        let backend = try SQLiteBackend(path: folder + "/cache.sqlite")
        try await backend.put(Samples.entry())
        #expect(try await backend.entry() != nil)
        #expect(try scratch.permissions(scratch.folder + "/new") == 0o700)
        #expect(try scratch.permissions(folder) == 0o700)
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
        #expect(names == ["cache.sqlite", "cache.sqlite-shm", "cache.sqlite-wal"])
        for name in names { #expect(try scratch.permissions("\(folder)/\(name)") == 0o600, "\(name)") }
        await backend.close()
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["cache.sqlite"])
    }

    @Test(arguments: ["elsewhere/real.sqlite", "second.sqlite"])
    func `a path that is a link to nothing makes a private file where it leads`(_ target: String) async throws {
        let scratch = try Scratch()
        let real = scratch.folder + "/elsewhere/real.sqlite"
        try FileManager.default.createSymbolicLink(atPath: scratch.path, withDestinationPath: target)
        if target == "second.sqlite" {
            try FileManager.default.createSymbolicLink(
                atPath: scratch.folder + "/second.sqlite", withDestinationPath: real)
        }
        let log = LogLines()
        try await scratch.withBackend(log: log) { backend in
            try await backend.put(Samples.entry())
            let names = try FileManager.default.contentsOfDirectory(atPath: scratch.folder + "/elsewhere").sorted()
            #expect(names == ["real.sqlite", "real.sqlite-shm", "real.sqlite-wal"])
            for name in names { #expect(try scratch.permissions("\(scratch.folder)/elsewhere/\(name)") == 0o600) }
            let size = FileSystem.size(of: real) + FileSystem.size(of: real + "-wal")
            let disk = try #require(try await backend.statistics().diskBytes)
            #expect(disk > size)
        }
        #expect(log.all == [])
    }

    @Test func `links that go in circles are a clear error`() throws {
        let scratch = try Scratch()
        try FileManager.default.createSymbolicLink(atPath: scratch.path, withDestinationPath: scratch.path)
        let error = #expect(throws: SQLiteBackendError.self) { try SQLiteBackend(path: scratch.path) }
        #expect(error?.reason == .cannotOpen)
    }

    @Test func `a file that others may read is left as it is, with one warning that says what to do`() async throws {
        let scratch = try Scratch()
        try await scratch.withBackend { _ = try await $0.put(Samples.entry()) }
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: scratch.path)
        let log = LogLines()
        try await scratch.withBackend(log: log) { backend in
            #expect(try await backend.entry() != nil)
            try await backend.put(Samples.entry())
        }
        #expect(log.all.count == 1)
        #expect(log.all.first?.hasPrefix("warning: \(scratch.path) has mode 644") == true)
        #expect(log.all.first?.contains("chmod 600 \(scratch.path) \(scratch.path)-wal") == true)
        #expect(try scratch.permissions(scratch.path) == 0o644)
    }

    @Test func `entries and jobs outlive the backend`() async throws {
        let scratch = try Scratch()
        try await scratch.withBackend { backend in
            try await backend.put(Samples.entry(tags: ["x"]))
            _ = try await backend.enqueue(Samples.job(), notBefore: Samples.now, now: Samples.now)
        }
        try await scratch.withBackend { backend in
            let entry = try await backend.entry()
            #expect(entry?.metadata.tags == ["x"])
            let queued = try await backend.counts()[.queued]
            #expect(queued == 1)
            let count = try await backend.statistics().entries
            #expect(count == 1)
        }
    }

    @Test func `what was saved survives a process that ends without closing`() async throws {
        let scratch = try Scratch()
        let copy = try Scratch()
        try await scratch.withBackend { backend in
            try await backend.put(Samples.entry())
            // As after kill -9: the file and its log as they are, without the memory shared by its readers.
            for name in ["cache.sqlite", "cache.sqlite-wal"] {
                try FileManager.default.copyItem(
                    atPath: "\(scratch.folder)/\(name)", toPath: "\(copy.folder)/\(name)")
            }
        }
        let entry = try await copy.withBackend { try await $0.entry() }
        #expect(entry != nil)
    }

    @Test func `a closed backend throws and ends its streams`() async throws {
        let scratch = try Scratch()
        let backend = try SQLiteBackend(path: scratch.path)
        let stream = backend.changes()
        await backend.close()
        for await _ in stream {}
        await #expect(throws: SQLiteBackendError.self) { try await backend.entry() }
        await #expect(throws: SQLiteBackendError.self) { try await backend.put(Samples.entry()) }
        await backend.close()
    }

    @Test func `a file of a newer version is refused and left alone`() async throws {
        let scratch = try Scratch()
        _ = try await scratch.withBackend { try await $0.put(Samples.entry()) }
        try await DatabaseQueue(path: scratch.path).write { try $0.execute(sql: "PRAGMA user_version = 99") }
        let error = #expect(throws: SQLiteBackendError.self) { try SQLiteBackend(path: scratch.path) }
        #expect(error?.reason == .newerSchema)
        #expect(error?.description.contains("99") == true)
        #expect(error?.description.contains(scratch.path) == true)
        #expect(scratch.files.allSatisfy { $0.hasPrefix("cache.sqlite") && !$0.contains("damaged") })
    }

    /// What may lie where somebody thinks a cache is.
    enum Others: String, CaseIterable {
        case text, zeros, letterWithMark, database, markedDatabase, damagedDatabase, databaseWithLog, oldBackup

        func write(to path: String) async throws {
            let url = URL(fileURLWithPath: path)
            switch self {
            case .text: try Data("dear diary\n".utf8).write(to: url)
            case .zeros: try Data(count: 8_192).write(to: url)
            // The mark of Perennial's databases where they have it, by chance.
            case .letterWithMark: try Data((String(repeating: "x", count: 68) + "Pernod").utf8).write(to: url)
            case .database: try await Self.make(path, "CREATE TABLE theirs (x)")
            case .markedDatabase: try await Self.make(path, "PRAGMA application_id = 7; CREATE TABLE theirs (x)")
            case .damagedDatabase:
                try await Self.make(path, "PRAGMA application_id = 7; CREATE TABLE theirs (x)")
                let handle = try FileHandle(forWritingTo: url)
                try handle.seek(toOffset: 100)
                try handle.write(contentsOf: Data(repeating: 1, count: 3_000))
                try handle.close()
            case .databaseWithLog:
                let queue = try DatabaseQueue(path: path + ".theirs")
                try await queue.writeWithoutTransaction { db in
                    try db.execute(sql: "PRAGMA journal_mode = WAL; CREATE TABLE theirs (x)")
                }
                // As after kill -9: all that there is lies in the log.
                for suffix in ["", "-wal"] {
                    try FileManager.default.copyItem(atPath: path + ".theirs" + suffix, toPath: path + suffix)
                }
                try queue.close()
                try FileManager.default.removeItem(atPath: path + ".theirs")
            case .oldBackup: try Data(([31, 139, 8, 0] + (0..<5_000).map { UInt8($0 % 251) })).write(to: url)
            }
        }

        private static func make(_ path: String, _ sql: String) async throws {
            let queue = try DatabaseQueue(path: path)
            try await queue.write { try $0.execute(sql: sql) }
            try queue.close()
        }
    }

    @Test(arguments: Others.allCases, [true, false])
    func `somebody else's file is refused, and neither changed nor moved`(
        _ others: Others, _ startsAnewWhenDamaged: Bool
    ) async throws {
        let scratch = try Scratch()
        try await others.write(to: scratch.path)
        func everything() throws -> [String: Data] {
            // SQLite may look into a log that is there, which needs memory that readers share.
            let names = scratch.files.filter { !$0.hasSuffix("-shm") }
            return try Dictionary(
                uniqueKeysWithValues: names.map {
                    ($0, try Data(contentsOf: URL(fileURLWithPath: "\(scratch.folder)/\($0)")))
                })
        }
        let before = try everything()
        let error = #expect(throws: SQLiteBackendError.self) {
            try SQLiteBackend(path: scratch.path, startsAnewWhenDamaged: startsAnewWhenDamaged)
        }
        #expect(error?.reason == .foreignDatabase)
        #expect(error?.description.hasPrefix("\(scratch.path) is not Perennial's") == true)
        #expect(try everything() == before)
    }

    @Test func `somebody else's file that takes the store's place in use is left alone`() async throws {
        let scratch = try Scratch()
        let file = DatabaseFile(path: scratch.path, maximumPageCount: nil, logger: LogLines().logger)
        try file.open(.writer).close()
        let text = Data("dear diary\n".utf8)
        // Made before the old one goes, whose number it would get otherwise.
        try text.write(to: URL(fileURLWithPath: scratch.folder + "/notes"))
        try FileManager.default.removeItem(atPath: scratch.path)
        try FileManager.default.moveItem(atPath: scratch.folder + "/notes", toPath: scratch.path)
        file.noticeReplacement()
        for role in [DatabaseFile.Role.writer, .reader] {
            let lane = Lane(file, role)
            await #expect(throws: SQLiteBackendError.self) { try await lane.perform(\.ledger.entries) }
            await lane.close()
        }
        #expect(scratch.files == ["cache.sqlite"])
        #expect(try Data(contentsOf: URL(fileURLWithPath: scratch.path)) == text)
    }

    @Test func `an empty file and an empty database are taken`() async throws {
        for isDatabase in [true, false] {
            let scratch = try Scratch()
            #expect(FileManager.default.createFile(atPath: scratch.path, contents: nil))
            if isDatabase {
                let queue = try DatabaseQueue(path: scratch.path)
                try await queue.writeWithoutTransaction { try $0.execute(sql: "VACUUM; PRAGMA journal_mode = WAL") }
                try queue.close()
            }
            try await scratch.withBackend { _ = try await $0.put(Samples.entry()) }
            #expect(try await scratch.withBackend { try await $0.entry() } != nil)
        }
    }

    @Test func `a path that can't be a file is a clear error`() throws {
        let scratch = try Scratch()
        let error = #expect(throws: SQLiteBackendError.self) { try SQLiteBackend(path: scratch.folder) }
        #expect(error?.reason == .cannotOpen)
        let missing = #expect(throws: SQLiteBackendError.self) {
            try SQLiteBackend(path: "/proc/no/such/folder/cache.sqlite")
        }
        #expect(missing?.reason == .cannotOpen)
        #expect(missing?.description.contains("/proc/no/such/folder/cache.sqlite") == true)
    }

    @Test func `many that open one new file at once all succeed`() async throws {
        let scratch = try Scratch()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<8 {
                group.addTask {
                    try await scratch.withBackend { backend in
                        _ = try await backend.put(Samples.entry(Samples.key("\(number)")))
                    }
                }
            }
            try await group.waitForAll()
        }
        let statistics = try await scratch.withBackend { try await $0.statistics() }
        #expect(statistics.entries == 8)
    }

    @Test func `the feed tells what another backend on the file wrote`() async throws {
        let scratch = try Scratch()
        try await scratch.withBackend { mine in
            let saves = mine.changes()
            let purges = mine.changes()
            try await scratch.withBackend { theirs in
                guard case .saved(let generation) = try await theirs.put(Samples.entry()) else { return }
                for await changes in saves where changes.contains(.written(Samples.key(), generation)) { break }
                _ = try await theirs.remove(.cache("people"), now: Samples.now)
            }
            for await changes in purges where changes.contains(.missed) { break }
        }
    }

    @Test func `values that make no sense are missing, counted, and logged once`() async throws {
        let scratch = try Scratch()
        let log = LogLines()
        let keys = ["limits", "size", "gone", "fine"].map { Samples.key($0) }
        try await scratch.withBackend { backend in
            for key in keys { try await backend.put(Samples.entry(key)) }
        }
        try await DatabaseQueue(path: scratch.path).write { db in
            try db.execute(sql: "UPDATE entry SET expire_after = -5 WHERE key = 'limits'")
            try db.execute(sql: "UPDATE entry SET size = 3 WHERE key = 'size'")
            try db.execute(sql: "DELETE FROM value WHERE entry = (SELECT id FROM entry WHERE key = 'gone')")
        }
        try await scratch.withBackend(log: log) { backend in
            let isThere = try await backend.read(keys).map { $0.entry != nil }
            #expect(isThere == [false, false, false, true])
            #expect(backend.unreadableCount == 3)
            for key in keys { try await backend.put(Samples.entry(key)) }
            #expect(try await backend.read(keys).allSatisfy { $0.entry != nil })
        }
        #expect(log.all.count == 1)
        #expect(log.all.first?.contains("makes no sense") == true)
    }
}
