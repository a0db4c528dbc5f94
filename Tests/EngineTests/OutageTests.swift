import Logging
import Perennial
import PerennialEngines
import PerennialTesting
import TestServers
import Testing

/// What readers, and those who look at a gateway's readiness, see while an engine is away.
@Suite(.serialized) struct OutageTests {
    @Test(arguments: SharedEngine.allCases)
    func `with the server killed, readers go on from memory and origin, and all heals when it is back`(
        engine: SharedEngine
    ) async throws {
        let server = try await engine.start()
        let open = try openBackend(server)
        let origin = CountingOrigin()
        let cache = origin.cache(open.backend)
        for key in 0..<20 { _ = try await cache["\(key)"] }
        #expect(cache.health.isComplete)

        try await aside { server.kill() }
        for key in 0..<20 { #expect(try await cache.lookup("\(key)").source == .memory) }
        #expect(origin.count == 20)
        // A thousand readers of one cold key ask the origin once.
        let values = try await withThrowingTaskGroup(of: String?.self) { group in
            for _ in 0..<1000 { group.addTask { try await cache["cold"] } }
            return try await group.reduce(into: Set<String?>()) { $0.insert($1) }
        }
        #expect(values == ["cold 21"])
        #expect(!cache.health.isComplete)
        #expect("\(cache.health)".contains("127.0.0.1"))
        #expect(!"\(cache.health)".contains("secret"))

        try await aside { try server.start() }
        try await eventually {
            _ = try await cache["probe \(origin.count)"]
            return cache.health.isComplete
        }
        _ = try await cache["later"]
        #expect(try await open.backend.store.read([EntryKey(cache: "people", key: "later")])[0].entry != nil)
        await cache.shutdown()
        await open.close()
    }

    @Test(arguments: SharedEngine.allCases)
    func `with the server stopped in its tracks, a call fails in its time, and readers are served`(
        engine: SharedEngine
    ) async throws {
        let server = try await engine.start()
        let open = try openBackend(server, "?timeout=0.3")
        let origin = CountingOrigin()
        let cache = origin.cache(open.backend)
        _ = try await cache["a"]
        server.pause()
        let error = try await #require(throws: (any Error).self) {
            try await open.backend.store.read([EntryKey(cache: "people", key: "x")])
        }
        #expect("\(error)".contains("did not answer within"))
        #expect(try await cache.lookup("a").source == .memory)
        #expect(try await cache.lookup("cold").source == .origin)
        #expect(!cache.health.isComplete)
        server.resume()
        try await eventually {
            _ = try await cache["probe \(origin.count)"]
            return cache.health.isComplete
        }
        await cache.shutdown()
        await open.close()
    }

    @Test(arguments: SharedEngine.allCases)
    func `with the server stopped in its tracks, counting and purges of many are given up as soon as reading`(
        engine: SharedEngine
    ) async throws {
        let server = try await engine.start()
        let open = try openBackend(server, "?timeout=0.3")
        let store = open.backend.store
        _ = try await store.save(Samples.entry(tags: ["x"]), fence: nil, releasing: nil)
        _ = try await store.statistics()
        server.pause()
        let works: [@Sendable () async throws -> Void] = [
            { _ = try await store.statistics() },
            { _ = try await open.backend.queue.counts() },
            { _ = try await store.remove(.tag("x", cache: "people"), now: Samples.now) },
            { _ = try await store.markStale(.cache("people"), now: Samples.now) },
            { _ = try await store.list(cache: nil, tag: nil, after: nil, limit: 10) },
            { _ = try await store.maintain(now: Samples.now) },
        ]
        // All at once: none waits behind another.
        try await withThrowingTaskGroup(of: Void.self) { group in
            for work in works {
                group.addTask {
                    let error = try await #require(throws: (any Error).self) { try await work() }
                    #expect("\(error)".contains("did not answer within 0.3"))
                }
            }
            try await group.waitForAll()
        }
        server.resume()
        try await eventually { (try? await store.statistics()) != nil }
        try await eventually { (try? await store.remove(.tag("x", cache: "people"), now: Samples.now)) != nil }
        #expect(try await store.statistics().entries == 0)
        await open.close()
    }

    @Test(arguments: SharedEngine.allCases)
    func `with the network cut, readers are served, and what was missed is made good`(engine: SharedEngine) async throws
    {
        let server = try await engine.start()
        let network = try Network(to: server.port)
        let there = try openBackend(server)
        let url = server.url.replacing(":\(server.port)", with: ":\(network.port)") + "?timeout=0.3"
        let here = try openEngine(EngineAddress(url), sizeLimit: nil, logger: .init(label: "test"))
        let origin = CountingOrigin()
        let (near, far) = (origin.cache(here.backend), origin.cache(there.backend))
        _ = try await near["a"]
        _ = try await far["a"]
        network.cut()
        #expect(try await near.lookup("a").source == .memory)
        #expect(try await near.lookup("cold").source == .origin)
        #expect(!near.health.isComplete)
        // Nobody tells the one who is cut off.
        _ = try await far.remove("a")
        #expect(near.peek("a") != nil)
        // It must find out by itself that nothing comes any more, before the network is back.
        network.mend()
        try await eventually {
            _ = try await near["probe \(origin.count)"]
            return near.health.isComplete
        }
        try await eventually { near.peek("a") == nil }
        await near.shutdown()
        await far.shutdown()
        await here.close()
        await there.close()
        network.close()
    }

