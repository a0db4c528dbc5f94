import Perennial
import PerennialConnections
import PerennialTesting
import TestServers
import Testing

@testable import PerennialMongoDB

/// What is in the database, as those find it who look there.
@Suite(.serialized) struct DocumentTests {
    /// Does something beside the backend.
    private func beside<Result: Sendable>(
        _ scratch: Scratch, _ work: @escaping @Sendable (MongoConnection) throws -> Result
    ) async throws -> Result {
        let url = scratch.url
        return try await aside {
            let connection = try MongoConnection(MongoAddress(url))
            defer { connection.close() }
            return try work(connection)
        }
    }

    @Test func `people find entries by what is in them`() async throws {
        let scratch = try await Scratch()
        let backend = try scratch.open()
        for (name, followers) in [("ada", 1200), ("bob", 7)] {
            let json = #"{"name":"\#(name)","followers":\#(followers),"links":["a\/b",null,true,0.5]}"#
            let entry = Samples.entry(Samples.key(name, cache: "tweeters"), bytes: Array(json.utf8), tags: ["x"])
            _ = try await backend.save(entry, fence: nil, releasing: nil)
            #expect(try await backend.read([entry.metadata.key])[0].entry?.bytes == entry.bytes)
        }
        let found = try await beside(scratch) { try $0.find("tweeters", ["value.followers": ["$gt": 1000]]) }
        #expect(found.map { $0["_id"] } == ["ada"])
        #expect(found[0]["modify_date"] == .date(Samples.now.milliseconds))
        #expect(found[0]["dead_at"] == .date((Samples.now + .days(7)).milliseconds))
        #expect(found[0]["tags"] == ["x"])
        // The very bytes can be made from it.
        #expect(found[0]["raw"] == nil)
        await scratch.closeAll()
    }

    @Test func `bytes that MongoDB would write otherwise are kept beside, and read`() async throws {
        let scratch = try await Scratch()
        let backend = try scratch.open()
        let texts = [
            #"{ "a": 1 }"#, #"{"a":1.0}"#, #"{"a":1e400}"#, #"{"a":1,"a":2}"#, #"{"$a":1}"#, #"{"a.b":{"c":1}}"#,
            #"{"a":"/"}"#, #"{"a":"\u00e9"}"#, #"{"a":12345678901234567890}"#, #"["a",{"b":[]}]"#, "7", "{", "",
            "\u{FEFF}{}",
            #"{"a":"\ud800"}"#, #"{"":""}"#, "{\"a\":\"\\u0000\"}", String(repeating: "[", count: 500),
            String(repeating: "[", count: 80) + String(repeating: "]", count: 80),
        ]
        for text in texts {
            let entry = Samples.entry(bytes: Array(text.utf8))
            _ = try await backend.save(entry, fence: nil, releasing: nil)
            #expect(try await backend.read([Samples.key()])[0].entry?.bytes == entry.bytes, "\(text)")
        }
        await scratch.closeAll()
    }

    @Test func `a document that makes no sense is taken for missing, and saving mends it`() async throws {
        let damages: [(BSON.Document)] = [
            ["$unset": ["value": true]], ["$set": ["size": 7]], ["$set": ["expire_after": -1]],
            ["$set": ["value": "x"]],
            ["$set": ["tags": "x"]], ["$set": ["generation": "x"]], ["$set": ["basis": "x"]],
            ["$unset": ["basis": true]], ["$set": ["modify_date": [:]]], ["$set": ["lease": 7]],
        ]
        for damage in damages {
            let scratch = try await Scratch()
            let backend = try scratch.open()
            _ = try await backend.save(Samples.entry(), fence: nil, releasing: nil)
            _ = try await beside(scratch) { try $0.update("people", ["_id": "ada"], damage) }
            let record = try await backend.read([Samples.key()])[0]
            if damage != ["$set": ["lease": 7]] {
                #expect(record.entry == nil, "\(damage)")
                #expect(backend.unreadableCount == 1, "\(damage)")
            }
            let lease = try await backend.lease(
                [Samples.key()], token: "t", until: Samples.now + .seconds(1), now: Samples.now)
            #expect(lease[0].record.entry == record.entry)
            let outcome = try await backend.save(Samples.entry(), fence: record.fence, releasing: "t")
            #expect(outcome != .superseded, "\(damage)")
            #expect(try await backend.read([Samples.key()])[0].entry?.bytes == Samples.entry().bytes, "\(damage)")
            await scratch.closeAll()
        }
    }

