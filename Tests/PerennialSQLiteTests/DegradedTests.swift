import Foundation
import GRDB
import Perennial
import PerennialTesting
import Testing

@testable import PerennialSQLite

#if canImport(Glibc)
    import Glibc
#endif

/// A full disk and a read-only file: writing throws, reading goes on, and it heals by itself.
@Suite struct DegradedTests {
    private static let large = [UInt8](repeating: 7, count: 50_000)

    @Test func `a full disk refuses writing, says so once, and heals when there is room`() async throws {
        let scratch = try Scratch()
        let log = LogLines()
        try await scratch.withBackend(log: log, maximumPageCount: 120) { backend in
            var saved: [EntryKey] = []
            var refused = 0
            for number in 0..<40 {
                let key = Samples.key("\(number)")
                do {
                    try await backend.put(Samples.entry(key, bytes: Self.large))
                    saved.append(key)
                } catch { refused += 1 }
            }
            #expect(refused > 0)
            #expect(!saved.isEmpty)
            for key in saved { #expect(try await backend.entry(key)?.bytes == Self.large) }
            #expect(try await backend.statistics().entries == saved.count)
            _ = try await backend.remove(.key(saved[0]), now: Samples.now)
            try await backend.put(Samples.entry(Samples.key("after"), bytes: Self.large))
            #expect(try await backend.entry(Samples.key("after"))?.bytes == Self.large)
        }
        #expect(log.all.first?.contains("nothing can be saved") == true)
        #expect(log.all.count { $0.contains("nothing can be saved") } == 1)
        #expect(log.all.count { $0.contains("can be written to again") } == 1)
        #expect(scratch.files == ["cache.sqlite"])
    }

    @Test(arguments: [Duration.seconds(3_600), .zero])
    func `while another program has the lock, work fails at once after the first time, and reading goes on`(
        _ pause: Duration
    ) async throws {
        let scratch = try Scratch()
        let log = LogLines()
        let backend = try SQLiteBackend(
            path: scratch.path, sizeLimit: nil, maximumPageCount: nil,
            lockPatience: LockPatience(timeout: .milliseconds(20), pause: pause), time: SystemTime(),
            logger: log.logger)
        try await backend.put(Samples.entry())
        var configuration = Configuration()
        configuration.allowsUnsafeTransactions = true
        let other = try DatabaseQueue(path: scratch.path, configuration: configuration)
        try await other.writeWithoutTransaction { try $0.execute(sql: "BEGIN IMMEDIATE") }
        for number in 0..<5 {
            let error = await #expect(throws: SQLiteBackendError.self) {
                try await backend.put(Samples.entry(Samples.key("\(number)")))
            }
            #expect(error?.reason == .locked)
        }
        #expect(try await backend.entry() != nil)
        #expect(log.all.count == 1)
        #expect(log.all.first?.contains("locked by another program") == true)
        try await other.writeWithoutTransaction { try $0.execute(sql: "COMMIT") }
        if pause == .zero {
            try await backend.put(Samples.entry(Samples.key("after")))
            #expect(log.all.last?.contains("can be written to again") == true)
        } else {
            // Nobody has looked since.
            await #expect(throws: SQLiteBackendError.self) { try await backend.put(Samples.entry()) }
        }
        await backend.close()
    }

    @Test func `one piece of work that fails does not fail the others of its transaction`() async throws {
        let scratch = try Scratch()
        try await scratch.withBackend(maximumPageCount: 200) { backend in
            let outcomes = await withTaskGroup(of: Bool.self) { group in
                for number in 0..<50 {
                    group.addTask {
                        let bytes = number == 25 ? [UInt8](repeating: 1, count: 3_000_000) : [1]
                        let entry = Samples.entry(Samples.key("\(number)"), bytes: bytes)
                        return (try? await backend.put(entry)) != nil
                    }
                }
                return await group.reduce(into: [:]) { $0[$1, default: 0] += 1 }
            }
            #expect(outcomes == [true: 49, false: 1])
            let statistics = try await backend.statistics()
            #expect(statistics.entries == 49)
        }
    }

    #if os(Linux)
        /// A small file system of its own, if this process may make one.
        private final class SmallDisk {
            let folder: String

