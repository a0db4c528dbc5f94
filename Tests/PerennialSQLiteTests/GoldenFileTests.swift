import Foundation
import GRDB
import Perennial
import PerennialTesting
import Testing

@testable import PerennialSQLite

/// Files that earlier versions wrote are read completely. A golden file is never changed: for a new version of the
/// schema, add one.
///
/// They are made by this test target itself: `PERENNIAL_GOLDEN=version3.sqlite swift test --filter GoldenFileTests`
/// writes the current version's file into `Golden`.
@Suite struct GoldenFileTests {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Golden").path
    private static let moment = Timestamp(milliseconds: 1_764_000_000_000)

    private static let entries: [StoredEntry] = {
        var ada = Samples.entry(
            Samples.key("ada"), at: moment, tags: ["a\nb", "math", "ünï"],
            validator: Validator(etag: "W/\"1\"", lastModified: "Sun, 06 Nov 1994 08:49:37 GMT"))
        ada.metadata.limits = Limits(raising: .milliseconds(1), .hours(5), .forever)
        ada.metadata.savedAt = moment - .days(400)
        var nobody = Samples.entry(Samples.key("nobody", cache: "people/absent"), bytes: [], at: moment)
        nobody.metadata.isAbsent = true
        nobody.metadata.format = "none"
        var big = Samples.entry(
            Samples.key("big"), bytes: (0..<20_000).map { UInt8(truncatingIfNeeded: $0) }, at: moment)
        big.metadata.markedStaleAt = moment + .seconds(7)
        return [ada, big, nobody]
    }()

    /// Leases, a removed key, a purged tag, and jobs in every state.
    private static func write(to path: String) async throws {
        let backend = try SQLiteBackend(path: path)
        for entry in entries { try await backend.put(entry) }
        try await backend.put(Samples.entry(Samples.key("gone"), at: moment))
        _ = try await backend.remove(.key(Samples.key("gone")), now: moment)
        _ = try await backend.remove(.tag("purged", cache: "people"), now: moment)
        _ = try await backend.lease([Samples.key("ada")], token: "holder", until: moment + .days(1), now: moment)
        try await backend.saveHotKeys(["ada", "a\nb"], cache: "people")
        for name in ["dead", "runs", "waits"] {
            let job = Samples.job(Samples.key(name), generation: Generation(7), token: "token \(name)", at: moment)
            _ = try await backend.enqueue(job, notBefore: moment, now: moment)
        }
        let until = moment + .minutes(1)
        let taken = try await backend.dequeue(caches: ["people"], limit: 3, worker: "w1", until: until, now: moment)
        for delivery in taken where delivery.job.key.key == "dead" {
            try await backend.bury(delivery, error: "HTTP 500", now: moment + .seconds(1))
        }
        for delivery in taken where delivery.job.key.key == "waits" {
            try await backend.retry(delivery, at: moment + .seconds(9), error: "HTTP 503")
        }
        await backend.close()
    }

    @Test(.enabled(if: ProcessInfo.processInfo.environment["PERENNIAL_GOLDEN"] != nil))
    func `writes a golden file`() async throws {
        let name = try #require(ProcessInfo.processInfo.environment["PERENNIAL_GOLDEN"])
        try await Self.write(to: "\(Self.folder)/\(name)")
    }

