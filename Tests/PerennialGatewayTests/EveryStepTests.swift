import NIOCore
import PerennialHTTP
import Testing

@testable import PerennialGateway

/// A connection may end, stall or be half closed at any moment, from within whatever its handlers do: every operation
/// that passes between them and the network is tried with everything that can happen at it.
@Suite(.serialized) struct EveryStepTests {
    /// What a client sends, what the world does, and how tasks answer.
    struct Scenario: Sendable {
        var name: String
        var isCold = false
        var answers: [String: [AnswerStep]] = [:]
        /// Full answers that the client gets when nothing happens.
        var expected: Int
        /// Whether the client gets the same bytes each time: not where it is too late for some, or where they are made
        /// by chance.
        var isSame = true
        var play: @Sendable (Stage) -> Void
    }

    private static func get(_ path: String, _ fields: String...) -> String {
        "GET \(path) HTTP/1.1\r\nHost: x\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n"
    }

    private static let streamed: [AnswerStep] = [
        .interim(103), .begin(.chunked, length: nil), .piece(10), .piece(100_000), .piece(0), .piece(300_000),
        .end(["X-Sum": "1"]),
    ]

    private static let scenarios = [
        Scenario(name: "a small hit", expected: 1) { $0.send(get("/small")) },
        Scenario(name: "a large hit", expected: 1) { $0.send(get("/large")) },
        Scenario(name: "a large hit before a close", expected: 1) { $0.send(get("/large", "Connection: close")) },
        Scenario(name: "a HEAD", expected: 1) { $0.send("HEAD /large HTTP/1.1\r\nHost: x\r\n\r\n") },
        Scenario(name: "a head in pieces", expected: 2) { stage in
            for piece in [
                "GET /sm", "all HTTP/1.1\r\nHo", "st: x\r\n", "\r", "\nGET /small HTTP/1.1\r\nHost: x\r\n\r\n",
            ] {
                stage.send(piece)
            }
        },
        Scenario(name: "a range", expected: 1) { $0.send(get("/large", "Range: bytes=5-200000")) },
        Scenario(name: "several ranges", expected: 1, isSame: false) {
            $0.send(get("/large", "Range: bytes=0-4, 100-100000, 500000-600000"))
        },
        Scenario(name: "a client that has it", expected: 1) { $0.send(get("/large", "If-None-Match: \"e\"")) },
        Scenario(name: "pipelined hits", expected: 6) {
            $0.send(["/small", "/large", "/small", "/middle", "/middle", "/large"].map { get($0) }.joined())
        },
        Scenario(
            name: "pipelined hits and misses", answers: ["/new": [.finish(200, size: 200_000)]], expected: 6
        ) {
            $0.send(["/small", "/new", "/large", "/new", "/middle", "/small"].map { get($0) }.joined())
            $0.answer()
            $0.answer()
        },
        Scenario(name: "what the store has", isCold: true, expected: 3) {
            $0.send(["/small", "/large", "/small"].map { get($0) }.joined())
        },
        Scenario(
            name: "what the store lacks", isCold: true, answers: ["/new": [.finish(404, size: 10)]], expected: 2
        ) {
            $0.send(get("/new") + get("/small"))
            $0.answer()
        },
        Scenario(name: "a miss", answers: ["/new": [.interim(103), .finish(200, size: 5)]], expected: 1) {
            $0.send(get("/new"))
            $0.answer()
        },
        Scenario(name: "a large miss, and what follows", answers: ["/new": [.finish(200, size: 1 << 20)]], expected: 2)
        {
            $0.send(get("/new"))
            $0.answer()
            $0.send(get("/small"))
        },
        Scenario(name: "a streamed answer", answers: ["/new": streamed], expected: 2) {
            $0.send(get("/new", "Cookie: a") + get("/small"))
            $0.answer()
        },
        Scenario(
            name: "a streamed answer with a length",
            answers: ["/new": [.begin(.length, length: 500_010), .piece(10), .piece(500_000), .end([:])]], expected: 1
        ) {
            $0.send(get("/new", "Cookie: a"))
            $0.answer()
        },
        Scenario(
            name: "a streamed answer that breaks off",
            answers: ["/new": [.begin(.chunked, length: nil), .piece(10), .abort]], expected: 1
        ) {
            $0.send(get("/new", "Cookie: a"))
            $0.answer()
        },
        Scenario(name: "an upload", answers: ["/new": [.bodyIsWanted, .finish(201, size: 3)]], expected: 2) {
            $0.send("POST /new HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n0123456789")
            for _ in 0..<4 { $0.send("0123456789") }
            $0.send(get("/small"))
            $0.answer()
        },
        Scenario(
            name: "an upload in chunks that is expected", answers: ["/new": [.bodyIsWanted, .finish(200, size: 3)]],
            expected: 1
        ) {
            $0.send("PUT /new HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
            $0.send("5\r\nhello\r\n")
            $0.send("1\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n")
            $0.answer()
        },
        Scenario(
            name: "an answer before the upload's end", answers: ["/new": [.finish(403, size: 300_000)]], expected: 1
        ) {
            $0.send("POST /new HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n0123456789")
            $0.answer()
            $0.send("0123456789")
        },
        Scenario(name: "an upload that breaks its own rules", expected: 1) {
            $0.send("POST /new HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            $0.send("no size\r\n")
        },
        Scenario(
            name: "HTTP/1.0",
            answers: ["/new": [.begin(.untilClose, length: nil), .piece(10), .piece(100_000), .end([:])]], expected: 2
        ) {
            $0.send("GET /large HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            $0.send("GET /new HTTP/1.0\r\nCookie: a\r\n\r\n")
            $0.answer()
        },
        Scenario(name: "what is no request", expected: 2) {
            $0.send(get("/large") + "nonsense\r\n\r\n" + get("/small"))
        },
        Scenario(name: "too large a body", expected: 1) {
            $0.send("POST /new HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\nabc")
        },
        Scenario(name: "too large a head", expected: 1) {
            $0.send("GET /small HTTP/1.1\r\nHost: x\r\nX: " + String(repeating: "x", count: 70_000))
        },
        Scenario(name: "a head that is late", expected: 2, isSame: false) {
            $0.send(get("/small") + "GET /small HT")
            $0.advance(.seconds(31))
            $0.advance(.seconds(3))
        },
        Scenario(name: "an idle client", expected: 1, isSame: false) {
            $0.send(get("/large"))
            $0.advance(.seconds(76))
        },
        Scenario(
            name: "a client that says no more", answers: ["/new": [.finish(200, size: 5)]], expected: 3, isSame: false
        ) {
            $0.send(get("/large") + get("/new") + get("/small"))
            $0.halfClose()
            $0.answer()
        },
        Scenario(name: "a stop while nothing is asked", expected: 1, isSame: false) {
            $0.send(get("/large"))
            $0.drain()
        },
        Scenario(name: "a stop while it answers", answers: ["/new": streamed], expected: 1, isSame: false) {
            $0.send(get("/new"))
            $0.drain()
            $0.answer()
        },
        Scenario(name: "an upload that stops coming", expected: 1, isSame: false) {
            $0.send("POST /new HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n0123456789")
            $0.advance(.seconds(11))
            $0.advance(.seconds(3))
        },
        Scenario(
            name: "a stop while events are streamed",
            answers: ["/new": [.begin(.chunked, length: nil), .piece(10)]], expected: 1, isSame: false
        ) {
            $0.send(get("/new", "Cookie: a"))
            $0.answer()
            $0.drain()
            $0.advance(.seconds(3))
        },
        // Not the same where the client sends its bytes before it could know of the tunnel: that ends its connection.
        Scenario(
            name: "a tunnel", answers: ["/new": [.tunnel, .piece(10), .piece(100_000)]], expected: 1, isSame: false
        ) {
            $0.send(get("/new", "Connection: upgrade", "Upgrade: websocket"))
            $0.answer()
            for _ in 0..<3 { $0.send("GET is no request here\r\n\r\n") }
            $0.halfClose()
        },
        Scenario(
            name: "a tunnel that the origin ends", answers: ["/new": [.tunnel, .piece(10), .end([:])]], expected: 1,
            isSame: false
        ) {
            $0.send(get("/new", "Connection: upgrade", "Upgrade: websocket"))
            $0.answer()
            $0.send("late")
        },
        Scenario(name: "a tunnel in which nothing happens", answers: ["/new": [.tunnel]], expected: 1, isSame: false) {
            $0.send(get("/new", "Connection: upgrade", "Upgrade: websocket"))
            $0.answer()
            $0.advance(.seconds(76))
        },
        Scenario(name: "a tunnel's bytes before there is one", answers: ["/new": [.tunnel]], expected: 0, isSame: false)
        {
            $0.send(get("/new", "Connection: upgrade", "Upgrade: websocket") + "bytes")
            $0.answer()
        },
        Scenario(
            name: "a wish for a tunnel that is not met", answers: ["/new": [.finish(426, size: 5)]], expected: 2
        ) {
            $0.send(get("/new", "Connection: upgrade", "Upgrade: websocket") + get("/small"))
            $0.answer()
        },
        Scenario(name: "HTTP/2's first words and then nonsense", expected: 0, isSame: false) {
            $0.send("PRI * HTTP/2.0\r\n\r\n")
            $0.send("SM\r\n\r\n")
            $0.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        },
    ]

    private static func run(
        _ scenario: Scenario, in scenery: Scenery, at place: Int?, _ disturbance: Disturbance
    ) throws -> Stage.Outcome {
        var outcome: Stage.Outcome
        let watched: [Stage.Watched]
        do {
            let stage = try Stage(scenery, isCold: scenario.isCold, answers: scenario.answers, at: place, disturbance)
            scenario.play(stage)
            outcome = stage.end()
            watched = stage.watched
        }
        if watched.contains(where: { $0.handler != nil }) { outcome.leftovers.append("a handler that lives on") }
        return outcome
    }

    /// - Returns: how many runs there were.
    private static func tryAll(in scenery: Scenery) throws -> Int {
        var runs = 0
        for scenario in scenarios {
            let usual = try run(scenario, in: scenery, at: nil, .closing)
            #expect(usual.leftovers == [], "\(scenario.name), undisturbed")
            #expect(usual.metrics.requests == scenario.expected, "\(scenario.name), undisturbed")
            for place in 0..<usual.operations {
                for disturbance in Disturbance.allCases {
                    runs += 1
                    let outcome = try run(scenario, in: scenery, at: place, disturbance)
                    let what: Comment = "\(scenario.name), \(disturbance) at step \(place)"
                    #expect(outcome.leftovers == [], what)
                    #expect(outcome.metrics.requests <= scenario.expected, what)
                    guard scenario.isSame else { continue }
                    if disturbance.isHarmless {
                        #expect(outcome.sent == usual.sent, what)
                        #expect(outcome.metrics == usual.metrics, what)
                    } else if disturbance.isFatal {
                        let begun = usual.sent.getSlice(at: 0, length: outcome.sent.readableBytes)
                        #expect(outcome.sent == begun, what)
                    }
                }
            }
        }
        return runs
    }

    @Test func `whatever happens at any step, a connection ends with nothing left of it`() async throws {
        let scenery = try await Scenery { $0.maxRequestBody = 1 << 20 }
        let runs = try await onOwnThread { try Self.tryAll(in: scenery) }
        await scenery.shutdown()
        print("\(runs) runs")
        #expect(runs > 1000)
    }
}
