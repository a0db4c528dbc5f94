internal import CMongoc
import Perennial
import PerennialConnections
import Synchronization

/// A connection to a MongoDB server through libmongoc. One thread at a time uses it.
final class MongoConnection: BlockingConnection {
    /// Once a process.
    static let start: Void = perennial_start()

    private let client: OpaquePointer
    private let preference: OpaquePointer
    private let address: MongoAddress
    private let patience: Duration
    private(set) var isUsable = true

    /// What the work of the present batch asks for, and what it got.
    private var batch = Batch()

    private struct Batch {
        var keys: [EntryKey] = []
        var documents: [EntryKey: BSON.Document]?
        var horizons: [String: Horizon] = [:]
        /// How many numbers of each cache's sequence will be wanted.
        var wanted: [String: Int64] = [:]
        var allotted: [String: (next: Int64, horizon: Horizon)] = [:]
    }

    /// Connects.
    /// - Parameter patience: how long one call may take; default: the address's time-out.
    /// - Throws: ``ConnectionError``, which names no password.
    init(_ address: MongoAddress, patience: Duration? = nil) throws(ConnectionError) {
        self.address = address
        self.patience = patience ?? address.timeout
        let uri: OpaquePointer
        do throws(EngineURLError) {
            uri = try address.makeURI(patience: self.patience)
        } catch {
            throw ConnectionError(.refused, error.description)
        }
        defer { mongoc_uri_destroy(uri) }
        guard let client = mongoc_client_new_from_uri(uri) else {
            throw ConnectionError(.unreachable, "can't reach \(address.name)")
        }
        mongoc_client_set_error_api(client, 2)
        self.client = client
        // What a secondary has may be older than what others know already.
        preference = mongoc_read_prefs_new(MONGOC_READ_PRIMARY)
        do throws(ConnectionError) {
            try checkVersion()
        } catch {
            close()
            throw error
        }
    }

    func close() {
        mongoc_read_prefs_destroy(preference)
        mongoc_client_destroy(client)
    }

    private static let version: Int64 = 1

    private func checkVersion() throws(ConnectionError) {
        let found = try find(Collections.version, ["_id": "perennial"], limit: 1).first?["number"]?.number
        if let found {
            guard found <= Self.version else {
                throw ConnectionError(
                    .refused,
                    "\(address.name): the database \(address.database) was made by a newer Perennial (version \(found), this one knows"
                        + " \(Self.version)); upgrade, or choose another database")
            }
            return
        }
        _ = try update(
            Collections.version, ["_id": "perennial"], ["$setOnInsert": ["number": .int64(Self.version)]], upserts: true
        )
    }

    // MARK: Commands

    /// - Parameter writes: whether the write concern goes with it.
    /// - Throws: ``ConnectionError``; not for a duplicate key, then the result is `nil`.
    func command(_ command: BSON.Document, writes: Bool) throws(ConnectionError) -> BSON.Document? {
        let bytes = command.bytes
        var error = bson_error_t()
        var reply: UnsafeMutablePointer<UInt8>?
        var length: UInt32 = 0
        let began = ContinuousClock.now
        let isDone = perennial_command(
            client, address.database, bytes, bytes.count, writes, preference, &reply, &length, &error)
        defer { bson_free(reply) }
        let answer = BSON.Document(bytes: UnsafeRawBufferPointer(start: reply, count: Int(length)))
        let failures = answer?["writeErrors"]?.array?.compactMap(\.document) ?? []
        if let failure = failures.first {
            let code = failure["code"]?.number ?? 0
            if code == 11000 { return nil }
            throw refusal(code, failure["errmsg"]?.text ?? "", since: began)
        }
        guard isDone else {
            if error.code == 11000 { return nil }
            throw failure(&error, since: began)
        }
        guard let answer else { throw ConnectionError(.refused, "\(address.name) gave an answer that is no document") }
        return answer
    }

