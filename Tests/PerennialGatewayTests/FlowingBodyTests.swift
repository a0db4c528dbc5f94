import Perennial
import PerennialHTTP
import PerennialTesting
import Testing

@testable import PerennialGateway

/// Bodies that come piece by piece, whoever's limits rule: each reader gets what there is, and the origin has not failed.
@Suite struct FlowingBodyTests {
    static let modes = [FreshnessMode.origin(), .policy(.standard)]

    private static func head(_ fields: [String]) -> String {
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n"
    }

    @Test(arguments: modes)
    func `many streams side by side do not make the origin seem broken`(mode: FreshnessMode) async throws {
        let head = Self.head(["Content-Type: text/event-stream", "Transfer-Encoding: chunked"])
        try await withRig(
            { $0.routes[0].rules.freshness = mode },
            origin: { $0.target == "/page" ? .ok("page") : .raw(head + "6\r\none...\r\n") }
        ) { rig in
            var clients: [TestClient] = []
            for number in 0..<12 {
                let client = try await rig.client()
                try await client.send("GET", "/events/\(number % 6)")
                _ = try await client.take { $0.firstRange(of: Array("one...".utf8))?.upperBound }
                clients.append(client)
            }
            // The readers go, and the origin's streams with them.
            for client in clients { await client.close() }
            #expect(rig.origin.requests.count == 12)
            #expect(try await rig.get("/page").body == "page")
            expectNoFailure(rig)
        }
    }

    @Test(arguments: modes, ["Content-Length: 1000", "Transfer-Encoding: chunked"])
    func `a reader gets what has come of a body that takes longer than a fetch may`(
        mode: FreshnessMode, framing: String
    ) async throws {
        let gate = Gate()
        let head = Self.head([framing])
        try await withRig(
            {
                $0.routes[0].rules.freshness = mode
                $0.routes[0].origin.timeout = .minutes(2)
                $0.routes[0].origin.fetchTimeout = .minutes(2)
            },
            origin: { _ in
                await gate.pass()
                return .raw(head + (framing.hasSuffix("chunked") ? "6\r\none...\r\n" : "one..."))
            }
        ) { rig in
            // So many that failures of theirs would close the origin.
            let clients = try await (0..<12).asyncMap { _ in try await rig.client() }
            for (number, client) in clients.enumerated() { try await client.send("GET", "/slow/\(number)") }
            await gate.waitForArrivals(12)
            // Of the two minutes that the fetch may take next to nothing is left.
            rig.clock.advance(by: .milliseconds(119_500))
            gate.open()
            for client in clients {
                let bytes = try await client.take { $0.firstRange(of: Array("one...".utf8))?.upperBound }
                #expect(String(decoding: bytes, as: UTF8.self).contains("detail=slow-body"))
            }
            #expect(try await rig.storedKeys().isEmpty)
            for client in clients { await client.close() }
            expectNoFailure(rig)
        }
    }

    @Test func `a refresh whose body takes too long leaves the old response, and is no failure of the origin`()
        async throws
    {
        let gate = Gate()
        try await withRig(
            {
                $0.routes[0].rules.freshness = .policy(
                    try Limits(refreshAfter: .seconds(10), expireAfter: .days(1)))
                $0.workers = 12
            },
            origin: { request in
                if request.number <= 12 { return .ok("old") }
                await gate.pass()
                return .raw("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nnew...")
            }
        ) { rig in
            for number in 0..<12 { _ = try await rig.get("/\(number)") }
            rig.clock.advance(by: .seconds(11))
            for number in 0..<12 { #expect(try await rig.get("/\(number)").body == "old") }
            await gate.waitForArrivals(12)
            rig.clock.advance(by: .milliseconds(119_500))
            gate.open()
            try await eventually { rig.gateway.responses.cache.statistics.refreshFailures >= 12 }
            #expect(try await rig.get("/0").body == "old")
            expectNoFailure(rig)
        }
    }

    private func expectNoFailure(_ rig: Rig) {
        #expect(rig.gateway.responses.cache.statistics.fetchFailures == 0)
        for status in rig.gateway.responses.originStatuses.values {
            #expect(status.state == .closed && status.addressCount == 0)
        }
    }
}