    @Test func `a purge whose process died on the way is in force, also over what was saved behind its back`()
        async throws
    {
        for removes in [true, false] {
            let scratch = try await Scratch()
            let backend = try scratch.open()
            guard
                case .saved(let generation) = try await backend.save(
                    Samples.entry(tags: ["x"]), fence: nil, releasing: nil)
            else { return }
            let fence = try await backend.read([Samples.key()])[0].fence
            // It is entered, and nothing more.
            _ = try await beside(scratch) {
                try $0.enter(tag: "x", cache: "people", removes: removes, at: Samples.now, begin: Samples.now)
            }
            let record = try await backend.read([Samples.key()])[0]
            if removes {
                #expect(record.entry == nil)
                #expect(try await backend.list(cache: nil, tag: nil, after: nil, limit: 9).isEmpty)
            } else {
                #expect(record.entry?.metadata.markedStaleAt == Samples.now)
                #expect(record.entry!.metadata.generation > generation)
                let job = Samples.job(generation: record.entry!.metadata.generation)
                let claim = try await backend.claimRefresh(
                    job, leaseUntil: Samples.now + .minutes(1), now: Samples.now)
                guard case .queued = claim else {
                    Issue.record("\(claim)")
                    return
                }
            }
            #expect(
                try await backend.save(Samples.entry(tags: ["x"]), fence: fence, releasing: nil) == .superseded)
            // An expiration of the key hides nothing of it.
            _ = try await backend.markStale(.key(Samples.key()), now: Samples.now)
            #expect((try await backend.read([Samples.key()])[0].entry == nil) == removes)
            // The janitor finishes it.
            _ = try await backend.maintain(now: Samples.now + .minutes(2))
            let document = try await beside(scratch) { try $0.find("people", ["_id": "ada"]).first }
            #expect((document?["value"] == nil) == removes)
            let after = try await backend.read([Samples.key()])[0]
            #expect(try await backend.save(Samples.entry(), fence: after.fence, releasing: nil) != .superseded)
            await scratch.closeAll()
        }
    }

    @Test func `a save from before a purge that is written after it is gone from the start`() async throws {
        let scratch = try await Scratch()
        let backend = try scratch.open()
        _ = try await backend.save(Samples.entry(Samples.key("other")), fence: nil, releasing: nil)
        let removed = try await beside(scratch) { connection in
            // The save takes its number and looks, then somebody else purges, then it writes.
            try connection.change(Samples.key(), now: Samples.now) { _, _, sequence in
                let other = try? MongoConnection(MongoAddress(scratch.url))
                let horizon = try? other?.enter(
                    tag: nil, cache: "people", removes: true, at: Samples.now, begin: Samples.now)
                _ = try? other?.carryOut(horizon!.purges.last!, cache: "people")
                other?.close()
                return EntryDocument.save(Samples.entry().metadata, Samples.entry().bytes, sequence: sequence)
            }
        }
        #expect(removed != nil)
        #expect(try await backend.read([Samples.key()])[0].entry == nil)
        // One who looks now may save over it.
        let fence = try await backend.read([Samples.key()])[0].fence
        #expect(try await backend.save(Samples.entry(), fence: fence, releasing: nil) != .superseded)
        #expect(try await backend.read([Samples.key()])[0].entry != nil)
        await scratch.closeAll()
    }

    @Test func `a save that is still under way when a reader looks is not overwritten by what the reader brings`()
        async throws
    {
        let scratch = try await Scratch()
        let backend = try scratch.open()
        _ = try await backend.save(Samples.entry(Samples.key("other")), fence: nil, releasing: nil)
        let reader = try scratch.open()
        let fence = try await beside(scratch) { connection in
            var fence = Generation.zero
            _ = try connection.change(Samples.key(), now: Samples.now) { _, _, sequence in
                // Another purge raises the sequence, a reader looks and sees nothing, then the save is written.
                let other = try? MongoConnection(MongoAddress(scratch.url))
                _ = try? other?.enter(tag: "y", cache: "people", removes: true, at: Samples.now, begin: Samples.now)
                other?.beginBatch()
                other?.want([Samples.key()])
                fence = (try? other?.records([Samples.key()]) { _ in })?.first?.fence ?? fence
                other?.close()
                return EntryDocument.save(Samples.entry().metadata, [1], sequence: sequence)
            }
            return fence
        }
        #expect(fence > .zero)
        #expect(try await reader.save(Samples.entry(bytes: [2]), fence: fence, releasing: nil) == .superseded)
        #expect(try await reader.read([Samples.key()])[0].entry?.bytes == [1])
        await scratch.closeAll()
    }

    @Test func `texts with the character zero are kept`() async throws {
        let scratch = try await Scratch()
        let backend = try scratch.open()
        let keys = ["\0", "a\0b", "\u{1}"].map { Samples.key($0, cache: "odd\0") }
        for key in keys {
            _ = try await backend.save(Samples.entry(key, tags: ["\0\(key.key)"]), fence: nil, releasing: nil)
        }
        for key in keys {
            let entry = try await backend.read([key])[0].entry
            #expect(entry?.metadata.key == key)
            #expect(entry?.metadata.tags == ["\0\(key.key)"])
        }
        await scratch.closeAll()
    }

    @Test func `a database of a newer Perennial is refused with a word on what to do`() async throws {
        let scratch = try await Scratch()
        let first = try scratch.open()
        _ = try await first.statistics()
        _ = try await beside(scratch) { try $0.update("perennial.version", [:], ["$set": ["number": 99]]) }
        let backend = try scratch.open()
        let error = await #expect(throws: ConnectionError.self) { try await backend.statistics() }
        #expect(error?.description.contains("was made by a newer Perennial") == true)
        await scratch.closeAll()
    }

    @Test func `a job that makes no sense is taken away, and the others are done`() async throws {
        let scratch = try await Scratch()
        let backend = try scratch.open()
        for name in ["a", "b"] {
            _ = try await backend.enqueue(Samples.job(Samples.key(name)), notBefore: Samples.now, now: Samples.now)
        }
        _ = try await beside(scratch) { try $0.update("perennial.jobs", ["key": "a"], ["$set": ["queued_at": "x"]]) }
        let taken = try await backend.dequeue(
            caches: ["people"], limit: 5, worker: "w", until: Samples.now + .minutes(1), now: Samples.now)
        #expect(taken.map(\.job.key.key) == ["b"])
        #expect(try await backend.jobs(state: nil, after: nil, limit: 5).count == 1)
        await scratch.closeAll()
    }

    @Test func `a wrong password is told, and not shown`() async throws {
        let first = try await aside { try MongoServer(options: ["--sync-on-commit"]) }
        try await aside {
            let admin = try MongoConnection(MongoAddress("mongodb://127.0.0.1:\(first.port)/admin"))
            defer { admin.close() }
            _ = try admin.command(["createUser": "app", "pwd": "right", "roles": ["root"]], writes: false)
            first.kill()
        }
        let server = try await aside { try MongoServer(options: ["--auth"], folder: first.folder) }
        func statistics(_ user: String) async throws -> StoreStatistics {
            let backend = try MongoDBBackend(
                url: "mongodb://\(user)127.0.0.1:\(server.port)/x?authSource=admin&timeout=20")
            do {
                let statistics = try await backend.statistics()
                await backend.close()
                return statistics
            } catch {
                await backend.close()
                throw error
            }
        }
        #expect(try await statistics("app:right@").entries == 0)
        for user in ["app:wrong@", "other:wrong@"] {
            let error = await #expect(throws: ConnectionError.self) { try await statistics(user) }
            #expect(error?.description.contains("does not let this user in") == true, "\(error?.description ?? "")")
            #expect(error?.description.contains("wrong") == false)
        }
        await #expect(throws: ConnectionError.self) { try await statistics("") }
    }

    @Test func `without change streams, what another machine does is heard of by revalidating`() async throws {
        let server = try await aside { try MongoServer(options: ["--standalone"]) }
        let scratch = try await Scratch(server)
        let (here, there) = (try scratch.open(), try scratch.open())
        let url = scratch.url
        let mustPoll = try await aside {
            let subscription = try Subscription(MongoAddress(url), feed: ChangeFeed(), bell: Doorbell())
            defer { subscription.close() }
            return subscription.mustPoll
        }
        #expect(mustPoll)
        let stream = here.changes()
        _ = try await there.save(Samples.entry(), fence: nil, releasing: nil)
        // Once when it connects, then from time to time.
        var count = 0
        for await changes in stream where changes.contains(.missed) {
            count += 1
            if count == 3 { break }
        }
        #expect(try await here.read([Samples.key()])[0].entry != nil)
        await scratch.closeAll()
    }
}