    /// Finds documents, all of them.
    func find(
        _ collection: String, _ filter: BSON.Document, _ projection: BSON.Document = [:], sort: BSON.Document = [:],
        limit: Int = 0
    ) throws(ConnectionError) -> [BSON.Document] {
        var options: BSON.Document = [:]
        if !projection.isEmpty { options.append("projection", .document(projection)) }
        if !sort.isEmpty { options.append("sort", .document(sort)) }
        if limit > 0 { options.append("limit", .int64(Int64(limit))) }
        let (filterBytes, optionBytes) = (filter.bytes, options.bytes)
        let handle = mongoc_client_get_collection(client, address.database, collection)
        defer { mongoc_collection_destroy(handle) }
        let began = ContinuousClock.now
        guard
            let cursor = perennial_find(
                handle, filterBytes, filterBytes.count, optionBytes, optionBytes.count, preference)
        else { throw ConnectionError(.refused, "\(address.name): the question is no document") }
        defer { mongoc_cursor_destroy(cursor) }
        var found: [BSON.Document] = []
        var bytes: UnsafePointer<UInt8>?
        var length: UInt32 = 0
        while perennial_cursor_next(cursor, &bytes, &length) {
            // What can't be read at all is not there.
            if let document = BSON.Document(bytes: UnsafeRawBufferPointer(start: bytes, count: Int(length))) {
                found.append(document)
            }
        }
        var error = bson_error_t()
        if mongoc_cursor_error(cursor, &error) { throw failure(&error, since: began) }
        return found
    }

    /// Changes one document in one step.
    /// - Returns: the document as it was before or is after; `nil`: none was found, or, with `upserts`, another has its
    ///   `_id`.
    func findAndModify(
        _ collection: String, _ filter: BSON.Document, _ update: BSON, fields: BSON.Document = [:],
        sort: BSON.Document = [:], upserts: Bool = false, returnsNew: Bool = false
    ) throws(ConnectionError) -> BSON.Document? {
        var command: BSON.Document = [
            "findAndModify": .text(collection), "query": .document(filter), "update": update,
            "new": .flag(returnsNew), "upsert": .flag(upserts),
        ]
        if !fields.isEmpty { command.append("fields", .document(fields)) }
        if !sort.isEmpty { command.append("sort", .document(sort)) }
        return try self.command(command, writes: true)?["value"]?.document
    }

    struct Change {
        let filter: BSON.Document
        let update: BSON.Document
        var upserts = false
        var isForMany = false
    }

    /// - Returns: how many documents were found, or made; `nil`: another document has the `_id` of the one to be made.
    func update(_ collection: String, _ changes: [Change]) throws(ConnectionError) -> Int? {
        if changes.isEmpty { return 0 }
        let updates = changes.map { change -> BSON in
            [
                "q": .document(change.filter), "u": .document(change.update), "upsert": .flag(change.upserts),
                "multi": .flag(change.isForMany),
            ]
        }
        let answer = try command(["update": .text(collection), "updates": .array(updates)], writes: true)
        return answer.map { Int($0["n"]?.number ?? 0) }
    }

    func update(
        _ collection: String, _ filter: BSON.Document, _ update: BSON.Document, upserts: Bool = false,
        isForMany: Bool = false
    ) throws(ConnectionError) -> Int? {
        try self.update(
            collection, [Change(filter: filter, update: update, upserts: upserts, isForMany: isForMany)])
    }

    /// - Returns: how many documents are gone.
    func delete(_ collection: String, _ filter: BSON.Document) throws(ConnectionError) -> Int {
        let answer = try command(
            ["delete": .text(collection), "deletes": [["q": .document(filter), "limit": 0]]], writes: true)
        return Int(answer?["n"]?.number ?? 0)
    }

    func aggregate(_ collection: String, _ pipeline: BSON) throws(ConnectionError) -> [BSON.Document] {
        let answer = try command(
            ["aggregate": .text(collection), "pipeline": pipeline, "cursor": [:]], writes: false)
        return answer?["cursor"]?.document?["firstBatch"]?.array?.compactMap(\.document) ?? []
    }

    // MARK: Batches

    func beginBatch() {
        batch = Batch()
    }

    /// These will be asked for with the others of the batch.
    func want(_ keys: [EntryKey]) {
        batch.keys += keys
    }

    /// So many numbers of the cache's sequence will be asked for.
    func wantNumber(_ cache: String) {
        batch.wanted[cache, default: 0] += 1
    }

    /// The records of keys that were wanted.
    func records(_ keys: [EntryKey], unreadable: (EntryKey) -> Void) throws(ConnectionError) -> [StoreRecord] {
        let documents: [EntryKey: BSON.Document]
        if let known = batch.documents {
            documents = known
        } else {
            // First where the caches stand: what is purged after that is above the fence.
            batch.horizons = try horizons(Set(batch.keys.map(\.cache)))
            documents = try self.documents(Set(batch.keys))
            batch.documents = documents
        }
        return keys.map { key in
            (batch.horizons[key.cache] ?? Horizon()).record(documents[key], key, unreadable: unreadable)
        }
    }

