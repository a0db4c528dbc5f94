public import Logging

extension Cache where Value: Codable {
    /// A cache of values stored as JSON whose fetch returns a plain value. Parameters: see the other initialiser.
    public convenience init(
        _ name: String,
        policy: Policy = .standard,
        backend: any Backend = InMemoryBackend(),
        codec: Codec<Value> = .json,
        migrate: Migrate<Value>? = nil,
        memory: MemoryLimits = .standard,
        origin: OriginGuard = OriginGuard(),
        workers: Int = 2,
        time: any TimeSource = SystemTime(),
        random: any Randomness = SystemRandomness(),
        logger: Logger? = nil,
        observer: (@Sendable (CacheEvent) -> Void)? = nil,
        batch: BatchFetch<Key, Value>? = nil,
        fetch: @escaping @Sendable (Key, FetchContext<Value>) async throws -> Value
    ) {
        self.init(
            name, policy: policy, backend: backend, codec: codec, migrate: migrate, memory: memory, origin: origin,
            workers: workers, time: time, random: random, logger: logger, observer: observer, batch: batch,
            answering: { key, context in .value(try await fetch(key, context)) })
    }

    /// A cache of values stored as JSON whose fetch may answer more than a value: "not modified", "absent", limits, tags,
    /// a validator. Parameters: see the other initialiser.
    public convenience init(
        _ name: String,
        policy: Policy = .standard,
        backend: any Backend = InMemoryBackend(),
        migrate: Migrate<Value>? = nil,
        memory: MemoryLimits = .standard,
        origin: OriginGuard = OriginGuard(),
        workers: Int = 2,
        time: any TimeSource = SystemTime(),
        random: any Randomness = SystemRandomness(),
        logger: Logger? = nil,
        observer: (@Sendable (CacheEvent) -> Void)? = nil,
        batch: BatchFetch<Key, Value>? = nil,
        answering fetch: @escaping Fetch<Key, Value>
    ) {
        self.init(
            name, policy: policy, backend: backend, codec: .json, migrate: migrate, memory: memory, origin: origin,
            workers: workers, time: time, random: random, logger: logger, observer: observer, batch: batch,
            answering: fetch)
    }
}
