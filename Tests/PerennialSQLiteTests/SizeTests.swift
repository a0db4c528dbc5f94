import Foundation
import GRDB
import Perennial
import PerennialTesting
import Testing

@testable import PerennialSQLite

/// The file keeps to its limit, its log included, while it is written as fast as it can be.
@Suite struct SizeTests {
    private static let limit = 10_000_000
    /// A tenth and 4 MB for the file; an eighth, at least 4 MB, and half of it more for the log; a transaction's worth
    /// of both.
    private static let bound = limit + limit / 10 + 4_000_000 + (4 << 20) * 3 / 2 + (8 << 20)

    @Test(arguments: [900, 2_300, 60_000, 700_000])
    func `quick filling stays within the limit, log included`(_ size: Int) async throws {
        let scratch = try Scratch()
        try await scratch.withBackend(sizeLimit: Self.limit) { backend in
            let total = 60_000_000
            let rounds = 30
            let count = max(1, total / size / rounds)
            var largest = 0
            for round in 0..<rounds {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<count {
                        group.addTask {
                            let key = Samples.key("\(round) \(number)")
                            let at = Samples.now + .seconds(Int64(round))
                            try await backend.put(
                                Samples.entry(key, bytes: [UInt8](repeating: 1, count: size), at: at))
                        }
                    }
                    try await group.waitForAll()
                }
                largest = max(largest, scratch.size)
            }
            #expect(largest <= Self.bound)
            let statistics = try await backend.statistics()
            #expect(statistics.bytes <= Self.limit)
            #expect(statistics.bytes > Self.limit / 3)
            let disk = try #require(statistics.diskBytes)
            #expect(disk == scratch.size)
            let newest = try await backend.entry(Samples.key("\(rounds - 1) \(count - 1)"))
            #expect(newest != nil)
        }
    }

    @Test func `removals of keys with long names leave the file small`() async throws {
        let scratch = try Scratch()
        try await scratch.withBackend(sizeLimit: 5_000_000) { backend in
            let tail = String(repeating: "x", count: 8_000)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<4_000 {
                    group.addTask {
                        _ = try await backend.remove(.key(Samples.key("\(number)\(tail)")), now: Samples.now)
                        _ = try await backend.remove(.tag("\(number)\(tail)", cache: "people"), now: Samples.now)
                    }
                }
                try await group.waitForAll()
            }
            #expect(scratch.size < 20_000_000)
            let statistics = try await backend.statistics()
            #expect(statistics.entries == 0)
            let tombstones = try #require(statistics.tombstones)
            #expect(tombstones > 1_000)
            #expect(statistics.bytes < 5_000_000 / 4)
        }
    }

    @Test func `a file that was larger than its new limit gets smaller`() async throws {
        let scratch = try Scratch()
        try await scratch.withBackend { backend in
            for number in 0..<300 {
                let bytes = [UInt8](repeating: 1, count: 100_000)
                try await backend.put(Samples.entry(Samples.key("\(number)"), bytes: bytes))
            }
        }
        #expect(scratch.size > 30_000_000)
        try await scratch.withBackend(sizeLimit: 3_000_000) { backend in
            var runs = 0
            while try await backend.maintain(now: Samples.now).isUnfinished, runs < 1_000 { runs += 1 }
            #expect(runs < 1_000)
            #expect(try await backend.statistics().bytes <= 3_000_000)
        }
        #expect(scratch.size < 9_000_000)
    }

    @Test func `a reader that does not end keeps nobody from writing`() async throws {
        let scratch = try Scratch()
        try await scratch.withBackend(sizeLimit: Self.limit) { backend in
            try await backend.put(Samples.entry())
            var configuration = Configuration()
            configuration.readonly = true
            configuration.allowsUnsafeTransactions = true
            let reader = try DatabaseQueue(path: scratch.path, configuration: configuration)
            try reader.inDatabase { db in
                try db.execute(sql: "BEGIN")
                _ = try Row.fetchAll(db, sql: "SELECT * FROM ledger")
            }
            let bytes = [UInt8](repeating: 1, count: 100_000)
            for number in 0..<200 { try await backend.put(Samples.entry(Samples.key("\(number)"), bytes: bytes)) }
            try reader.inDatabase { db in try db.execute(sql: "COMMIT") }
            for number in 0..<5 { try await backend.put(Samples.entry(Samples.key("last \(number)"), bytes: bytes)) }
            #expect(scratch.size <= Self.bound)
        }
    }

    @Test func `removals that other processes made are told by name, or as much that was missed`() async throws {
        let scratch = try Scratch()
        try await scratch.withBackend(sizeLimit: 1_000_000) { mine in
            try await scratch.withBackend(sizeLimit: 1_000_000) { theirs in
                let named = mine.changes()
                _ = try await theirs.remove(.key(Samples.key("missing")), now: Samples.now)
                for await changes in named {
                    let names = changes.compactMap { if case .written(let key, _) = $0 { key } else { nil } }
                    #expect(names == [Samples.key("missing")])
                    break
                }
                let unnamed = mine.changes()
                let tail = String(repeating: "x", count: 8_000)
                for number in 0..<50 {
                    _ = try await theirs.remove(.key(Samples.key("\(number)\(tail)")), now: Samples.now)
                }
                _ = try await theirs.remove(.key(Samples.key("last")), now: Samples.now)
                for await changes in unnamed
                where changes.contains(where: { change in
                    if case .written(let key, _) = change { return key == Samples.key("last") }
                    return change == .missed
                }) { break }
            }
        }
    }

    @Test func `what is larger than SQLite takes is not kept`() async throws {
        let scratch = try Scratch()
        let lane = Lane(DatabaseFile(path: scratch.path, maximumPageCount: nil, logger: LogLines().logger), .writer)
        let (large, small) = (Samples.entry(bytes: [UInt8](repeating: 1, count: 100_000)), Samples.entry())
        let outcome = try await lane.perform { transaction in
            transaction.db.largestRow = 50_000
            return try transaction.save(large, fence: nil, releasing: nil)
        }
        #expect(outcome == .notKept(try #require(outcome.generation)))
        _ = try await lane.perform { try $0.save(small, fence: nil, releasing: nil) }
        // A text that is too long by itself.
        let text = String(repeating: "x", count: 100_000)
        await #expect(throws: NotStorable.self) { try await lane.perform { try $0.saveHotKeys([text], cache: "c") } }
        #expect(try await lane.perform(\.ledger.entries) == 1)
        await lane.close()
    }
}
