public import Perennial
import PerennialConnections
import Synchronization

extension MongoDBBackend: Backend {
    public var store: any Store { self }
    public var queue: any RefreshQueue { self }

    public func claimRefresh(_ job: RefreshJob, leaseUntil: Timestamp, now: Timestamp) async throws -> ClaimOutcome {
        try await writes.perform { [self] connection in
            if let outcome = try claim(job, until: leaseUntil, now: now, connection) { return outcome }
            // Its document has got the generation that readers see.
            return try claim(job, until: leaseUntil, now: now, connection) ?? .claimed(until: now + .seconds(1))
        }
    }

    /// - Returns: `nil`: the document was behind what readers see of it; now it is not.
    private func claim(
        _ job: RefreshJob, until leaseUntil: Timestamp, now: Timestamp, _ connection: MongoConnection
    ) throws(ConnectionError) -> ClaimOutcome? {
        let (collection, key) = (Collections.entries(of: job.key.cache), job.key)
        // One step: the entry is still the one that was found stale, nobody has the lease, and now it is this job's.
        var filter = MongoConnection.freeLease(key, token: job.leaseToken, now: now)
        filter.append("generation", .int64(job.generation.number))
        filter.append("basis", ["$exists": true])
        let isMine =
            try connection.findAndModify(
                collection, filter, ["$set": ["lease": MongoConnection.lease(job.leaseToken, until: leaseUntil)]],
                fields: ["_id": 1]) != nil
        if isMine {
            do throws(ConnectionError) {
                if try add(job, at: now, connection) { return .queued }
            } catch {
                return .notQueued(error)
            }
            // A job from an earlier claim still waits, under that claim's token: leave it the lease.
            try connection.release(key, token: job.leaseToken)
            return .claimed(until: leaseUntil)
        }
        let horizon = try connection.horizons([key.cache])[key.cache] ?? Horizon()
        let document = try connection.find(collection, ["_id": .text(key.key)], limit: 1).first
        let record = horizon.record(document, key, unreadable: noteUnreadable)
        if record.entry?.metadata.generation != job.generation { return .newer(record) }
        let known = KnownKey(document)
        if known.generation != job.generation.number, let mark = record.entry?.metadata.markedStaleAt {
            // A purge that marked it has not come to it: it was written a moment later, by a save from before.
            _ = try connection.update(
                collection, known.unchanged(key.key),
                ["$set": ["generation": .int64(job.generation.number)], "$min": ["marked_stale_at": .time(mark)]])
            return nil
        }
        // If it has ended since, somebody else is at it in this very moment.
        let held = document?["lease"]?.document?["until"]?.time ?? now
        return .claimed(until: max(held, now + .seconds(1)))
    }

    /// - Returns: whether there was none for this key.
    private func add(_ job: RefreshJob, at: Timestamp, _ connection: MongoConnection) throws(ConnectionError) -> Bool {
        try makeJobIndexes(connection)
        // If there is one that is no dead letter, it is not found, and none can be made with its `_id`.
        let count = try connection.update(
            Collections.jobs, ["_id": .text(JobDocument.id(of: job.key)), "state": "dead"],
            JobDocument.update(job, id: JobIDs.new(at: time.now), at: at), upserts: true)
        if count == nil { return false }
        bell.ring()
        return true
    }

    private func makeJobIndexes(_ connection: MongoConnection) throws(ConnectionError) {
        if indexed.withLock({ $0.contains(Self.jobs) }) { return }
        _ = try connection.command(
            [
                "createIndexes": .text(Collections.jobs),
                "indexes": [
                    ["key": ["at": 1, "id": 1], "name": "due"], ["key": ["id": 1], "name": "id"],
                    ["key": ["receipt": 1], "name": "receipt", "sparse": true],
                ],
            ], writes: true)
        indexed.withLock { _ = $0.insert(Self.jobs) }
    }

    /// Among the names of caches it is none: those are written otherwise.
    private static let jobs = "\0" + Collections.jobs
}

