import NIOCore
import NIOEmbedded
import NIOHTTP2
import Testing

@testable import PerennialGateway

/// Bodies that clients send slowly, or not to their end.
struct UploadTests {
    private func withStage(
        client: (EmbeddedEventLoop) throws -> EmbeddedChannel? = { _ in nil }, _ test: (Stage) throws -> Void
    ) async throws {
        let scenery = try await Scenery()
        let stage = try Stage(
            scenery, answers: ["/new": [.finish(200, size: 3)]], at: nil, .closing, client: client)
        try test(stage)
        #expect(stage.end().leftovers == [])
        await scenery.shutdown()
    }

    private func text(_ stage: Stage) -> String { String(buffer: stage.disturber.sent) }

    @Test func `a body that stops coming is answered with a 408`() async throws {
        try await withStage { stage in
            stage.send("POST /new HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\nx")
            stage.advance(.seconds(10))
            #expect(text(stage) == "")
            stage.advance(.seconds(1))
            #expect(text(stage).hasPrefix("HTTP/1.1 408 "))
            #expect(text(stage).contains("detail=request-timeout"))
        }
    }

    @Test func `a body that keeps the least rate may take as long as it takes`() async throws {
        try await withStage { stage in
            stage.send("POST /new HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n")
            for _ in 0..<200 {
                stage.advance(.seconds(2))
                // The origin takes it at once.
                stage.send(String(repeating: "x", count: 1_000))
                stage.handler?.bodyIsWanted()
            }
            stage.answer()
            #expect(text(stage).hasPrefix("HTTP/1.1 200 "))
        }
    }

    @Test func `time in which the origin takes nothing does not count`() {
        var rate = UploadRate(least: 500, now: .uptimeNanoseconds(0))
        func seconds(_ count: UInt64) -> NIODeadline { .uptimeNanoseconds(count * 1_000_000_000) }
        rate.note(1_000)
        rate.pause(seconds(1))
        #expect(rate.timeLeft(seconds(1_000)) == nil)
        rate.resume(seconds(1_000))
        #expect(rate.timeLeft(seconds(1_000)) == .seconds(11))
        #expect(rate.timeLeft(seconds(1_011)) == .zero)
    }

    @Test func `in HTTP 2 a slow upload goes on, and one that stops is answered with a 408`() async throws {
        var client: StageClient?
        try await withStage(client: {
            let made = try StageClient($0)
            client = made
            return made.channel
        }) { stage in
            let client = try #require(client)
            client.begin(1, "POST", "/new")
            client.begin(3, "POST", "/new")
            stage.pump()
            for _ in 0..<100 {
                stage.advance(.seconds(2))
                client.body(1_000, on: 1)
                stage.pump()
                stage.handler?.bodyIsWanted()
            }
            #expect(client.answers[1] == nil)
            // What is held back of it is dropped then, and the client is told to stop.
            #expect(client.answers[3]?.status == "408" && client.answers[3]?.reset == .noError)
            client.body(0, on: 1, isLast: true)
            stage.pump()
            stage.answer()
            #expect(client.answers[1]?.status == "200")
        }
    }

    @Test func `addresses of one client are those that one subscriber has`() throws {
        func client(_ address: String) throws -> ClientAddress? {
            ClientAddress(try SocketAddress(ipAddress: address, port: 80))
        }
        #expect(try client("192.0.2.1") != client("192.0.2.2"))
        #expect(try client("192.0.2.1") == client("::ffff:192.0.2.1"))
        #expect(try client("2001:db8:1:2::3") == client("2001:db8:1:2:ffff::4"))
        #expect(try client("2001:db8:1:2::3") != client("2001:db8:1:3::3"))
        #expect(try ClientAddress(SocketAddress(unixDomainSocketPath: "/a")) == nil)
        let count = ConnectionCount(limit: 3, clientLimit: 1)
        let (first, second) = (try client("192.0.2.1"), try client("192.0.2.2"))
        #expect(count.enter(first) && !count.enter(first) && count.enter(second))
        count.leave(first)
        count.leave(first)
        #expect(count.enter(first) && count.enter(nil) == true && !count.enter(nil))
    }
}
