import NIOConcurrencyHelpers
import Perennial
import PerennialGateway
import PerennialHTTP
import PerennialTesting
import Testing

/// Random traffic through a gateway beside a model of RFC 9111 that knows what the origin has said, and when.
@Suite struct TrafficTests {
    @Test(arguments: 1...6 as ClosedRange<UInt64>)
    func `every answer is the one that the RFC wants, and the origin is asked only when it must be`(seed: UInt64)
        async throws
    {
        let world = World(seed: seed)
        try await withRig({ $0.unstorableMemory = .zero }, origin: world.answer) { rig in
            let client = try await rig.client()
            var model = Model()
            var hits = 0
            for step in 0..<300 {
                let target = world.pick(["/plain", "/varied", "/other"])
                switch world.pick(0..<10) {
                case 0: world.change(target)
                case 1:
                    try await client.send("POST", target)
                    #expect(try await client.response().status == 204)
                    model.invalidate(target)
                case 2, 3: rig.clock.advance(by: .seconds(world.pick(1...20)))
                default:
                    let language = world.pick(["de", "en", nil])
                    let before = rig.origin.requests.count
                    let fields: KeyValuePairs = ["Accept-Language": language ?? ""]
                    let response = try await client.get(target, language == nil ? [:] : fields)
                    let said = rig.origin.requests.count > before ? world.lastWord : nil
                    let expected = model.answer(target, language, said: said, at: rig.clock.now)
                    try #require(
                        expected == response.body,
                        "seed \(seed), step \(step): \(target) \(language ?? "-") got \(response.body), \(response.cacheStatus)"
                    )
                    if said == nil { hits += 1 }
                }
            }
            // A test in which the origin answers everything would say nothing.
            #expect(hits > 30)
            await client.close()
        }
    }
}

/// What the origin says about a target, and for how long that is fresh.
private struct Saying: Sendable {
    var cacheControl: String
    /// In seconds; `nil`: may not be stored.
    var lifetime: Int64?

    static let all = [
        Saying(cacheControl: "max-age=5", lifetime: 5), Saying(cacheControl: "max-age=20", lifetime: 20),
        Saying(cacheControl: "s-maxage=10, max-age=60", lifetime: 10),
        Saying(cacheControl: "max-age=60, must-revalidate", lifetime: 60),
        Saying(cacheControl: "no-cache", lifetime: 0),
        Saying(cacheControl: "max-age=60, no-cache", lifetime: 0), Saying(cacheControl: "max-age=0", lifetime: 0),
        Saying(cacheControl: "max-age=60, no-store", lifetime: nil),
        Saying(cacheControl: "private, max-age=60", lifetime: nil),
    ]
}

/// One answer of the origin.
private struct Word: Sendable {
    var body: String
    var tag: String?
    var saying: Saying
    var isVaried: Bool
    var isNotModified: Bool
}

/// The origin, and the dice.
private final class World: Sendable {
    private struct State {
        var random: SeededGenerator
        var sayings: [String: (saying: Saying, targeted: Int64?, version: Int, hasTag: Bool)] = [:]
        var lastWord: Word?
    }

    private let state: NIOLockedValueBox<State>

    init(seed: UInt64) {
        state = NIOLockedValueBox(State(random: SeededGenerator(seed: seed)))
    }

    var lastWord: Word? { state.withLockedValue { $0.lastWord } }

    func pick<Options: Collection>(_ options: Options) -> Options.Element {
        state.withLockedValue { options.randomElement(using: &$0.random)! }
    }

    /// The origin says something else about a target from now on; in half of the cases its body is another one, too.
    func change(_ target: String) {
        state.withLockedValue { state in
            let before = state.sayings[target]
            let isNew = Bool.random(using: &state.random)
            let saying = Saying.all.randomElement(using: &state.random)!
            let targeted: Int64? = Int.random(in: 0..<3, using: &state.random) == 0 ? 15 : nil
            let hasTag = isNew ? Bool.random(using: &state.random) : before?.hasTag ?? true
            state.sayings[target] = (saying, targeted, (before?.version ?? 0) + (isNew ? 1 : 0), hasTag)
        }
    }

