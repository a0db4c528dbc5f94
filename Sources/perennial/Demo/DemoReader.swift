import AsyncHTTPClient
import NIOCore
import NIOHTTP1

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Asks for something over HTTP and takes the time.
struct DemoReader {
    struct Answer {
        var status: Int
        var cacheStatus: String?
        var age: Int?
        var retryAfter: String?
        var version: Int?
        var took: Duration
    }

    private let client = HTTPClient(eventLoopGroupProvider: .singleton)

    func get(_ url: String) async throws -> Answer {
        let start = ContinuousClock.now
        let response = try await client.execute(HTTPClientRequest(url: url), timeout: .seconds(20))
        let body = try await response.body.collect(upTo: 1 << 20)
        let took = ContinuousClock.now - start
        struct Body: Decodable { var version: Int }
        let headers = response.headers
        return Answer(
            status: Int(response.status.code), cacheStatus: headers.first(name: "cache-status"),
            age: headers.first(name: "age").flatMap { Int($0) }, retryAfter: headers.first(name: "retry-after"),
            version: (try? JSONDecoder().decode(Body.self, from: Data(body.readableBytesView)))?.version, took: took)
    }

    /// How many questions the demo's origin has had.
    func questions(to origin: String) async throws -> Int {
        let response = try await client.execute(HTTPClientRequest(url: origin + "/asked"), timeout: .seconds(20))
        let text = String(buffer: try await response.body.collect(upTo: 100))
        guard let count = Int(text) else { throw Failure(.software, "the demo's origin does not count: \(text)") }
        return count
    }

    func close() async {
        try? await client.shutdown()
    }
}
