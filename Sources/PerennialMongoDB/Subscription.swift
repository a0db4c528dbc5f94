internal import CMongoc
import Foundation
import Perennial
import PerennialConnections

/// A connection on which the server tells what happens, by a change stream of the whole database; where there is none,
/// one that says from time to time that something may have happened.
final class Subscription: BlockingConnection {
    /// How often, where there are no change streams.
    static let pollInterval = Duration.seconds(2)
    /// How long the server may wait with an answer when nothing happens.
    private static let wait = Duration.milliseconds(250)

    private let connection: MongoConnection
    private let stream: OpaquePointer?
    private let feed: ChangeFeed
    private let bell: Doorbell
    private var polledAt = ContinuousClock.now
    /// The caches whose collections are not named like them.
    private var caches: [String: String] = [:]

    /// Whether there is no change stream.
    var mustPoll: Bool { stream == nil }
    var isUsable: Bool { connection.isUsable }

    /// - Throws: ``ConnectionError``.
    init(_ address: MongoAddress, feed: ChangeFeed, bell: Doorbell) throws(ConnectionError) {
        // It waits longer than the shortest time-outs.
        let connection = try MongoConnection(address, patience: max(address.timeout, .seconds(2)))
        do throws(ConnectionError) {
            stream = try connection.watch(Self.pipeline, wait: Self.wait)
        } catch {
            connection.close()
            throw error
        }
        self.connection = connection
        self.feed = feed
        self.bell = bell
    }

    func close() {
        if let stream { mongoc_change_stream_destroy(stream) }
        connection.close()
    }

    /// What makes a key's generation another, what purges a cache, what queues a job; and what says that much is gone.
    private static let pipeline: BSON = [
        [
            "$match": [
                "$or": [
                    ["operationType": ["$in": ["insert", "replace", "drop", "dropDatabase", "rename", "invalidate"]]],
                    ["updateDescription.updatedFields.generation": ["$exists": true]],
                    ["updateDescription.updatedFields.last_purge": ["$exists": true]],
                    ["updateDescription.updatedFields.state": "queued"],
                ]
            ]
        ],
        [
            "$project": [
                "operationType": 1, "ns": 1, "documentKey": 1, "fullDocument.generation": 1,
                "fullDocument.last_purge": 1, "updateDescription.updatedFields.generation": 1,
                "updateDescription.updatedFields.last_purge": 1,
            ]
        ],
    ]

    /// Takes what comes, for half a second at most.
    func listen() throws {
        guard let stream else { return try poll() }
        let events = try connection.changes(stream)
        var changes: [StoreChange] = []
        var mustRing = false
        for event in events {
            let collection = event["ns"]?.document?["coll"]?.text
            let fields =
                event["fullDocument"]?.document ?? event["updateDescription"]?.document?["updatedFields"]?.document
            switch collection {
            case Collections.jobs?: mustRing = true
            case Collections.version?: break
            case Collections.caches?:
                if let purge = fields?["last_purge"] {
                    changes.append(Self.purge(purge, of: event["documentKey"]?.document?["_id"]?.text))
                }
            case let collection?:
                guard let key = event["documentKey"]?.document?["_id"]?.text else {
                    changes.append(.missed)
                    continue
                }
                // Without one: a lease on a missing key.
                guard let generation = fields?["generation"]?.number else { continue }
                if let cache = try cache(of: collection) {
                    changes.append(.written(EntryKey(cache: cache, key: key), Generation(generation)))
                } else {
                    changes.append(.missed)
                }
            case nil: changes.append(.missed)
            }
        }
        if mustRing { bell.ring() }
        feed.publish(changes)
    }

    /// What is said of a purge: its number, and the tag behind it if it has one.
    private static func purge(_ purge: BSON, of cache: String?) -> StoreChange {
        guard let cache else { return .missed }
        if let sequence = purge.number {
            return .purged(cache: cache, tag: nil, Generation(Stamp.generation(sequence)))
        }
        let parts = purge.text?.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false) ?? []
        guard parts.count == 2, let sequence = Int64(parts[0]) else { return .missed }
        return .purged(cache: cache, tag: String(parts[1]), Generation(Stamp.generation(sequence)))
    }

    /// The cache whose entries are in a collection.
    private func cache(of collection: String) throws(ConnectionError) -> String? {
        if !collection.contains("%") { return collection }
        if let cache = caches[collection] { return cache }
        caches = Dictionary(
            try connection.caches().keys.map { (Collections.entries(of: $0), $0) },
            uniquingKeysWith: { first, _ in first })
        return caches[collection]
    }

    private func poll() throws {
        Thread.sleep(forTimeInterval: 0.25)
        guard ContinuousClock.now - polledAt >= Self.pollInterval else { return }
        polledAt = .now
        try connection.ping()
        feed.publish([.missed])
        bell.ring()
    }
}