    @Sendable func answer(_ request: TestOrigin.Request) async -> TestOrigin.Answer {
        guard request.method == "GET" else { return .status(204) }
        if state.withLockedValue({ $0.sayings[request.target] }) == nil { change(request.target) }
        return state.withLockedValue { state in
            let now = state.sayings[request.target]!
            let isVaried = request.target != "/plain"
            let language = isVaried ? request.field("Accept-Language") ?? "-" : ""
            let tag = now.hasTag ? "\"\(now.version)\(language)\"" : nil
            let isNotModified = tag != nil && request.field("If-None-Match") == tag
            let saying = now.targeted.map { Saying(cacheControl: now.saying.cacheControl, lifetime: $0) } ?? now.saying
            state.lastWord = Word(
                body: "\(request.number) \(language)", tag: tag, saying: saying, isVaried: isVaried,
                isNotModified: isNotModified)
            let lines =
                "Cache-Control: \(saying.cacheControl)\r\n" + (tag.map { "ETag: \($0)\r\n" } ?? "")
                + (isVaried ? "Vary: Accept-Language\r\n" : "")
                // What a 304 doesn't repeat would stay in force, so there is always one; an empty one says nothing.
                + "CDN-Cache-Control: \(now.targeted.map { "max-age=\($0)" } ?? "")\r\n"
            if isNotModified { return .raw("HTTP/1.1 304 Not Modified\r\n\(lines)\r\n") }
            let body = "\(request.number) \(language)"
            return .raw("HTTP/1.1 200 OK\r\n\(lines)Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
        }
    }
}

/// RFC 9111 §3, §4 and §4.4 for one cache, in as few words as will do.
private struct Model {
    struct Stored {
        var target: String
        var language: String?
        var word: Word
        var confirmedAt: Timestamp
    }

    private var stored: [Stored] = []

    mutating func invalidate(_ target: String) {
        stored.removeAll { $0.target == target }
    }

    /// The body that a request must get.
    /// - Parameter said: what the origin was asked and answered on the way.
    /// - Returns: `nil` when nothing can be right: the origin should have been asked and was not, or the other way
    ///   round.
    mutating func answer(_ target: String, _ language: String?, said: Word?, at now: Timestamp) -> String? {
        // §4.1: the most recent of those that the request selects.
        let place = stored.indices.filter { place in
            stored[place].target == target && (!stored[place].word.isVaried || stored[place].language == language)
        }.max { (stored[$0].confirmedAt, $0) < (stored[$1].confirmedAt, $1) }
        guard let said else {
            // §4.2: fresh while its lifetime is greater than its age. Nobody allows this cache to serve anything stale.
            guard let place, isFresh(stored[place], at: now) else { return nil }
            return stored[place].word.body
        }
        // To ask without need is no mistake, but where one response is all there is to a target it is a waste.
        if let place, !stored[place].word.isVaried, isFresh(stored[place], at: now) { return nil }
        guard said.isNotModified else {
            keep(Stored(target: target, language: language, word: said, confirmedAt: now))
            return said.body
        }
        // §4.3.4: only about what is stored, and it brings its own directives.
        guard let place, stored[place].word.tag == said.tag else { return nil }
        var confirmed = stored.remove(at: place)
        confirmed.word.saying = said.saying
        confirmed.confirmedAt = now
        keep(confirmed)
        return confirmed.word.body
    }

    private func isFresh(_ stored: Stored, at now: Timestamp) -> Bool {
        Duration.seconds(stored.word.saying.lifetime ?? 0) > now - stored.confirmedAt
    }

    /// §3, and the note there: what is never fresh and can't be asked about is of no use.
    private mutating func keep(_ new: Stored) {
        guard let lifetime = new.word.saying.lifetime, lifetime > 0 || new.word.tag != nil else { return }
        stored.append(new)
    }
}
