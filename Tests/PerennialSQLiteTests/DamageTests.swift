import Foundation
import GRDB
import Perennial
import PerennialTesting
import Testing

@testable import PerennialSQLite

/// A damaged file is moved aside, and the cache goes on empty.
@Suite struct DamageTests {
    private static func spoil(_ path: String, from offset: UInt64, count: Int) throws {
        let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
        try handle.seek(toOffset: offset)
        try handle.write(contentsOf: Data((0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 11) }))
        try handle.close()
    }

    private static func fill(_ scratch: Scratch, _ count: Int) async throws {
        try await scratch.withBackend { backend in
            for number in 0..<count { try await backend.put(Samples.entry(Samples.key("\(number)"))) }
        }
    }

    @Test(arguments: ["pages", "magic"])
    func `a damaged file that shows whose it was is moved aside when it is opened`(_ kind: String) async throws {
        let scratch = try Scratch()
        let log = LogLines()
        try await Self.fill(scratch, 50)
        if kind == "pages" {
            try Self.spoil(scratch.path, from: 100, count: 4_000)
        } else {
            try Self.spoil(scratch.path, from: 0, count: 16)
        }
        let before = try Data(contentsOf: URL(fileURLWithPath: scratch.path))
        try await scratch.withBackend(log: log) { backend in
            #expect(try await backend.statistics().entries == 0)
            try await backend.put(Samples.entry())
            #expect(try await backend.entry() != nil)
            #expect(try scratch.permissions(scratch.path) == 0o600)
        }
        let aside = try #require(scratch.files.first { $0.hasPrefix("cache.sqlite.damaged-") })
        #expect(try Data(contentsOf: URL(fileURLWithPath: "\(scratch.folder)/\(aside)")) == before)
        #expect(log.all.count == 1)
        #expect(log.all.first?.contains(aside) == true)
    }

    @Test func `a file without its header is known by its log`() async throws {
        let scratch = try Scratch()
        let copy = try Scratch()
        try await scratch.withBackend { backend in
            for number in 0..<50 { try await backend.put(Samples.entry(Samples.key("\(number)"))) }
            // As after kill -9.
            for name in ["cache.sqlite", "cache.sqlite-wal"] {
                try FileManager.default.copyItem(
                    atPath: "\(scratch.folder)/\(name)", toPath: "\(copy.folder)/\(name)")
            }
        }
        try Self.spoil(copy.path, from: 0, count: 4_096)
        try await copy.withBackend { backend in
            try await backend.put(Samples.entry())
            #expect(try await backend.entry() != nil)
        }
    }

    @Test(arguments: [true, false])
    func `a header that is lost while the file is in use is damage`(_ isNoticedByWriter: Bool) async throws {
        let scratch = try Scratch()
        let file = DatabaseFile(path: scratch.path, maximumPageCount: nil, logger: LogLines().logger)
        let first = try file.open(.writer)
        try first.close()
        try Self.spoil(scratch.path, from: 0, count: 4_096)
        let lane = Lane(file, isNoticedByWriter ? .writer : .reader)
        #expect(try await lane.perform(\.ledger.entries) == 0)
        #expect(scratch.files.contains { $0.hasPrefix("cache.sqlite.damaged-") })
        await lane.close()
    }

    @Test func `damage that shows while the file is in use is survived by all who share it`() async throws {
        let scratch = try Scratch()
        try await Self.fill(scratch, 2_000)
        let log = LogLines()
        try await scratch.withBackend(log: log) { first in
            try await scratch.withBackend(log: log) { second in
                let size = try #require(
                    FileManager.default.attributesOfItem(atPath: scratch.path)[.size] as? NSNumber
                ).intValue
                try Self.spoil(scratch.path, from: 4_096, count: size - 4_096)
                for number in 0..<2_000 {
                    // Never a wrong value: the right one, or none.
                    let entry = try await first.entry(Samples.key("\(number)"))
                    #expect(entry == nil || entry?.bytes == Samples.entry().bytes)
                }
                try await first.put(Samples.entry(Samples.key("new"), bytes: [1]))
                try await second.put(Samples.entry(Samples.key("newer"), bytes: [2]))
                #expect(try await first.entry(Samples.key("new"))?.bytes == [1])
            }
        }
        let aside = scratch.files.filter { $0.contains("damaged") && !$0.hasSuffix("-wal") && !$0.hasSuffix("-shm") }
        #expect(aside.count == 1)
        #expect(log.all.count { $0.contains("is damaged") } == 1)
    }

    @Test func `a damaged file behind a link is moved aside where it lies, and nobody else can read what is left`()
        async throws
    {
        let scratch = try Scratch()
        let folder = scratch.folder + "/elsewhere"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try await Self.fill(scratch, 1)
        try FileManager.default.moveItem(atPath: scratch.path, toPath: folder + "/real.sqlite")
        try Self.spoil(folder + "/real.sqlite", from: 100, count: 4_000)
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: folder + "/real.sqlite")
        try FileManager.default.createSymbolicLink(atPath: scratch.path, withDestinationPath: "elsewhere/real.sqlite")
        try await scratch.withBackend { _ = try await $0.put(Samples.entry()) }
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
        #expect(names.count == 2)
        for name in names { #expect(try scratch.permissions("\(folder)/\(name)") == 0o600, "\(name)") }
        #expect(scratch.files == ["cache.sqlite", "elsewhere"])
    }

    @Test func `moving aside happens once, and only to the file that was meant`() throws {
        let scratch = try Scratch()
        let path = scratch.path
        try Data([1]).write(to: URL(fileURLWithPath: path))
        try Data([2]).write(to: URL(fileURLWithPath: path + "-wal"))
        let identity = try #require(FileSystem.Identity(path: path))
        let aside = try #require(try FileSystem.moveAside(path, ifStill: identity))
        #expect(scratch.files == [aside, aside + "-wal"].map { ($0 as NSString).lastPathComponent })
        try Data([3]).write(to: URL(fileURLWithPath: path))
        #expect(try FileSystem.moveAside(path, ifStill: identity) == nil)
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data([3]))
    }

    @Test func `a new file never gives an older generation than the one it replaces`() async throws {
        let scratch = try Scratch()
        var last = Generation.zero
        for _ in 0..<3 {
            try await scratch.withBackend { backend in
                guard case .saved(let generation) = try await backend.put(Samples.entry()) else { return }
                #expect(generation > last)
                last = generation
            }
            try Self.spoil(scratch.path, from: 100, count: 8_092)
        }
    }

    @Test func `a file deleted or replaced in use is noticed`() async throws {
        let scratch = try Scratch()
        let log = LogLines()
        let file = DatabaseFile(path: scratch.path, maximumPageCount: nil, logger: log.logger)
        let lane = Lane(file, .writer)
        _ = try await lane.perform { try $0.save(Samples.entry(), fence: nil, releasing: nil) }
        file.noticeReplacement()
        #expect(file.epoch == 0)
        for name in scratch.files { try FileManager.default.removeItem(atPath: "\(scratch.folder)/\(name)") }
        file.noticeReplacement()
        #expect(file.epoch == 1)
        _ = try await lane.perform { try $0.save(Samples.entry(), fence: nil, releasing: nil) }
        #expect(scratch.files.contains("cache.sqlite"))
        #expect(log.all.count { $0.contains("replaced or deleted") } == 1)
        await lane.close()
    }
}
