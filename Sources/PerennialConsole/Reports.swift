public import Perennial
import PerennialHTTP

/// An entry as people and scripts see it. Its field names are stable: scripts read them.
public struct EntryReport: Codable, Hashable, Sendable {
    public var url: String
    /// The request fields that chose this variant; left out when the origin's answers do not vary.
    public var variant: String?
    public var state: State
    public var ageSeconds: Double
    /// The value's bytes as they are stored.
    public var size: Int
    /// The origin said "no such thing".
    public var absent: Bool
    public var tags: [String]
    public var generation: Int64
    public var etag: String?
    public var lastModified: String?
    /// Times are ISO 8601, in UTC. A time that never comes is left out.
    public var savedAt: String?
    public var confirmedAt: String?
    public var staleAt: String?
    public var expiresAt: String?
    /// Until then an expired entry may be served when the origin fails.
    public var uselessAt: String?
    /// When it was expired by hand, if it was since the origin last confirmed it.
    public var markedStaleAt: String?
    public var limits: LimitsReport

    public init(_ metadata: EntryMetadata, now: Timestamp) {
        let parts = KeyParts(metadata.key.key)
        let freshness = metadata.freshness
        url = parts.url
        variant = parts.variant
        state = freshness.state(at: now)
        ageSeconds = freshness.age(at: now).inSeconds
        size = metadata.size
        absent = metadata.isAbsent
        // A variant's own address is among its tags, so that the variants of an address are found; that is no news.
        tags = metadata.tags.filter { $0 != parts.url }
        generation = metadata.generation.number
        etag = metadata.validator?.etag
        lastModified = metadata.validator?.lastModified
        savedAt = metadata.savedAt.iso8601
        confirmedAt = metadata.confirmedAt.iso8601
        staleAt = freshness.staleAt.iso8601
        expiresAt = freshness.expiresAt.iso8601
        uselessAt = freshness.uselessAt.iso8601
        markedStaleAt = metadata.markedStaleAt?.iso8601
        limits = LimitsReport(metadata.limits)
    }
}

/// An entry's three limits, in seconds.
public struct LimitsReport: Codable, Hashable, Sendable {
    public var refreshAfterSeconds: Double
    public var expireAfterSeconds: Double
    public var staleIfErrorSeconds: Double

    public init(_ limits: Limits) {
        refreshAfterSeconds = limits.refreshAfter.inSeconds
        expireAfterSeconds = limits.expireAfter.inSeconds
        staleIfErrorSeconds = limits.staleIfError.inSeconds
    }
}

/// Everything about one entry: its metadata, the saved answer's head, and its job.
public struct EntryDetail: Codable, Hashable, Sendable {
    public var entry: EntryReport
    /// Left out when the stored bytes are not an HTTP answer that this version can read.
    public var response: ResponseReport?
    /// Left out when no refresh is queued, running or dead.
    public var job: JobReport?
}

/// The head of a saved HTTP answer.
public struct ResponseReport: Codable, Hashable, Sendable {
    public struct Field: Codable, Hashable, Sendable {
        public var name: String
        public var value: String

        public init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    public var status: Int
    public var headers: [Field]

    public init(status: Int, headers: [Field]) {
        self.status = status
        self.headers = headers
    }

    /// - Returns: `nil` when the bytes are no answer that this version can read.
    init?(_ entry: StoredEntry) {
        guard !entry.bytes.isEmpty, let response = try? StoredResponse(decoding: entry.bytes) else { return nil }
        self.init(
            status: response.status, headers: response.fields.map { Field(name: $0.name, value: $0.value) })
    }
}

/// A refresh job as people and scripts see it.
public struct JobReport: Codable, Hashable, Sendable {
    public var id: String
    public var url: String
    public var variant: String?
    public var state: JobState
    /// How many attempts have failed.
    public var failures: Int
    /// Since it was queued.
    public var ageSeconds: Double
    public var queuedAt: String?
    /// Queued: due from then on. Running: belongs to the worker until then. Dead: when it was buried.
    public var at: String?
    /// What the last failed attempt said.
    public var error: String?
    public var worker: String?

    public init(_ job: JobRecord, now: Timestamp) {
        let parts = KeyParts(job.key.key)
        id = job.id
        url = parts.url
        variant = parts.variant
        state = job.state
        failures = job.failures
        ageSeconds = max(.zero, now - job.queuedAt).inSeconds
        queuedAt = job.queuedAt.iso8601
        at = job.at.iso8601
        error = job.error
        worker = job.worker
    }
}

/// An origin, and what of it is left alone.
public struct OriginReport: Codable, Hashable, Sendable {
    /// An address that is left alone.
    public struct Address: Codable, Hashable, Sendable {
        public var url: String
        public var variant: String?
        public var state: OriginGuard.CircuitState
        public var since: String?
        /// Left out when the next request tries it.
        public var until: String?
        public var reason: String
    }

    public var url: String
    public var state: OriginGuard.CircuitState
    /// Left out while it is asked.
    public var since: String?
    public var until: String?
    public var reason: String?
    /// Requests in progress, and those that wait for their turn.
    public var running: Int
    public var waiting: Int
    /// How often it has been left alone as a whole since the gateway began, and how often one of its addresses has
    /// been.
    public var openings: Int
    public var addressOpenings: Int
    /// How many of its addresses are left alone, and those that have been for longest.
    public var addressCount: Int
    public var addresses: [Address]

    public init(_ url: String, _ status: OriginGuard.Status) {
        self.url = url
        state = status.state
        since = status.since?.iso8601
        until = status.closedUntil?.iso8601
        reason = status.reason
        running = status.running
        waiting = status.waiting
        openings = status.openings
        addressOpenings = status.addressOpenings
        addressCount = status.addressCount
        addresses = status.addresses.map { address in
            let parts = KeyParts(address.address)
            return Address(
                url: parts.url, variant: parts.variant, state: address.state, since: address.since.iso8601,
                until: address.until?.iso8601, reason: address.reason)
        }
    }
}

/// How much is in a store and its queue.
public struct StatisticsReport: Codable, Hashable, Sendable {
    public struct Jobs: Codable, Hashable, Sendable {
        public var queued: Int
        public var running: Int
        public var dead: Int
    }

    public var store: StoreStatistics
    public var jobs: Jobs
}

/// One page of a longer list.
public struct Page<Item: Codable & Sendable>: Codable, Sendable {
    public var items: [Item]
    /// Hand it back as `after` to get the next page; left out on the last one.
    public var next: String?
}

extension Duration {
    /// This duration in seconds, to the millisecond.
    public var inSeconds: Double { Double(milliseconds) / 1000 }
}