    /// The document of each cache; those never written have none.
    func horizons(_ caches: Set<String>) throws(ConnectionError) -> [String: Horizon] {
        var found: [String: Horizon] = [:]
        for document in try find(Collections.caches, ["_id": ["$in": .array(caches.map { .text($0) })]]) {
            if let cache = document["_id"]?.text { found[cache] = Horizon(document) }
        }
        return found
    }

    private func documents(_ keys: Set<EntryKey>) throws(ConnectionError) -> [EntryKey: BSON.Document] {
        var found: [EntryKey: BSON.Document] = [:]
        for (cache, keys) in Dictionary(grouping: keys, by: \.cache) {
            let names = BSON.array(keys.map { .text($0.key) })
            let filter: BSON.Document = keys.count == 1 ? ["_id": .text(keys[0].key)] : ["_id": ["$in": names]]
            for document in try find(Collections.entries(of: cache), filter, ["lease": 0]) {
                if let key = document["_id"]?.text { found[EntryKey(cache: cache, key: key)] = document }
            }
        }
        return found
    }

    // MARK: The sequence

    /// Takes the next number of a cache's sequence, and says where the cache stood then.
    /// - Parameter now: where the sequence begins: with the time, so that one that takes the place of a lost one is
    ///   ahead of it.
    func nextNumber(_ cache: String, now: Timestamp, isFirstTry: Bool = true) throws(ConnectionError) -> (
        Int64, Horizon
    ) {
        if isFirstTry, let allotted = batch.allotted[cache], allotted.next <= allotted.horizon.sequence {
            batch.allotted[cache]!.next += 1
            return (allotted.next, allotted.horizon)
        }
        let count = isFirstTry ? max(1, batch.wanted[cache] ?? 1) : 1
        let horizon = try advance(cache, by: count, now: now)
        let first = horizon.sequence &- count &+ 1
        if isFirstTry { batch.allotted[cache] = (first &+ 1, horizon) }
        return (first, horizon)
    }

    private func advance(
        _ cache: String, by count: Int64, now: Timestamp, entering purge: BSON? = nil, of tag: String? = nil
    )
        throws(ConnectionError) -> Horizon
    {
        var steps: [BSON] = [
            [
                "$set": [
                    "sequence": [
                        "$add": [["$ifNull": ["$sequence", .int64(max(1, now.milliseconds))]], .int64(count)]
                    ]
                ]
            ]
        ]
        if let purge {
            steps.append(["$set": ["purges": ["$concatArrays": [["$ifNull": ["$purges", []]], [purge]]]]])
            // For those who listen.
            let purged: BSON =
                tag.map { tag in
                    ["$concat": [["$toString": "$sequence"], " ", ["$literal": .text(tag)]]]
                } ?? "$sequence"
            steps.append(["$set": ["last_purge": purged]])
        }
        // Two who are the first at once: one finds the other's.
        for _ in 0..<10 {
            if let found = try findAndModify(
                Collections.caches, ["_id": .text(cache)], .array(steps), upserts: true, returnsNew: true)
            {
                return Horizon(found)
            }
        }
        throw ConnectionError(.refused, "\(address.name): the document of the cache can't be written")
    }

    /// Takes a number for a purge, and enters it: from now on it is in force.
    func enter(tag: String?, cache: String, removes: Bool, at now: Timestamp, begin: Timestamp) throws(ConnectionError)
        -> Horizon
    {
        var purge: BSON.Document = [
            "sequence": "$sequence", "removes": ["$literal": .flag(removes)], "at": ["$literal": .time(now)],
        ]
        if let tag { purge.append("tag", ["$literal": .text(tag)]) }
        return try advance(cache, by: 1, now: begin, entering: .document(purge), of: tag)
    }

    // MARK: Listening

    /// What happens in the database from now on. `nil`: a single server without a replica set doesn't tell.
    func watch(_ pipeline: BSON, wait: Duration) throws(ConnectionError) -> OpaquePointer? {
        let pipelineBytes = (["pipeline": pipeline] as BSON.Document).bytes
        let optionBytes = (["maxAwaitTimeMS": .int64(Int64(wait / .milliseconds(1)))] as BSON.Document).bytes
        let database = mongoc_client_get_database(client, address.database)
        defer { mongoc_database_destroy(database) }
        let began = ContinuousClock.now
        guard
            let stream = perennial_watch(
                database, pipelineBytes, pipelineBytes.count, optionBytes, optionBytes.count)
        else { throw ConnectionError(.refused, "\(address.name): the question is no document") }
        var error = bson_error_t()
        guard perennial_change_error(stream, &error) else { return stream }
        mongoc_change_stream_destroy(stream)
        // "The $changeStream stage is only supported on replica sets".
        if error.code == 40573 { return nil }
        throw failure(&error, since: began)
    }