/// Bytes and names, without a server.
@Suite struct FormTests {
    @Test func `documents become bytes and documents again, and no bytes crash`() {
        let document: BSON.Document = [
            "double": .double(0.5), "text": "é\0", "document": ["a": 1], "array": [1, "x", .null],
            "binary": .binary([0, 1]),
            "id": .objectID(Array(0..<12)), "flag": true, "date": .date(-1), "null": .null, "small": 7,
            "large": .int64(1 << 40),
        ]
        let bytes = document.bytes
        func read(_ bytes: [UInt8]) -> BSON.Document? { bytes.withUnsafeBytes { BSON.Document(bytes: $0) } }
        #expect(read(bytes) == document)
        for count in bytes.indices { #expect(read(Array(bytes.prefix(count))) == nil) }
        var random = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            var damaged = bytes
            for _ in 0..<3 {
                damaged[Int.random(in: bytes.indices, using: &random)] = .random(in: 0...255, using: &random)
            }
            _ = read(damaged)
        }
    }

    @Test func `caches have collections of their own, named like them where that is possible`() {
        let names = [
            "", "%", "people", "People", "a b", "a%20b", ".", "a.b", "$x", "system.x", "perennial.jobs",
            "%70erennial.jobs", "é",
            "\0", String(repeating: "long/", count: 400), String(repeating: "long/", count: 401),
        ]
        let collections = names.map { Collections.entries(of: $0) }
        #expect(Set(collections).count == names.count)
        #expect(collections[2] == "people" && collections[7] == "a.b")
        for collection in collections {
            #expect(collection.utf8.count <= 120 && !collection.isEmpty && !collection.contains("$"))
            #expect(!collection.hasPrefix("perennial.") && !collection.hasPrefix("system."))
        }
    }

    @Test func `addresses that make no sense are refused, without their passwords`() throws {
        for url in [
            "http://u:secret@h/", "mongodb://u:secret@h/a%20b", "mongodb://u:secret@h/x?timeout=0",
            "mongodb://u:secret@h:99999/x", "mongodb://u:secret@h/x?w=-5", "mongodb+srv://u:secret@a/x",
        ] {
            let error = #expect(throws: MongoDBBackendError.self) { try MongoDBBackend(url: url) }
            #expect(error.map { !$0.description.contains("secret") } == true, "\(url): \(error?.description ?? "")")
        }
        let address = try MongoAddress("mongodb://u:secret@h:1,i:2/?replicaSet=r&timeout=0.5&tls=true")
        #expect(address.database == "perennial")
        #expect(address.timeout == .milliseconds(500))
        #expect(address.name == "mongodb://***:***@h:1,i:2")
    }
}
