import Perennial
import PerennialGateway
import PerennialHTTP
import PerennialTesting
import Testing

@Suite struct FailureTests {
    @Test func `with nothing to serve, the origin's own error reaches the client and is not stored`() async throws {
        try await withRig(origin: { .status($0.number == 1 ? 500 : 200, "answer \($0.number)", ["X-Why": "broken"]) }) {
            rig in
            let failed = try await rig.get("/")
            #expect(failed.status == 500)
            #expect(failed.body == "answer 1")
            #expect(failed.field("X-Why") == "broken")
            #expect(failed.cacheStatus == "perennial; fwd=uri-miss; fwd-status=500")
            #expect(try await rig.get("/").body == "answer 2")
        }
    }

    @Test func `with a dead origin, what is stored is served until it is too old, then there is a 502`() async throws {
        try await withRig(origin: { _ in .ok("old", ["Cache-Control": "max-age=60, stale-if-error=600"]) }) { rig in
            _ = try await rig.get("/")
            try await rig.origin.kill()
            rig.clock.advance(by: .seconds(100))
            for _ in 0..<2 {
                let stale = try await rig.get("/")
                #expect(stale.status == 200)
                #expect(stale.body == "old")
                #expect(stale.field("Age") == "100")
                #expect(stale.cacheStatus.hasSuffix("; detail=origin-failed"))
            }
            rig.clock.advance(by: .seconds(700))
            let failed = try await rig.get("/")
            #expect(failed.status == 502)
            #expect(failed.body == "The server behind this gateway can't be reached. Try again in a moment.\n")
            #expect(failed.field("Age") == "0")
            #expect(failed.cacheStatus == "perennial; fwd=uri-miss; detail=origin-unreachable")
        }
    }

    @Test func `a refresh that fails keeps the old response`() async throws {
        try await withRig(origin: { request in
            request.number == 1
                ? .ok("good", ["Cache-Control": "max-age=60, stale-while-revalidate=600"])
                : .status(403, "go away", ["Cache-Control": "max-age=60"])
        }) { rig in
            _ = try await rig.get("/")
            rig.clock.advance(by: .seconds(70))
            _ = try await rig.get("/")
            await rig.events.waitForFailedRefresh()
            let still = try await rig.get("/")
            #expect(still.body == "good")
        }
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 100\r\n\r\nonly this",
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
        "HTTP/1.1 200 OK\r\nCache-Control: max-a", "this is not HTTP at all\r\n\r\n", "",
    ])
    func `an answer that breaks off or is no HTTP is a 502 and not stored`(bytes: String) async throws {
        try await withRig(origin: { request in
            request.target == "/" ? .raw(bytes, closes: true) : .ok("fine")
        }) { rig in
            let response = try await rig.get("/")
            #expect(response.status == 502)
            #expect(response.body.hasPrefix("The server behind this gateway gave an answer that broke off"))
            #expect(try await rig.storedKeys().isEmpty)
        }
    }

    @Test func `a passed answer that breaks off breaks the client's connection too`() async throws {
        try await withRig(origin: { _ in
            .raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this", closes: true)
        }) { rig in
            let client = try await rig.client()
            try await client.send("POST", "/")
            await #expect(throws: TestClient.Closed.self) { try await client.response() }
        }
    }

    @Test func `an origin that does not answer in time is a 504`() async throws {
        let gate = Gate()
        try await withRig(
            { $0.routes[0].origin.timeout = .milliseconds(200) },
            origin: { _ in
                await gate.pass()
                return .ok("too late")
            }
        ) { rig in
            let passed = try await rig.client()
            try await passed.send("DELETE", "/")
            let response = try await passed.response()
            #expect(response.status == 504)
            #expect(response.body.hasPrefix("The server behind this gateway did not answer in time"))
            #expect(try await rig.get("/").status == 504)
            gate.open()
        }
    }

    @Test func `an address that asks for a pause is left alone, and clients are told when to come back`() async throws {
        try await withRig(origin: { _ in .status(503, "busy", ["Retry-After": "30"]) }) { rig in
            let first = try await rig.get("/")
            #expect(first.status == 503)
            #expect(first.field("Retry-After") == "30")
            let second = try await rig.get("/")
            #expect(second.status == 503)
            #expect(second.body.hasPrefix("The server behind this gateway has been failing"))
            #expect(second.field("Retry-After") == "30")
            #expect(rig.origin.requests.count == 1)
            // Others are asked, until several have said the same; one with another query is no other.
            for path in ["/?1", "/?2", "/2", "/3"] { #expect(try await rig.get(path).body == "busy") }
            #expect(try await rig.get("/4").body.hasPrefix("The server behind this gateway has been failing"))
            #expect(rig.origin.requests.count == 5)
            #expect(rig.gateway.responses.originStatuses.first?.value.state == .paused)
            // By hand, one address or everything; the one that is named goes on saying so.
            #expect(try rig.gateway.responses.reopenOrigin() == 6)
            #expect(try await rig.get("/2").body == "busy")
            #expect(try rig.gateway.responses.reopenOrigin("/2") == 1)
            #expect(try await rig.get("/2").body == "busy")
            #expect(throws: AddressError.self) { try rig.gateway.responses.reopenOrigin("https://elsewhere.test/") }
        }
    }

    @Test(arguments: [404, 410, 403, 400, 429])
    func `an honest refusal says nothing of other addresses, however often it comes`(status: Int) async throws {
        try await withRig(origin: { request in
            request.target == "/doc" ? .status(status, "no", ["Cache-Control": "no-store"]) : .ok("yes")
        }) { rig in
            for _ in 0..<15 {
                let answer = try await rig.get("/doc")
                #expect(answer.status == status)
            }
            #expect(try await rig.get("/other").body == "yes")
            #expect(rig.gateway.responses.originStatuses.first?.value.addressCount == 0)
        }
    }

    @Test func `an endpoint that fails is left alone, and its siblings are not`() async throws {
        try await withRig(origin: { request in
            request.target.hasPrefix("/broken") ? .status(500, "broken") : .ok("yes")
        }) { rig in
            for number in 0..<15 { #expect(try await rig.get("/broken?\(number)").body == "broken") }
            for _ in 0..<5 { #expect(try await rig.get("/broken").body == "broken") }
            #expect(try await rig.get("/broken").cacheStatus.contains("origin-unavailable"))
            #expect(try await rig.get("/other").body == "yes")
            let status = try #require(rig.gateway.responses.originStatuses.first?.value)
            #expect(status.state == .closed)
            #expect(status.addresses.map(\.reason) == ["5 of 5 requests in 30 s failed; last: the origin answered 500"])
        }
    }

    @Test func `an unasked 304 is no answer`() async throws {
        try await withRig(origin: { _ in .status(304) }) { rig in
            let response = try await rig.get("/")
            #expect(response.status == 502)
        }
    }

    @Test func `a client that hangs up neither cancels the fetch nor loses its result`() async throws {
        let gate = Gate()
        try await withRig(origin: { request in
            await gate.pass()
            return .ok("kept", ["Cache-Control": "max-age=60"])
        }) { rig in
            let client = try await rig.client()
            try await client.send("GET", "/")
            await gate.waitForArrivals()
            await client.close()
            gate.open()
            await rig.events.wait { if case .fetched = $0 { true } else { false } }
            let hit = try await rig.get("/")
            #expect(hit.body == "kept")
            #expect(rig.origin.requests.count == 1)
        }
    }
}
