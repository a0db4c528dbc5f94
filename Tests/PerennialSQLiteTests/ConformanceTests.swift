import Perennial
import PerennialSQLite
import PerennialTesting
import Testing

/// SQLite does what every engine does, through one connection to the file and through two.
@Suite struct ConformanceTests {
    @Test(arguments: StoreConformance.checks)
    func `is a store`(_ check: StoreConformance.Check) async throws {
        let scratch = try Scratch()
        try await check.run { try scratch.open(sizeLimit: check.sizeLimit) }
        await scratch.closeAll()
    }

    @Test(arguments: StoreConformance.checks)
    func `is a store for two that share the file`(_ check: StoreConformance.Check) async throws {
        let scratch = try Scratch()
        try await check.run {
            AlternatingStore(try (0..<2).map { _ in try scratch.open(sizeLimit: check.sizeLimit) })
        }
        await scratch.closeAll()
    }

    @Test(arguments: RefreshQueueConformance.checks)
    func `is a queue`(_ check: RefreshQueueConformance.Check) async throws {
        let scratch = try Scratch()
        try await check.run { try scratch.open() }
        await scratch.closeAll()
    }

    @Test(arguments: RefreshQueueConformance.checks)
    func `is a queue for two that share the file`(_ check: RefreshQueueConformance.Check) async throws {
        let scratch = try Scratch()
        try await check.run { AlternatingQueue(try (0..<2).map { _ in try scratch.open() }) }
        await scratch.closeAll()
    }

    @Test(arguments: BackendConformance.checks)
    func `is a backend`(_ check: BackendConformance.Check) async throws {
        let scratch = try Scratch()
        try await check.run { try scratch.open() }
        await scratch.closeAll()
    }

    @Test(arguments: BackendConformance.checks)
    func `is a backend for two that share the file`(_ check: BackendConformance.Check) async throws {
        let scratch = try Scratch()
        try await check.run { AlternatingBackend(try (0..<2).map { _ in try scratch.open() }) }
        await scratch.closeAll()
    }

    @Test func `no reader of two that share the file gets what either purged before it came`() async throws {
        let scratch = try Scratch()
        let machines = try (0..<2).map { _ in try scratch.open() }
        let counts = try await PurgeConformance.run(seed: 1, steps: 1_000, machines: machines)
        #expect(counts.purges > 50)
        await scratch.closeAll()
    }
}
