import Perennial
import PerennialTesting
import Testing

/// Purges against everything else that may be under way.
@Suite struct PurgeTests {
    @Test(arguments: 1...20)
    func `no reader gets what was purged before it came, whatever was under way`(_ seed: UInt64) async throws {
        let backend = InMemoryBackend()
        let counts = try await PurgeConformance.run(seed: seed, steps: 1_000, machines: [backend, backend])
        #expect(counts.reads > 300 && counts.purges > 50 && counts.answers > 50)
    }
}
