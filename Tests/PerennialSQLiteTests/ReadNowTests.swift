import Foundation
import Perennial
import PerennialTesting
import Testing

@testable import PerennialSQLite

/// Reading on the caller's thread.
@Suite struct ReadNowTests {
    @Test func `once the connection is open, what is in the file is read at once`() async throws {
        let scratch = try Scratch()
        try await scratch.withBackend { backend in
            try await backend.put(Samples.entry(tags: ["x"]))
            let keys = [Samples.key(), Samples.key("missing")]
            let records = await backend.readNowOnceOpen(keys)
            let read = try await backend.read(keys)
            #expect(records == read)
            #expect(records[0].entry?.metadata.tags == ["x"])
            // Each call sees what was committed before it.
            _ = try await backend.remove(.key(Samples.key()), now: Samples.now)
            #expect(await backend.readNowOnceOpen(keys).map(\.entry) == [nil, nil])
            #expect(backend.readNow((0..<1_000).map { Samples.key("\($0)") }) == nil)
        }
    }

    @Test func `what is large is left to others`() async throws {
        let scratch = try Scratch()
        try await scratch.withBackend { backend in
            let (small, large) = (Samples.key("small"), Samples.key("large"))
            try await backend.put(Samples.entry(small))
            try await backend.put(Samples.entry(large, bytes: Array(repeating: 1, count: DirectReader.largest + 1)))
            #expect(await backend.readNowOnceOpen([small])[0].entry != nil)
            #expect(backend.readNow([small, large]) == nil)
            let read = try await backend.read([large])
            #expect(read[0].entry?.bytes.count == DirectReader.largest + 1)
        }
    }

    @Test func `after closing there is nothing`() async throws {
        let scratch = try Scratch()
        let backend = try SQLiteBackend(path: scratch.path)
        _ = await backend.readNowOnceOpen([Samples.key()])
        await backend.close()
        #expect(backend.readNow([Samples.key()]) == nil)
    }

    @Test func `a file that is replaced is read anew`() async throws {
        let scratch = try Scratch()
        let file = DatabaseFile(path: scratch.path, maximumPageCount: nil, logger: LogLines().logger)
        let lane = Lane(file, .writer)
        _ = try await lane.perform { try $0.save(Samples.entry(), fence: nil, releasing: nil) }
        let reader = DirectReader(file)
        #expect(await reader.recordOnceOpen().entry != nil)
        for name in scratch.files { try FileManager.default.removeItem(atPath: "\(scratch.folder)/\(name)") }
        file.noticeReplacement()
        #expect(await reader.recordOnceOpen().entry == nil)
        await reader.close()
        await lane.close()
    }

    @Test func `reads that wait for long are left to others for a second, those that only take long are not`() {
        var pace = ReadPace()
        let began = ContinuousClock.now
        #expect(pace.allows(at: began))
        let goesOn = pace.note(since: began, at: began + .milliseconds(3), hasWaited: true)
        #expect(goesOn)
        let goesOnBusily = pace.note(since: began, at: began + .milliseconds(40), hasWaited: false)
        #expect(goesOnBusily)
        #expect(pace.allows(at: began + .milliseconds(40)))
        let goesFurther = pace.note(since: began, at: began + .milliseconds(4), hasWaited: true)
        #expect(!goesFurther)
        #expect(!pace.allows(at: began + .milliseconds(1_003)))
        #expect(pace.allows(at: began + .milliseconds(1_004)))
    }
}

extension SQLiteBackend {
    /// The connection is opened behind the first call's back.
    fileprivate func readNowOnceOpen(_ keys: [EntryKey]) async -> [StoreRecord] {
        while true {
            if let records = readNow(keys) { return records }
            await Task.yield()
        }
    }
}

extension DirectReader {
    fileprivate func recordOnceOpen() async -> StoreRecord {
        while true {
            if case .records(let records) = records([Samples.key()], unreadable: { _ in }) { return records[0] }
            await Task.yield()
        }
    }
}