extension MongoDBBackend: RefreshQueue {
    public func enqueue(_ job: RefreshJob, notBefore: Timestamp, now: Timestamp) async throws -> Bool {
        try await writes.perform(canRepeat: false) { [self] in try add(job, at: notBefore, $0) }
    }

    private static let waiting: BSON = ["$in": ["queued", "running"]]

    public func dequeue(
        caches: [String], limit: Int, worker: String, until: Timestamp, now: Timestamp
    ) async throws -> [Delivery] {
        seenRings.store(bell.rings, ordering: .relaxed)
        served.withLock { $0.formUnion(caches) }
        if limit <= 0 || caches.isEmpty { return [] }
        let names = BSON.array(Set(caches).map { .text($0) })
        // Not twice: the first time may have taken some.
        return try await writes.perform(canRepeat: false) { connection in
            var taken: [Delivery] = []
            while taken.count < limit {
                let due = try connection.find(
                    Collections.jobs,
                    ["at": ["$lte": .date(clamping: now)], "state": Self.waiting, "cache": ["$in": names]],
                    sort: ["at": 1, "id": 1], limit: limit - taken.count)
                if due.isEmpty { break }
                // What was found may be another's by now: only those are taken that are as they were.
                let receipts = due.map { _ in JobIDs.text(JobIDs.new(at: now)) }
                let count = try connection.update(
                    Collections.jobs, zip(due, receipts).map { JobDocument.take($0, $1, worker: worker, until: until) })
                let mine: Set<String> =
                    count == due.count
                    ? Set(receipts) : count == 0 ? [] : try connection.current(receipts)
                for (document, receipt) in zip(due, receipts) where mine.contains(receipt) {
                    if let delivery = JobDocument.delivery(document, receipt: receipt) {
                        taken.append(delivery)
                    } else {
                        // It makes no sense: nobody can do it.
                        _ = try connection.delete(Collections.jobs, ["receipt": .text(receipt)])
                    }
                }
                // Its worker's time is over already: it would be taken again and again.
                if until <= now { break }
            }
            return taken
        }
    }

    public func extend(_ deliveries: [Delivery], until: Timestamp) async throws -> [Delivery] {
        if deliveries.isEmpty { return [] }
        let receipts: BSON.Document = ["receipt": ["$in": .array(deliveries.map { .text($0.receipt) })]]
        return try await writes.perform { connection in
            _ = try connection.update(
                Collections.jobs, receipts, ["$set": ["at": .date(clamping: until)]], isForMany: true)
            let current = try connection.current(deliveries.map(\.receipt))
            return deliveries.filter { current.contains($0.receipt) }
        }
    }

    public func complete(_ deliveries: [Delivery]) async throws {
        if deliveries.isEmpty { return }
        let receipts: BSON.Document = ["receipt": ["$in": .array(deliveries.map { .text($0.receipt) })]]
        try await writes.perform { _ = try $0.delete(Collections.jobs, receipts) }
    }

    public func retry(_ delivery: Delivery, at: Timestamp, error: String) async throws {
        try await putBack(
            delivery,
            [
                "$set": ["state": "queued", "at": .date(clamping: at), "error": .text(error), "taken": 0],
                "$inc": ["failures": 1],
            ])
    }

    public func giveBack(_ delivery: Delivery, at: Timestamp) async throws {
        try await putBack(
            delivery, ["$set": ["state": "queued", "at": .date(clamping: at)], "$inc": ["taken": -1]])
    }

    public func bury(_ delivery: Delivery, error: String, now: Timestamp) async throws {
        try await putBack(
            delivery,
            [
                "$set": ["state": "dead", "at": .date(clamping: now), "error": .text(error), "taken": 0],
                "$inc": ["failures": 1],
            ])
    }

    private func putBack(_ delivery: Delivery, _ change: BSON.Document) async throws {
        var update = change
        update.append("$unset", ["receipt": true, "worker": true])
        let known = update
        let count = try await writes.perform {
            try $0.update(Collections.jobs, ["receipt": .text(delivery.receipt)], known)
        }
        if count ?? 0 > 0 { bell.ring() }
    }

