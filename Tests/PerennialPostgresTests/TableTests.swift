import Perennial
import PerennialConnections
import PerennialTesting
import TestServers
import Testing

@testable import PerennialPostgres

/// What is in the tables, as those find it who look there.
@Suite(.serialized) struct TableTests {
    /// Runs SQL beside the backend.
    private func sql(_ scratch: Scratch, _ text: String) async throws -> String? {
        let url = scratch.url
        return try await aside { try PostgresConnection(PostgresAddress(url), isListener: true).text(text) }
    }

    @Test func `refreshing again and again does not blow the tables up`() async throws {
        // On a server of its own: old rows stay while anybody on the server may still see them.
        let scratch = try await Scratch(try await aside { try PostgresServer(options: ["-c", "fsync=off"]) })
        let backend = try scratch.open()
        let keys = (0..<100).map { Samples.key("https://api.example.com/\($0)") }
        func refreshAll(_ round: Int) async throws {
            let now = Samples.now + .hours(Int64(round))
            try await withThrowingTaskGroup(of: Void.self) { group in
                for key in keys {
                    group.addTask {
                        let entry = Samples.entry(key, bytes: Array(repeating: UInt8(round % 256), count: 500), at: now)
                        guard case .saved(let generation) = try await backend.save(entry, fence: nil, releasing: nil)
                        else { return }
                        let job = Samples.job(key, generation: generation, token: "\(round)")
                        _ = try await backend.claimRefresh(job, leaseUntil: now + .minutes(1), now: now)
                    }
                }
                try await group.waitForAll()
            }
            let taken = try await backend.dequeue(
                caches: ["people"], limit: 1000, worker: "w", until: now + .minutes(1), now: now)
            #expect(taken.count == keys.count)
            try await backend.complete(taken)
        }
        let size = "SELECT pg_relation_size('entry') + pg_relation_size('lease')"
        for round in 0..<5 { try await refreshAll(round * 2) }
        let before = Int(try await sql(scratch, size) ?? "") ?? 0
        for round in 5..<60 { try await refreshAll(round * 2) }
        let after = Int(try await sql(scratch, size) ?? "") ?? 0
        print("100 entries refreshed 5 times: \(before) bytes, 60 times: \(after) bytes")
        #expect(before > 0 && after < before * 3)
        // The statistics of a connection are there when it is closed, at the latest.
        await scratch.closeAll()
        let reader = try await Scratch(scratch.server)
        let share = "SELECT (100 * n_tup_hot_upd / n_tup_upd)::text FROM pg_stat_user_tables WHERE relname = 'job'"
        let hot = Int(try await sql(reader, share) ?? "") ?? 0
        print("taking a job touches no index in \(hot) of 100 cases")
        #expect(hot > 50)
    }

    @Test func `taking some of many jobs reads those, not all that wait, nor those of other caches`() async throws {
        let scratch = try await Scratch()
        let backend = try scratch.open()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<2_000 {
                let job = Samples.job(Samples.key("\(number)", cache: "others"))
                group.addTask { _ = try await backend.enqueue(job, notBefore: Samples.now, now: Samples.now) }
            }
            try await group.waitForAll()
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<2_000 {
                group.addTask {
                    let at = Samples.now + .milliseconds(number)
                    _ = try await backend.enqueue(Samples.job(Samples.key("\(number)")), notBefore: at, now: at)
                }
            }
            try await group.waitForAll()
        }
        let now = Samples.now + .minutes(1)
        for round in 0..<40 {
            let taken = try await backend.dequeue(
                caches: ["people", "none"], limit: 10, worker: "w", until: now + .minutes(1), now: now)
            #expect(taken.map(\.job.key.key) == (0..<10).map { "\(round * 10 + $0)" })
            try await backend.complete(taken)
        }
        // The statistics of a connection are there when it is closed, at the latest.
        await scratch.closeAll()
        let read =
            "SELECT idx_tup_fetch::text FROM pg_stat_user_tables WHERE relname = 'job' AND schemaname = '\(scratch.schema)'"
        let count = Int(try await sql(scratch, read) ?? "") ?? 0
        print("taking 400 of 2,000 jobs by tens read \(count) rows")
        #expect(count > 400 && count < 10_000)
    }

    @Test func `a row that makes no sense is taken for missing, and saving mends it`() async throws {
        for damage in ["value = NULL", "size = 7", "expire_after = -1", "value = '\\x00'"] {
            let scratch = try await Scratch()
            let backend = try scratch.open()
            _ = try await backend.save(Samples.entry(), fence: nil, releasing: nil)
            _ = try await sql(scratch, "UPDATE entry SET \(damage)")
            let record = try await backend.read([Samples.key()])[0]
            #expect(record.entry == nil)
            #expect(backend.unreadableCount == 1)
            let outcome = try await backend.save(Samples.entry(), fence: record.fence, releasing: nil)
            #expect(outcome != .superseded)
            #expect(try await backend.read([Samples.key()])[0].entry?.bytes == Samples.entry().bytes)
            await scratch.closeAll()
        }
    }

    @Test func `texts with the character zero are kept`() async throws {
        let scratch = try await Scratch()
        let backend = try scratch.open()
        let keys = ["\0", "a\0b", "\u{1}", "\u{1}0", "a\u{1}\0"].map { Samples.key($0, cache: "odd\0") }
        for key in keys {
            _ = try await backend.save(Samples.entry(key, tags: ["\0\(key.key)"]), fence: nil, releasing: nil)
        }
        for key in keys {
            let entry = try await backend.read([key])[0].entry
            #expect(entry?.metadata.key == key)
            #expect(entry?.metadata.tags == ["\0\(key.key)"])
        }
        let listed = try await backend.list(cache: "odd\0", tag: nil, after: nil, limit: 10).map(\.key)
        #expect(Set(listed) == Set(keys))
        await scratch.closeAll()
    }

    @Test func `tables of a newer Perennial are refused with a word on what to do`() async throws {
        let scratch = try await Scratch()
        let first = try scratch.open()
        _ = try await first.statistics()
        _ = try await sql(scratch, "INSERT INTO version (number) VALUES (99) RETURNING number")
        let backend = try scratch.open()
        let error = await #expect(throws: ConnectionError.self) { try await backend.statistics() }
        #expect(error?.description.contains("was made by a newer Perennial") == true)
        await scratch.closeAll()
    }

    @Test func `people see entries in a view`() async throws {
        let scratch = try await Scratch()
        let backend = try scratch.open()
        _ = try await backend.save(Samples.entry(tags: ["x"]), fence: nil, releasing: nil)
        let line = try await sql(
            scratch,
            "SELECT cache || '/' || key || ' ' || refresh_after || ' ' || array_to_string(tags, ',') || ' ' || convert_from(value, 'UTF8') FROM entries"
        )
        #expect(line == #"people/ada 01:00:00 x {"name":"Ada"}"#)
        await scratch.closeAll()
    }
}