    /// What has come, waiting for it as long as the stream was told to.
    func changes(_ stream: OpaquePointer) throws(ConnectionError) -> [BSON.Document] {
        var found: [BSON.Document] = []
        var bytes: UnsafePointer<UInt8>?
        var length: UInt32 = 0
        let began = ContinuousClock.now
        while found.count < 256, perennial_change_next(stream, &bytes, &length) {
            // One that can't be read is one of which nothing is known.
            found.append(BSON.Document(bytes: UnsafeRawBufferPointer(start: bytes, count: Int(length))) ?? [:])
            // Not waiting for more while there is something to tell.
            if ContinuousClock.now - began > .milliseconds(20) { break }
        }
        var error = bson_error_t()
        if found.isEmpty, perennial_change_error(stream, &error) { throw failure(&error, since: began) }
        return found
    }

    func ping() throws(ConnectionError) {
        _ = try command(["ping": 1], writes: false)
    }

    // MARK: Errors

    private func failure(_ error: inout bson_error_t, since began: ContinuousClock.Instant) -> ConnectionError {
        let text = String(cString: perennial_error_message(&error)).split(whereSeparator: \.isNewline).joined(
            separator: " ")
        let (domain, code) = (mongoc_error_domain_t(error.domain), error.code)
        if domain == MONGOC_ERROR_SERVER || domain == MONGOC_ERROR_WRITE_CONCERN {
            return refusal(Int64(code), text, since: began)
        }
        isUsable = false
        if domain == MONGOC_ERROR_CLIENT && code == MONGOC_ERROR_CLIENT_AUTHENTICATE.rawValue
            || text.contains("uthentication failed")
        {
            return ConnectionError(.refused, "\(address.name) does not let this user in: \(text)")
        }
        // libmongoc says the same of both: a socket that ended, and one on which nothing came in time.
        let limit = domain == MONGOC_ERROR_SERVER_SELECTION ? address.timeout : patience
        if ContinuousClock.now - began >= limit * 0.9 || text.contains("timed out") || text.contains("socket timeout") {
            return ConnectionError(.timedOut, "\(address.name) did not answer within \(limit / .seconds(1)) s")
        }
        if domain == MONGOC_ERROR_SERVER_SELECTION {
            return ConnectionError(.unreachable, "can't reach \(address.name): \(text)")
        }
        if domain == MONGOC_ERROR_COMMAND || domain == MONGOC_ERROR_BSON {
            return ConnectionError(.refused, "\(address.name): \(text)")
        }
        return ConnectionError(.lost, "the connection to \(address.name) broke: \(text)")
    }

    /// What the server itself says (mongodb/src/mongo/base/error_codes.yml).
    private func refusal(_ code: Int64, _ text: String, since began: ContinuousClock.Instant) -> ConnectionError {
        switch code {
        case 13: return ConnectionError(.refused, "\(address.name): this user lacks a right: \(text)")
        case 18, 8000:
            isUsable = false
            return ConnectionError(.refused, "\(address.name) does not let this user in: \(text)")
        case 50, 24:
            return ConnectionError(
                .timedOut, "\(address.name) did not answer within \(patience / .seconds(1)) s: \(text)")
        case 64, 100:
            return ConnectionError(
                .refused,
                "\(address.name): the write was not confirmed by as many servers as the write concern asks for: \(text)"
            )
        case 91, 189, 10107, 11600, 11602, 13435, 13436, 10058:
            // Another is the primary now, or will be; another connection finds it.
            isUsable = false
            return ConnectionError(.lost, "\(address.name) is not, or no longer, the primary: \(text)")
        case 10334, 17280, 17419, 17420:
            return ConnectionError(.notStorable, "\(address.name): too large for MongoDB: \(text)")
        case 14031, 39: return ConnectionError(.refused, "\(address.name) has no room on its disk: \(text)")
        default: return ConnectionError(.refused, "\(address.name): \(text) (\(code))")
        }
    }
}