    // MARK: Looking

    public func jobs(state: JobState?, after: JobID?, limit: Int) async throws -> [JobRecord] {
        if limit <= 0 { return [] }
        var filter: BSON.Document = [:]
        if let state { filter.append("state", .text(state.rawValue)) }
        if let after = after.flatMap({ JobIDs.parse($0) }) { filter.append("id", ["$gt": .objectID(after)]) }
        let known = filter
        return try await browser.perform { connection in
            try connection.find(Collections.jobs, known, sort: ["id": 1], limit: limit)
                .compactMap { JobDocument.record($0) }
        }
    }

    public func replay(_ id: JobID?, now: Timestamp) async throws -> Int {
        var filter: BSON.Document = ["state": "dead"]
        if let id {
            guard let id = JobIDs.parse(id) else { return 0 }
            filter.append("id", .objectID(id))
        }
        let known = filter
        let count = try await writes.perform { connection in
            try connection.update(
                Collections.jobs, known,
                [
                    "$set": ["state": "queued", "at": .date(clamping: now), "failures": 0, "taken": 0],
                    "$unset": ["error": true],
                ], isForMany: true) ?? 0
        }
        if count > 0 { bell.ring() }
        return count
    }

    public func correctTimes(
        caches: [String], queuedAfter: Timestamp, dueAfter: Timestamp, heldAfter: Timestamp, now: Timestamp
    ) async throws -> Int {
        let names = BSON.array(Set(caches).map { .text($0) })
        let least = min(queuedAfter, dueAfter)
        let count = try await bulk.perform { connection in
            // By the index of what may become due: no job is due before it was queued.
            let waiting = try connection.update(
                Collections.jobs,
                [
                    "at": ["$gt": .date(clamping: least)], "state": "queued", "cache": ["$in": names],
                    "$or": [
                        ["queued_at": ["$gt": .date(clamping: queuedAfter)]],
                        ["at": ["$gt": .date(clamping: dueAfter)]],
                    ],
                ],
                ["$set": ["at": .date(clamping: now)], "$min": ["queued_at": .date(clamping: now)]], isForMany: true)
            let running = try connection.update(
                Collections.jobs,
                ["at": ["$gt": .date(clamping: heldAfter)], "state": "running", "cache": ["$in": names]],
                ["$set": ["at": .date(clamping: heldAfter)]], isForMany: true)
            return (waiting ?? 0) + (running ?? 0)
        }
        if count > 0 { bell.ring() }
        return count
    }

    public func counts() async throws -> [JobState: Int] {
        try await bulk.perform { connection in
            var counts: [JobState: Int] = [:]
            let groups = try connection.aggregate(
                Collections.jobs, [["$group": ["_id": "$state", "count": ["$sum": 1]]]])
            for group in groups {
                guard let state = group["_id"]?.text.flatMap({ JobState(rawValue: $0) }) else { continue }
                counts[state] = Int(clamping: group["count"]?.number ?? 0)
            }
            return counts
        }
    }

    public func waitForJobs(timeout: Duration) async {
        let seen = seenRings.exchange(bell.rings, ordering: .relaxed)
        let now = time.now
        let caches = served.withLock { BSON.array($0.map { .text($0) }) }
        let due = try? await reads.perform { connection in
            try connection.find(
                Collections.jobs,
                ["at": ["$gt": .date(clamping: now)], "state": Self.waiting, "cache": ["$in": caches]],
                ["at": 1], sort: ["at": 1], limit: 1
            ).first?["at"]?.time
        }
        let wait = (due ?? nil).map { max(.zero, $0 - now) }
        await bell.wait(after: seen, timeout: min(timeout, wait ?? timeout), time: time)
    }
}

extension MongoConnection {
    /// Those of the receipts that jobs have.
    fileprivate func current(_ receipts: [String]) throws(ConnectionError) -> Set<String> {
        let found = try find(
            Collections.jobs, ["receipt": ["$in": .array(receipts.map { .text($0) })]], ["receipt": 1])
        return Set(found.compactMap { $0["receipt"]?.text })
    }
}
