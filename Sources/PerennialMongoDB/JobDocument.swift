import Perennial

/// A job as a document of `perennial.jobs`:
///
/// ```
/// { _id: "6:people/ada", id: ObjectId(…), cache: "people", key: "ada", state: "queued", at: ISODate(…), queued_at: ISODate(…),
///   generation: …, lease_token: "…", failures: 0, taken: 0, receipt: "…", worker: "…", error: "…" }
/// ```
///
/// `_id` is the cache and the key, with the length of the cache's name before it, so that a key has one job, whoever adds it.
/// `id` is new with each job. `taken` counts how often the present attempt was given to a worker that has not given it back: more
/// than none when it is taken means that a worker vanished.
enum JobDocument {
    static func id(of key: EntryKey) -> String { "\(key.cache.utf8.count):\(key.cache)/\(key.key)" }

    /// The update that makes a job, or puts one in the place of a dead letter.
    static func update(_ job: RefreshJob, id: JobIDs.ID, at: Timestamp) -> BSON.Document {
        [
            "$set": [
                "id": .objectID(id), "cache": .text(job.key.cache), "key": .text(job.key.key), "state": "queued",
                "at": .date(clamping: at), "queued_at": .time(job.queuedAt),
                "generation": .int64(job.generation.number),
                "lease_token": .text(job.leaseToken), "failures": 0, "taken": 0,
            ],
            "$unset": ["receipt": true, "worker": true, "error": true],
        ]
    }

    /// What gives a job that was found to a worker, if it still is as it was.
    static func take(
        _ document: BSON.Document, _ receipt: String, worker: String, until: Timestamp
    ) -> MongoConnection.Change {
        let filter: BSON.Document = [
            "_id": document["_id"] ?? .null, "at": document["at"] ?? .null, "state": document["state"] ?? .null,
            "id": document["id"] ?? ["$exists": false], "receipt": document["receipt"] ?? ["$exists": false],
        ]
        let update: BSON.Document = [
            "$set": [
                "state": "running", "at": .date(clamping: until), "worker": .text(worker), "receipt": .text(receipt),
            ], "$inc": ["taken": 1],
        ]
        return MongoConnection.Change(filter: filter, update: update)
    }

    /// - Parameter document: as it was before it was taken.
    /// - Returns: `nil` when it makes no sense.
    static func delivery(_ document: BSON.Document, receipt: String) -> Delivery? {
        guard case .objectID(let id)? = document["id"], let key = key(document),
            let generation = document["generation"]?.number, let token = document["lease_token"]?.text,
            let queuedAt = document["queued_at"]?.time
        else { return nil }
        let job = RefreshJob(
            key: key, generation: Generation(generation), leaseToken: token, queuedAt: queuedAt)
        return Delivery(
            id: JobIDs.text(id), job: job, attempt: failures(document) + 1,
            receipt: receipt,
            isRedelivery: document["taken"]?.number ?? 0 > 0)
    }

    /// - Returns: `nil` when it makes no sense.
    static func record(_ document: BSON.Document) -> JobRecord? {
        guard case .objectID(let id)? = document["id"], let key = key(document),
            let state = document["state"]?.text.flatMap({ JobState(rawValue: $0) }),
            let queuedAt = document["queued_at"]?.time, let at = document["at"]?.time
        else { return nil }
        return JobRecord(
            id: JobIDs.text(id), key: key, state: state, failures: failures(document),
            queuedAt: queuedAt, at: at, error: document["error"]?.text, worker: document["worker"]?.text)
    }

    private static func failures(_ document: BSON.Document) -> Int {
        Int(min(max(document["failures"]?.number ?? 0, 0), 1_000_000))
    }

    private static func key(_ document: BSON.Document) -> EntryKey? {
        guard let cache = document["cache"]?.text, let key = document["key"]?.text else { return nil }
        return EntryKey(cache: cache, key: key)
    }
}

/// New ids of jobs, in the form of MongoDB's own: they begin with the time, so later jobs have greater ones, but for the moment's.
enum JobIDs {
    typealias ID = [UInt8]

    static func new(at now: Timestamp) -> ID {
        let seconds = UInt32(truncatingIfNeeded: now.milliseconds / 1000)
        return withUnsafeBytes(of: seconds.bigEndian) { Array($0) } + (0..<8).map { _ in UInt8.random(in: 0...255) }
    }

    static func text(_ id: ID) -> JobID {
        id.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    /// - Returns: `nil` when it is none.
    static func parse(_ text: JobID) -> ID? {
        let digits = Array(text.utf8)
        guard digits.count == 24 else { return nil }
        var id: ID = []
        for index in stride(from: 0, to: 24, by: 2) {
            guard let byte = UInt8(String(decoding: digits[index...index + 1], as: UTF8.self), radix: 16) else {
                return nil
            }
            id.append(byte)
        }
        return id
    }
}
