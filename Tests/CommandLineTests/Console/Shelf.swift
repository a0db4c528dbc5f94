import Perennial
import PerennialConsole
import PerennialHTTP
import PerennialTesting

/// A store with a few answers, and an administration over it.
struct Shelf {
    let clock = ManualClock()
    let backend: InMemoryBackend
    static let api = "https://api.example.com"

    init() {
        backend = InMemoryBackend(time: clock)
    }

    func administration(origin: OriginURL? = nil) -> Administration {
        Administration(store: backend.store, queue: backend.queue, origin: origin, time: clock)
    }

    @discardableResult
    func put(
        _ key: String, tags: [String] = [], body: String = "hello",
        limits: Limits = Limits(raising: .hours(1), .days(7), .days(7))
    ) async throws -> Generation {
        let response = StoredResponse(
            status: 200, fields: ["Content-Type": "text/plain", "ETag": "\"1\""], body: Array(body.utf8))
        let metadata = EntryMetadata(
            key: EntryKey(cache: "http", key: key), format: StoredResponse.format, savedAt: clock.now,
            confirmedAt: clock.now, limits: limits, validator: Validator(etag: "\"1\""), tags: tags.sorted())
        let outcome = try await backend.store.save(
            StoredEntry(metadata: metadata, bytes: response.encode()), fence: nil, releasing: nil)
        guard case .saved(let generation) = outcome else { throw Unsaved() }
        return generation
    }

    /// Queues a refresh and lets its attempt fail for good.
    func bury(_ key: String, error: String) async throws {
        let queue = backend.queue
        let job = RefreshJob(
            key: EntryKey(cache: "http", key: key), generation: .zero, leaseToken: "t", queuedAt: clock.now)
        _ = try await queue.enqueue(job, notBefore: clock.now, now: clock.now)
        let deliveries = try await queue.dequeue(
            caches: ["http"], limit: 10, worker: "w", until: clock.now + .seconds(30), now: clock.now)
        for delivery in deliveries { try await queue.bury(delivery, error: error, now: clock.now) }
    }

    struct Unsaved: Error {}
}
