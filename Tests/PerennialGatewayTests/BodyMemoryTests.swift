import NIOCore
import NIOEmbedded
import Perennial
import PerennialHTTP
import Testing

@testable import PerennialGateway

/// Large bodies that clients don't take.
struct BodyMemoryTests {
    @Test func `bodies are read for clients that take nothing as far as there is memory, and then those clients go`()
        async throws
    {
        let scenery = try await Scenery { $0.bodyMemory = 10 << 20 }
        for number in 0..<30 {
            let response = StoredResponse(
                status: 200, fields: ["Cache-Control": "max-age=60"],
                body: [UInt8](repeating: UInt8(number), count: 1 << 20))
            try await scenery.cold.cache.set(scenery.cold.key(for: "/\(number)"), to: CachedResponse(response))
        }
        var made: StageClient?
        let stage = try Stage(
            scenery, isCold: true, answers: [:], at: nil, .closing,
            client: {
                let client = try StageClient($0, window: 0)
                made = client
                return client.channel
            })
        let client = try #require(made)
        // Many for the same body: it counts once.
        for stream in 0..<40 { client.get(2 * stream + 1, "/large") }
        stage.pump()
        #expect(client.answers.count == 40)
        #expect((1 << 20..<2 << 20).contains(stage.memory.used))
        for number in 0..<30 { client.get(2 * (40 + number) + 1, "/\(number)") }
        stage.pump()
        // Two may be read before it shows that they are large.
        #expect((5 << 20..<8 << 20).contains(stage.memory.used))
        #expect(client.answers.count < 50)
        var most = 0
        for _ in 0..<20 {
            stage.advance(.milliseconds(500))
            most = max(most, stage.memory.used)
        }
        #expect(most < 8 << 20)
        // Those that took nothing went for the others, or were told that there is no memory.
        #expect(client.answers.count == 70)
        #expect(client.answers.values.contains { $0.reset != nil })
        stage.advance(.milliseconds(100))
        #expect(stage.end().leftovers == [])
        await scenery.shutdown()
    }

    @Test func `what is reserved is within the limit`() {
        let memory = BodyMemory(limit: 10)
        #expect(memory.reserve(6) && !memory.reserve(5) && memory.reserve(4))
        #expect(!memory.isFull)
        memory.release(6)
        #expect(memory.used == 4)
    }

    @Test func `clients may hold half of the memory`() {
        let memory = BodyMemory(limit: 10)
        memory.clientHolds(4)
        #expect(!memory.isFull && memory.reserve(6))
        memory.clientHolds(1)
        #expect(memory.isFull && memory.used == 11)
        memory.clientTook(5)
        #expect(!memory.isFull && memory.used == 6)
    }
}
