import Perennial
import PerennialCelery
import PerennialTesting
import Testing

/// Celery's queue does what every queue does, through one object and through two that share the broker.
@Suite struct ConformanceTests {
    @Test(arguments: RefreshQueueConformance.checks)
    func `is a queue`(_ check: RefreshQueueConformance.Check) async throws {
        let scratch = try await Scratch()
        try await check.run { try scratch.open() }
        await scratch.closeAll()
    }

    @Test(arguments: RefreshQueueConformance.checks)
    func `is a queue for two that share the broker`(_ check: RefreshQueueConformance.Check) async throws {
        let scratch = try await Scratch()
        try await check.run { AlternatingQueue(try (0..<2).map { _ in try scratch.open() }) }
        await scratch.closeAll()
    }

    @Test(arguments: BackendConformance.checks)
    func `is half of a backend`(_ check: BackendConformance.Check) async throws {
        let scratch = try await Scratch()
        try await check.run { MixedBackend(store: InMemoryStore(), queue: try scratch.open()) }
        await scratch.closeAll()
    }
}