    // Not MongoDB: the program in its place may forget what it confirmed when it is killed, and then counts generations
    // anew.
    @Test(arguments: [SharedEngine.redis, .postgres])
    func `what changes while a machine can't listen is made good when it can`(engine: SharedEngine) async throws {
        let server = try await engine.start(engine == .redis ? ["--appendonly", "yes", "--appendfsync", "always"] : [])
        let (here, there) = (try openBackend(server), try openBackend(server))
        let origin = CountingOrigin()
        let (near, far) = (origin.cache(here.backend), origin.cache(there.backend))
        _ = try await near["a"]
        _ = try await far["a"]
        // Both lose their connections; one hears of nothing until it has a new one.
        try await aside {
            server.kill()
            try server.start()
        }
        try await eventually { (try? await far.remove("a")) != nil }
        try await eventually { near.peek("a") == nil }
        #expect(try await near["a"] == "a 2")
        await near.shutdown()
        await far.shutdown()
        await here.close()
        await there.close()
    }

    @Test(arguments: SharedEngine.allCases)
    func `a worker goes on when the server is back, and does what was queued`(engine: SharedEngine) async throws {
        let server = try await engine.start(engine == .redis ? ["--appendonly", "yes", "--appendfsync", "always"] : [])
        let open = try openBackend(server)
        let origin = CountingOrigin()
        var policy = Policy.standard
        policy.limits = Limits(raising: .milliseconds(1), .days(1), .days(1))
        let cache = origin.cache(open.backend, workers: 2, policy: policy)
        _ = try await cache["a"]
        try await aside { server.kill() }
        #expect(try await cache["a"] != nil)
        try await aside { try server.start() }
        let before = origin.count
        try await eventually {
            _ = try await cache["a"]
            return origin.count > before && cache.health.isComplete
        }
        try await eventually {
            let counts = try await open.backend.queue.counts()
            return counts[.queued, default: 0] + counts[.running, default: 0] <= 1
        }
        await cache.shutdown()
        await open.close()
    }

    @Test func `a wrong password is told, and not shown`() async throws {
        let server = try await SharedEngine.redis.start(["--requirepass", "right"])
        for user in ["", ":wrong@"] {
            let url = server.url.replacing("redis://", with: "redis://\(user)")
            let open = try openEngine(EngineAddress(url), sizeLimit: nil, logger: .init(label: "test"))
            let error = await #expect(throws: (any Error).self) { try await open.backend.store.statistics() }
            #expect("\(error!)".contains("does not let this user in"))
            #expect(!"\(error!)".contains("wrong@"))
            await open.close()
        }
        let right = server.url.replacing("redis://", with: "redis://:right@")
        let open = try openEngine(EngineAddress(right), sizeLimit: nil, logger: .init(label: "test"))
        #expect(try await open.backend.store.statistics().entries == 0)
        await open.close()
    }

    @Test func `PostgreSQL that takes no writes says so, and is read`() async throws {
        let server = try await SharedEngine.postgres.start()
        let open = try openBackend(server)
        _ = try await open.backend.store.save(Samples.entry(), fence: nil, releasing: nil)
        let readOnly = try openBackend(server, "?options=-c%20default_transaction_read_only%3Don")
        #expect(try await readOnly.backend.store.read([Samples.key()])[0].entry?.bytes == Samples.entry().bytes)
        let error = await #expect(throws: (any Error).self) {
            try await readOnly.backend.store.save(Samples.entry(), fence: nil, releasing: nil)
        }
        #expect("\(error!)".contains("takes no writes"))
        await readOnly.close()
        await open.close()
    }

    @Test func `a node of a cluster without slots is refused, and one with all of them works`() async throws {
        let server = try await SharedEngine.redis.start(["--cluster-enabled", "yes"])
        let open = try openBackend(server)
        let error = await #expect(throws: (any Error).self) {
            try await open.backend.store.save(Samples.entry(), fence: nil, releasing: nil)
        }
        #expect("\(error!)".contains("cluster"))
        try await aside { try (server as! RedisServer).command(["cluster", "addslotsrange", "0", "16383"]) }
        try await eventually {
            (try? await open.backend.store.save(Samples.entry(tags: ["t"]), fence: nil, releasing: nil)) != nil
        }
        let generation = try await open.backend.store.read([Samples.key()])[0].entry!.metadata.generation
        let job = Samples.job(generation: generation)
        let claim = try await open.backend.claimRefresh(job, leaseUntil: Samples.now + .minutes(1), now: Samples.now)
        guard case .queued = claim else { throw NotSeen() }
        let taken = try await open.backend.queue.dequeue(
            caches: ["people"], limit: 5, worker: "w", until: Samples.now + .minutes(1), now: Samples.now)
        #expect(taken.count == 1)
        try await open.backend.queue.complete(taken)
        #expect(try await open.backend.store.remove(.tag("t", cache: "people"), now: Samples.now) == 1)
        await open.close()
    }
}