    @Test(arguments: ["version1.sqlite", "version2.sqlite", "version3.sqlite"])
    func `a file of an earlier version is read completely`(_ name: String) async throws {
        let scratch = try Scratch()
        try FileManager.default.copyItem(atPath: "\(Self.folder)/\(name)", toPath: scratch.path)
        try await scratch.withBackend { backend in
            let records = try await backend.read(Self.entries.map(\.metadata.key))
            for (record, wanted) in zip(records, Self.entries) {
                var found = try #require(record.entry)
                #expect(found.metadata.generation > .zero)
                found.metadata.generation = .zero
                #expect(found == wanted)
            }
            let listed = try await backend.list(cache: nil, tag: nil, after: nil, limit: 10).map(\.key)
            #expect(listed == [Samples.key("ada"), Samples.key("big"), Samples.key("nobody", cache: "people/absent")])
            let tagged = try await backend.list(cache: nil, tag: "a\nb", after: nil, limit: 10).map(\.key)
            #expect(tagged == [Samples.key("ada")])
            #expect(try await backend.statistics().entries == 3)
            #expect(backend.unreadableCount == 0)
            #expect(
                try await backend.hotKeys(cache: "people", page: 0)
                    == (name == "version1.sqlite" ? [] : ["ada", "a\nb"]))

            // The removed key and the purged tag still keep older work from saving.
            let old = Generation(1)
            let gone = try await backend.save(Samples.entry(Samples.key("gone")), fence: old, releasing: nil)
            #expect(gone == .superseded)
            let purged = Samples.entry(Samples.key("new"), tags: ["purged"])
            #expect(try await backend.save(purged, fence: old, releasing: nil) == .superseded)

            let lease = try await backend.lease(
                [Samples.key("ada")], token: "other", until: Self.moment + .days(2), now: Self.moment)
            guard case .held(Self.moment + .days(1), _) = lease[0] else { return #expect(Bool(false), "\(lease)") }

            let jobs = try await backend.jobs(state: nil, after: nil, limit: 10)
            let wanted = [
                JobRecord(
                    id: "1", key: Samples.key("dead"), state: .dead, failures: 1, queuedAt: Self.moment,
                    at: Self.moment + .seconds(1), error: "HTTP 500"),
                JobRecord(
                    id: "2", key: Samples.key("runs"), state: .running, failures: 0, queuedAt: Self.moment,
                    at: Self.moment + .minutes(1), worker: "w1"),
                JobRecord(
                    id: "3", key: Samples.key("waits"), state: .queued, failures: 1, queuedAt: Self.moment,
                    at: Self.moment + .seconds(9), error: "HTTP 503"),
            ]
            #expect(jobs == wanted)
            #expect(try await backend.counts() == [.queued: 1, .running: 1, .dead: 1])
            let later = Self.moment + .minutes(1)
            #expect(try await backend.replay("1", now: later) == 1)
            let due = try await backend.dequeue(
                caches: ["people"], limit: 9, worker: "w2", until: later + .minutes(1), now: later)
            #expect(due.map(\.job.key.key) == ["waits", "dead", "runs"])
            #expect(due.map(\.attempt) == [2, 1, 1])
            #expect(due.map(\.isRedelivery) == [false, false, true])
            #expect(
                due[0].job
                    == Samples.job(
                        Samples.key("waits"), generation: Generation(7), token: "token waits", at: Self.moment))
        }
    }

    @Test func `a process of an earlier version, which knows nothing of marks, can't go on with a file of this one`()
        async throws
    {
        let scratch = try Scratch()
        try FileManager.default.copyItem(atPath: "\(Self.folder)/version2.sqlite", toPath: scratch.path)
        let earlier = try DatabaseQueue(path: scratch.path)
        let ledger = "SELECT sequence, forgotten_keys, forgotten_purges, last_purge, entries FROM ledger"
        #expect(try await earlier.read { try Row.fetchOne($0, sql: ledger) } != nil)
        try await scratch.withBackend { _ = try await $0.put(Samples.entry()) }
        await #expect(throws: DatabaseError.self) { try await earlier.read { _ = try Row.fetchOne($0, sql: ledger) } }
    }

    @Test func `there is a golden file of the present version`() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: Self.folder)
        #expect(names.contains("version\(Schema.version).sqlite"))
    }

    @Test func `what is written now has the tables of the golden file`() async throws {
        let scratch = try Scratch()
        try await Self.write(to: scratch.path)
        func tables(_ path: String) throws -> [String] {
            var configuration = Configuration()
            configuration.readonly = true
            return try DatabaseQueue(path: path, configuration: configuration).read { db in
                try String.fetchAll(db, sql: "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
            }
        }
        let copy = scratch.folder + "/golden.sqlite"
        let golden = "\(Self.folder)/version\(Schema.version).sqlite"
        try FileManager.default.copyItem(atPath: golden, toPath: copy)
        #expect(try tables(scratch.path) == tables(copy))
    }
}
