import Perennial
import PerennialMongoDB
import PerennialTesting
import Testing

/// MongoDB (its stand-in SecantusDB, at least) does what every engine does, through one backend and through two that share the server.
@Suite(.serialized) struct ConformanceTests {
    @Test(arguments: StoreConformance.checks)
    func `is a store`(_ check: StoreConformance.Check) async throws {
        let scratch = try await Scratch()
        try await check.run { try scratch.open(sizeLimit: check.sizeLimit) }
        await scratch.closeAll()
    }

    @Test(arguments: StoreConformance.checks)
    func `is a store for two that share the server`(_ check: StoreConformance.Check) async throws {
        let scratch = try await Scratch()
        try await check.run {
            AlternatingStore(try (0..<2).map { _ in try scratch.open(sizeLimit: check.sizeLimit) })
        }
        await scratch.closeAll()
    }

    @Test(arguments: RefreshQueueConformance.checks)
    func `is a queue`(_ check: RefreshQueueConformance.Check) async throws {
        let scratch = try await Scratch()
        try await check.run { try scratch.open() }
        await scratch.closeAll()
    }

    @Test(arguments: RefreshQueueConformance.checks)
    func `is a queue for two that share the server`(_ check: RefreshQueueConformance.Check) async throws {
        let scratch = try await Scratch()
        try await check.run { AlternatingQueue(try (0..<2).map { _ in try scratch.open() }) }
        await scratch.closeAll()
    }

    @Test(arguments: BackendConformance.checks)
    func `is a backend`(_ check: BackendConformance.Check) async throws {
        let scratch = try await Scratch()
        try await check.run { try scratch.open() }
        await scratch.closeAll()
    }

    @Test(arguments: BackendConformance.checks)
    func `is a backend for two that share the server`(_ check: BackendConformance.Check) async throws {
        let scratch = try await Scratch()
        try await check.run { AlternatingBackend(try (0..<2).map { _ in try scratch.open() }) }
        await scratch.closeAll()
    }
}
