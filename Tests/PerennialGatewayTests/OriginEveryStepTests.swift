import NIOCore
import NIOEmbedded
import NIOHTTP1
import PerennialHTTP
import Testing

@testable import PerennialGateway

/// A connection to an origin may end, stall or be half closed at any moment, from within whatever its handler does:
/// every operation that passes between it and the network is tried with everything that can happen at it.
@Suite(.serialized) struct OriginEveryStepTests {
    struct Scenario: Sendable {
        var name: String
        var method = HTTPMethod.GET
        /// What the origin sends, piece by piece.
        var pieces: [String]
        /// Whether it closes behind that.
        var closes = false
        /// Whoever asked gives up behind so many pieces.
        var cancelsBehind: Int?
        /// How many exchanges are answered in full when nothing happens.
        var answers: Int
    }

    private static let body = String(repeating: "x", count: 1_000)

    private static let scenarios = [
        Scenario(name: "a length", pieces: ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"], answers: 2),
        Scenario(
            name: "a length in pieces", pieces: ["HTTP/1.1 200 OK\r\nConte", "nt-Length: 5\r\n\r", "\nhe", "llo"],
            answers: 2),
        Scenario(
            name: "chunks and trailers",
            pieces: [
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "3e8\r\n" + body + "\r\n", "3e8\r\n" + body,
                "\r\n1", "\r\nx\r\n0\r\nX-T: 1\r",
                "\n\r\n",
            ], answers: 2),
        Scenario(
            name: "hints",
            pieces: [
                "HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 102 Wait\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
            ], answers: 2),
        Scenario(
            name: "the end of the connection", pieces: ["HTTP/1.1 200 OK\r\n\r\n", body, body], closes: true, answers: 1
        ),
        Scenario(name: "a HEAD", method: .HEAD, pieces: ["HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"], answers: 2),
        Scenario(name: "no body", pieces: ["HTTP/1.1 204 No Content\r\n\r\n"], answers: 2),
        Scenario(
            name: "a goodbye", pieces: ["HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"],
            answers: 1),
        Scenario(
            name: "more than was asked for", pieces: ["HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"], answers: 1),
        Scenario(name: "nonsense", pieces: ["HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"], answers: 0),
        Scenario(
            name: "a body that breaks off", pieces: ["HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", "abc"],
            closes: true, answers: 0),
        Scenario(
            name: "nobody wants it", pieces: ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nh", "e", "llo"],
            cancelsBehind: 1, answers: 0),
        Scenario(
            name: "nobody waits", pieces: ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"], cancelsBehind: 0, answers: 0
        ),
        Scenario(name: "silence", pieces: [], answers: 0),
        Scenario(name: "silence within a body", pieces: ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nh"], answers: 0),
    ]

    @Test func `an exchange with an origin ends once, whatever happens at any step`() throws {
        var runs = 0
        for scenario in Self.scenarios {
            let undisturbed = try Self.run(scenario, at: nil, .closing)
            #expect(undisturbed.answers == scenario.answers, "\(scenario.name)")
            for disturbance in Disturbance.allCases {
                for place in 0..<undisturbed.operations {
                    let run = try Self.run(scenario, at: place, disturbance)
                    #expect(run.answers <= scenario.answers, "\(scenario.name), \(disturbance) at \(place)")
                    if disturbance.isHarmless {
                        #expect(run.answers == scenario.answers, "\(scenario.name), \(disturbance) at \(place)")
                    }
                    runs += 1
                }
            }
        }
        #expect(runs > 800)
    }

    /// What became of an exchange.
    private final class Outcome {
        var heads = 0
        var failures = 0
        var body: OriginBody?
    }

    /// Plays a scenario twice on one connection, the second time if it may be used again.
    /// - Returns: how many operations passed, and how many exchanges were answered in full.
    private static func run(
        _ scenario: Scenario, at place: Int?, _ disturbance: Disturbance
    ) throws -> (operations: Int, answers: Int) {
        let loop = EmbeddedEventLoop()
        let channel = EmbeddedChannel(handlers: [], loop: loop)
        let disturber = Disturber(channel, at: place, disturbance)
        let pool = OriginPool(
            try OriginConnector(Origin(try OriginURL("http://origin"))), idleTimeout: .seconds(60), on: loop)
        let places = OriginPlaces()
        var connection: HTTP1OriginConnection? = HTTP1OriginConnection(pool: pool)
        weak let left = connection
        if let connection { try channel.pipeline.syncOperations.addHandlers([disturber, connection]) }
        channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 80), promise: nil)
        var answers = 0
        for round in 0..<2 where channel.isActive {
            let extras = MessageExtras(originFields: [:]) { _, _ in }
            let response = loop.makePromise(of: OriginClient.Response.self)
            let exchange = OriginExchange(
                OriginRequest(
                    method: scenario.method, host: "origin", target: "/\(round)", fields: ["X": "y"], body: nil,
                    extras: extras),
                rank: .fetch, places: places, timeout: .seconds(30), on: loop, response: response)
            let outcome = Outcome()
            let seen = NIOLoopBound(outcome, eventLoop: loop)
            response.futureResult.whenComplete { result in
                switch result {
                case .success(let response):
                    seen.value.heads += 1
                    seen.value.body = response.body
                case .failure: seen.value.failures += 1
                }
            }
            exchange.enter { if let connection { connection.start(exchange) } }
            var fed = 0
            for piece in scenario.pieces where channel.isActive && !exchange.isOver {
                if fed == scenario.cancelsBehind { exchange.cancel() }
                // After that nothing more is for this exchange.
                if exchange.isOver { break }
                fed += 1
                _ = try? channel.writeInbound(ByteBuffer(string: piece))
                exchange.resume()
                disturber.release()
                loop.run()
            }
            if scenario.closes, channel.isActive { channel.close(promise: nil) }
            disturber.release()
            let isWhole = exchange.isOver && outcome.heads == 1 && !exchange.wasBrokenOff
            // Longer than any step may take, and shorter than the connection may be idle.
            loop.advanceTime(by: .seconds(40))
            disturber.release()
            #expect(exchange.isOver, "\(scenario.name), \(disturbance) at \(place ?? -1)")
            #expect(outcome.heads + outcome.failures == 1, "\(scenario.name), \(disturbance) at \(place ?? -1)")
            if isWhole { answers += 1 }
            outcome.body = nil
            loop.run()
        }
        #expect(places.counts == (0, 0), "\(scenario.name), \(disturbance) at \(place ?? -1)")
        pool.close()
        loop.run()
        disturber.release()
        connection = nil
        _ = try? channel.finish(acceptAlreadyClosed: true)
        loop.advanceTime(by: .hours(1))
        #expect(left == nil, "\(scenario.name), \(disturbance) at \(place ?? -1)")
        return (disturber.operations, answers)
    }
}
