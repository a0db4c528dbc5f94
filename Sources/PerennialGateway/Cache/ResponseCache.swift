public import Logging
public import NIOCore
internal import NIOPosix
public import Perennial
public import PerennialHTTP

/// The gateway's cache of one origin's responses: an engine's cache named `http`, whose fetch speaks HTTP.
///
/// A gateway answers from it. A worker process has one without a gateway: its refresh workers do what gateways on the same
/// backend have queued.
public final class ResponseCache: Sendable {
    /// Entries and jobs carry this name in the backend.
    public static let name = "http"

    public let origin: OriginURL
    public let cache: Cache<String, CachedResponse>
    let keys: AddressKeys
    let fetch: OriginFetch
    let unstorable: UnstorableKeys
    let client: OriginClient
    let time: any TimeSource

    /// - Parameters:
    ///   - group: the event loops for connections to the origin. Default: the process's own.
    ///   - observer: is told what the cache does; must be quick.
    /// - Throws: ``Perennial/PolicyError`` when settings contradict each other.
    public init(
        configuration: GatewayConfiguration,
        backend: any Backend = InMemoryBackend(),
        group: (any EventLoopGroup)? = nil,
        time: any TimeSource = SystemTime(),
        logger: Logger? = nil,
        observer: (@Sendable (CacheEvent) -> Void)? = nil
    ) throws(PolicyError) {
        // First what can fail: a client that was made must be shut down.
        let policy = try configuration.policy()
        let rate = try configuration.rate()
        origin = configuration.origin
        keys = AddressKeys(origin: origin, limit: configuration.maxTarget)
        client = OriginClient(configuration: configuration, group: group ?? MultiThreadedEventLoopGroup.singleton)
        unstorable = UnstorableKeys(duration: configuration.unstorableMemory)
        self.time = time
        let fetch = OriginFetch(
            origin: origin, client: client, mode: configuration.effectiveFreshness,
            allowances: configuration.allowances,
            originFields: configuration.originFields, maxBody: configuration.maxBody, unstorable: unstorable,
            time: time)
        self.fetch = fetch
        cache = Cache(
            Self.name, policy: policy, backend: backend, codec: .cachedResponse,
            memory: MemoryLimits(bytes: configuration.memory),
            origin: OriginGuard(concurrency: configuration.originConcurrency, rate: rate, time: time),
            workers: configuration.workers, time: time, logger: logger, observer: observer
        ) { key, context in
            try await fetch.fetch(key, context, for: nil)
        }
    }

    /// The key of an address as a person writes it: a URL at the origin, or a path alone.
    /// - Throws: ``PerennialHTTP/AddressError``, in one line for whoever wrote it.
    public func key(for input: String) throws(AddressError) -> String {
        try origin.key(forInput: input, limit: keys.limit)
    }

    /// Marks every response stored for an address stale (soft purge).
    /// - Parameter key: from ``key(for:)``.
    /// - Returns: how many there were.
    public func expire(_ key: String) async throws -> Int {
        let variants = try await cache.expire(tag: key)
        return try await cache.expire(key) ? variants + 1 : variants
    }

    /// Removes every response stored for an address (hard purge).
    /// - Parameter key: from ``key(for:)``.
    /// - Returns: how many there were.
    @discardableResult
    public func remove(_ key: String) async throws -> Int {
        let variants = try await cache.remove(tag: key)
        return try await cache.remove(key) ? variants + 1 : variants
    }

    /// Removes what the answer to an unsafe request makes out of date: it has to be asked for again, so marking it stale would
    /// not do (RFC 9111 §4.4).
    /// - Throws: the store's first error, when all has been tried.
    func remove(_ invalidation: Invalidation) async throws {
        var failure: (any Error)?
        for tag in invalidation.keys + invalidation.tags {
            do { try await cache.remove(tag: tag) } catch { failure = failure ?? error }
        }
        for key in invalidation.keys {
            do { try await cache.remove(key) } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
    }

    /// Saves what somebody else asked the origin for, as if a refresh had brought it.
    /// - Parameters:
    ///   - key: as a job names it: from ``key(for:)``, with a variant behind it or not.
    ///   - fence: the generation of the entry that was found stale: if it was written since, nothing is saved. `nil`: saves always.
    ///   - lease: the lease that the work was done under, which ends.
    /// - Returns: the new generation; `nil` when the entry was written since.
    /// - Throws: ``NotAccepted`` when the answer may not be saved; the store's error.
    public func accept(
        _ key: String, status: Int, fields: HeaderFields, body: [UInt8], fence: Generation?, lease: LeaseToken?
    ) async throws -> Generation? {
        guard origin.target(ofKey: primaryKey(of: key)) != nil else {
            throw NotAccepted(reason: "\(primaryKey(of: key)) is not at the origin \(origin)")
        }
        let now = time.now
        let response = OriginResponse(status: status, fields: fields, requestedAt: now, receivedAt: now)
        let request = cache.peek(key)?.value?.requestFields ?? selectingFields(ofKey: key)
        let fetched = try fetch.accept(response, body, key: key, request: request).get()
        return try await cache.accept(fetched, for: key, fence: fence, releasing: lease)
    }

    /// Stops the workers, which finish or hand back what they do, and closes the connections to the origin.
    public func shutdown(deadline: Duration = .seconds(10)) async {
        await cache.shutdown(deadline: deadline)
        await client.shutdown()
    }
}

/// Why an answer that was handed over is not saved.
public struct NotAccepted: Error, Hashable, CustomStringConvertible {
    public let reason: String
    public var description: String { reason }
}
