import NIOCore
import NIOEmbedded
import NIOHTTP2
import PerennialHTTP
import Testing

@testable import PerennialGateway

/// As ``EveryStepTests``, for connections of HTTP/2 with several streams: the frames come from a client in memory.
@Suite(.serialized) struct EveryStepHTTP2Tests {
    struct Scenario: Sendable {
        var name: String
        var isCold = false
        var answers: [String: [AnswerStep]] = [:]
        /// Full answers that the client gets when nothing happens.
        var expected: Int
        /// Whether the client gets the same answers each time.
        var isSame = true
        var window = 65_535
        var play: @Sendable (Stage, StageClient) -> Void
    }

    private static let streamed: [AnswerStep] = [
        .interim(103), .begin(.untilClose, length: nil), .piece(10), .piece(100_000), .end(["X-Sum": "1"]),
    ]

    private static let scenarios = [
        Scenario(name: "hits", expected: 3) { stage, client in
            for (stream, path) in [(1, "/small"), (3, "/middle"), (5, "/small")] { client.get(stream, path) }
            stage.pump()
        },
        Scenario(name: "a large hit in pieces as the client takes it", expected: 2) { stage, client in
            client.get(1, "/large")
            client.get(3, "/small")
            stage.pump()
            for _ in 0..<8 {
                client.send(.windowUpdate(windowSizeIncrement: 140_000))
                client.send(.windowUpdate(windowSizeIncrement: 140_000), on: 1)
                stage.pump()
            }
        },
        Scenario(name: "a client that takes nothing, and then gives up", expected: 2, isSame: false, window: 0) {
            stage, client in
            client.get(1, "/large")
            client.get(3, "/middle")
            stage.pump()
            client.send(.rstStream(.cancel), on: 1)
            stage.pump()
        },
        Scenario(name: "what the store has", isCold: true, expected: 2) { stage, client in
            client.get(1, "/small")
            client.get(3, "/middle")
            stage.pump()
        },
        Scenario(
            name: "misses and streamed answers", answers: ["/new": [.finish(200, size: 30_000)], "/stream": streamed],
            expected: 3
        ) { stage, client in
            for (stream, path) in [(1, "/new"), (3, "/stream"), (5, "/small")] { client.get(stream, path) }
            stage.pump()
            stage.answer()
            client.send(.windowUpdate(windowSizeIncrement: 200_000))
            client.send(.windowUpdate(windowSizeIncrement: 200_000), on: 3)
            stage.pump()
        },
        Scenario(name: "uploads", answers: ["/new": [.bodyIsWanted, .finish(201, size: 3)]], expected: 2) {
            stage, client in
            client.begin(1, "POST", "/new", [("expect", "100-continue")])
            client.begin(3, "PUT", "/new", [("content-length", "20000")])
            stage.pump()
            for _ in 0..<2 {
                client.body(10_000, on: 1)
                client.body(10_000, on: 3)
                stage.pump()
            }
            client.body(0, on: 1, isLast: true)
            client.body(0, on: 3, isLast: true)
            stage.pump()
            stage.answer()
        },
        Scenario(
            name: "an answer before the upload's end", answers: ["/new": [.finish(413, size: 30_000)]], expected: 1,
            isSame: false
        ) { stage, client in
            client.begin(1, "POST", "/new")
            client.body(10_000, on: 1)
            stage.pump()
            stage.answer()
            client.body(10_000, on: 1)
            stage.pump()
            stage.advance(.seconds(3))
        },
        Scenario(
            name: "an answer that breaks off", answers: ["/new": [.begin(.length, length: 100), .piece(10), .abort]],
            expected: 1
        ) { stage, client in
            client.get(1, "/new")
            stage.pump()
            stage.answer()
        },
        Scenario(name: "what is refused", expected: 4) { stage, client in
            client.begin(1, "POST", "http://elsewhere/", [("content-length", "5")], isWhole: true)
            client.begin(3, "GET/", "/", isWhole: true)
            client.begin(5, "GET", "http://elsewhere/", isWhole: true)
            client.get(7, "/small")
            stage.pump()
        },
        Scenario(name: "an idle client", expected: 1, isSame: false) { stage, client in
            client.get(1, "/small")
            stage.pump()
            stage.advance(.seconds(76))
            stage.advance(.seconds(6))
        },
        Scenario(name: "a stop while it answers", answers: ["/new": streamed], expected: 2, isSame: false) {
            stage, client in
            client.get(1, "/new")
            client.get(3, "/small")
            stage.pump()
            stage.drain()
            stage.answer()
        },
        Scenario(name: "a head that is late", expected: 1, isSame: false) { stage, client in
            client.get(1, "/small")
            stage.pump()
            stage.receive(ByteBuffer(bytes: [0, 0, 2, 1, 0, 0, 0, 0, 3, 0x82, 0x84]))
            stage.advance(.seconds(31))
            stage.advance(.seconds(2))
        },
    ]

    private static func run(
        _ scenario: Scenario, in scenery: Scenery, at place: Int?, _ disturbance: Disturbance
    ) throws -> (Stage.Outcome, [Int: StageClient.Answer]) {
        var outcome: Stage.Outcome
        let watched: [Stage.Watched]
        let answers: [Int: StageClient.Answer]
        do {
            var made: StageClient?
            let stage = try Stage(
                scenery, isCold: scenario.isCold, answers: scenario.answers, at: place, disturbance,
                client: { eventLoop in
                    let client = try StageClient(eventLoop, window: scenario.window)
                    made = client
                    return client.channel
                })
            let client = try #require(made)
            scenario.play(stage, client)
            outcome = stage.end()
            watched = stage.watched
            answers = client.answers
        }
        if watched.contains(where: { $0.handler != nil }) { outcome.leftovers.append("a handler that lives on") }
        return (outcome, answers)
    }

    /// - Returns: how many runs there were.
    private static func tryAll(in scenery: Scenery) throws -> Int {
        var runs = 0
        for scenario in scenarios {
            let (usual, answers) = try run(scenario, in: scenery, at: nil, .closing)
            #expect(usual.leftovers == [], "\(scenario.name), undisturbed")
            #expect(usual.metrics.requests == scenario.expected, "\(scenario.name), undisturbed")
            if scenario.isSame { #expect(answers.values.allSatisfy { $0.hasEnded || $0.reset != nil }) }
            for place in 0..<usual.operations {
                for disturbance in Disturbance.allCases {
                    runs += 1
                    let (outcome, got) = try run(scenario, in: scenery, at: place, disturbance)
                    let what: Comment = "\(scenario.name), \(disturbance) at step \(place)"
                    #expect(outcome.leftovers == [], what)
                    #expect(outcome.metrics.requests <= scenario.expected, what)
                    if scenario.isSame && disturbance.isHarmless { #expect(got == answers, what) }
                }
            }
        }
        return runs
    }

    @Test func `whatever happens at any step, a connection of HTTP 2 ends with nothing left of it`() async throws {
        let scenery = try await Scenery { $0.maxRequestBody = 1 << 20 }
        let runs = try await onOwnThread { try Self.tryAll(in: scenery) }
        await scenery.shutdown()
        print("\(runs) runs of HTTP/2")
        #expect(runs > 1000)
    }
}
