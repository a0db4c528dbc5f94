import Perennial
import PerennialCelery
import Synchronization
import TestServers
import Testing

/// The broker is away.
@Suite struct OutageTests {
    @Test func `with the broker killed readers go on, and what was queued is done when it is back`() async throws {
        let server = try await aside { try RedisServer(options: ["--appendonly", "yes", "--appendfsync", "always"]) }
        let queue = try CeleryQueue(url: "celery+\(server.url)")
        let backend = MixedBackend(store: InMemoryBackend().store, queue: queue)
        let asked = Atomic(0)
        var policy = Policy.standard
        policy.limits = Limits(raising: .milliseconds(1), .days(1), .days(1))
        func cache(workers: Int) throws -> Cache<String, String> {
            try Cache("people", policy: policy, backend: backend, workers: workers) { key, _ in
                "\(key) \(asked.add(1, ordering: .relaxed).newValue)"
            }
        }
        let readers = try cache(workers: 0)
        for key in ["a", "b"] { _ = try await readers[key] }
        try await eventually {
            _ = try await readers["a"]
            return try await queue.counts()[.queued] == 1
        }

        try await aside { server.kill() }
        try await eventually {
            // Stale, and its refresh can't be queued: nobody waits for that.
            let answer = try await readers.lookup("b")
            #expect(answer.source == .memory)
            return readers.health.queue != nil
        }
        // What can't be queued is refreshed by this process itself.
        try await eventually { asked.load(ordering: .relaxed) == 3 }

        try await aside { try server.start() }
        let working = try cache(workers: 2)
        try await eventually {
            _ = try await readers["b"]
            return asked.load(ordering: .relaxed) >= 4 && readers.health.isComplete
        }
        await readers.shutdown()
        await working.shutdown()
        await queue.close()
    }
}