            init?(_ folder: String, options: String) {
                guard mount("tmpfs", folder, "tmpfs", 0, options) == 0 else { return nil }
                self.folder = folder
            }

            func remount(readOnly: Bool) -> Bool {
                mount("tmpfs", folder, "tmpfs", UInt(MS_REMOUNT) | (readOnly ? UInt(MS_RDONLY) : 0), "") == 0
            }

            deinit { umount2(folder, Int32(MNT_DETACH)) }
        }

        @Test func `a disk that really is full heals when there is room`() async throws {
            let scratch = try Scratch()
            guard let disk = SmallDisk(scratch.folder, options: "size=4m") else { return }
            defer { withExtendedLifetime(disk) {} }
            try await scratch.withBackend { backend in
                try await backend.put(Samples.entry())
                let filler = FileManager.default
                #expect(filler.createFile(atPath: disk.folder + "/filler", contents: nil))
                let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: disk.folder + "/filler"))
                while (try? handle.write(contentsOf: Data(count: 4_096))) != nil {}
                try handle.close()
                var refused = 0
                for number in 0..<20 {
                    let entry = Samples.entry(Samples.key("\(number)"), bytes: Self.large)
                    if (try? await backend.put(entry)) == nil { refused += 1 }
                }
                #expect(refused > 0)
                #expect(try await backend.entry() != nil)
                try filler.removeItem(atPath: disk.folder + "/filler")
                try await Self.eventually { try await backend.put(Samples.entry(Samples.key("after"))) }
                #expect(try await backend.entry(Samples.key("after")) != nil)
            }
        }

        @Test(arguments: [true, false])
        func `a file on a read-only medium is read, and written when that ends`(_ isClean: Bool) async throws {
            let scratch = try Scratch()
            guard let disk = SmallDisk(scratch.folder, options: "size=16m") else { return }
            defer { withExtendedLifetime(disk) {} }
            let log = LogLines()
            let original = try Scratch()
            try await original.withBackend { backend in
                try await backend.put(Samples.entry())
                // As it is while in use: with its log, and what its readers share.
                if !isClean { try original.copyFiles(to: scratch) }
            }
            if isClean { try original.copyFiles(to: scratch) }
            try #require(disk.remount(readOnly: true))
            try await scratch.withBackend(log: log) { backend in
                #expect(try await backend.entry()?.bytes == Samples.entry().bytes)
                await #expect(throws: (any Error).self) { try await backend.put(Samples.entry()) }
                #expect(log.all.count == 1)
                try #require(disk.remount(readOnly: false))
                try await Self.eventually { try await backend.put(Samples.entry(Samples.key("after"))) }
                #expect(try await backend.entry(Samples.key("after")) != nil)
                #expect(log.all.count == 2)
            }
        }

        @Test(arguments: ["version1.sqlite", "version2.sqlite"])
        func `an older file on a read-only medium is read, and brought up to date when that ends`(
            _ name: String
        ) async throws {
            let scratch = try Scratch()
            guard let disk = SmallDisk(scratch.folder, options: "size=16m") else { return }
            defer { withExtendedLifetime(disk) {} }
            try FileManager.default.copyItem(
                atPath: "\(GoldenFileTests.folder)/\(name)", toPath: scratch.path)
            try #require(disk.remount(readOnly: true))
            try await scratch.withBackend(log: LogLines()) { backend in
                #expect(try await backend.entry(Samples.key("ada")) != nil)
                #expect(try await backend.statistics().entries == 3)
                let isFirst = name == "version1.sqlite"
                #expect(try await backend.hotKeys(cache: "people", page: 0) == (isFirst ? [] : ["ada", "a\nb"]))
                try #require(disk.remount(readOnly: false))
                try await Self.eventually { try await backend.saveHotKeys(["ada"], cache: "people") }
                #expect(try await backend.hotKeys(cache: "people", page: 0) == ["ada"])
            }
        }

        /// Tries until it works: a backend opens its file anew at most once a second.
        private static func eventually(_ body: () async throws -> Void) async throws {
            for _ in 0..<100 {
                if (try? await body()) != nil { return }
                try await Task.sleep(for: .milliseconds(100))
            }
            try await body()
        }
    #endif
}
