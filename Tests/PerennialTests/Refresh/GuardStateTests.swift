import PerennialTesting
import Testing

@testable import Perennial

@Suite struct GuardStateTests {
    let start = Timestamp(milliseconds: 1_000_000)

    func state(
        concurrency: Int? = nil, rate: OriginGuard.Rate? = nil, breaker: OriginGuard.Breaker? = nil
    ) -> DrivenGuard {
        DrivenGuard(GuardState(concurrency: concurrency, rate: rate, breaker: breaker, now: start))
    }

    @Test func `no more run at once than allowed`() throws {
        let state = state(concurrency: 2)
        let permit = try #require(state.begin("a", at: start))
        #expect(state.begin("a", at: start) != nil)
        #expect(state.request(.init(address: "a"), at: start) == .wait(until: nil))
        #expect(state.finished(permit, .success, at: start).isEmpty)
        #expect(state.begin("a", at: start) != nil)
    }

    @Test func `a burst may begin at once, and the next request when the first of it is long enough ago`() throws {
        let state = state(rate: try .init(perSecond: 10, burst: 2))
        #expect(state.begin("a", at: start) != nil)
        #expect(state.begin("a", at: start + .milliseconds(50)) != nil)
        #expect(state.request(nil, at: start + .milliseconds(60)) == .wait(until: start + .milliseconds(202)))
        #expect(state.begin("a", at: start + .milliseconds(202)) != nil)
        #expect(state.request(nil, at: start + .milliseconds(203)) == .wait(until: start + .milliseconds(252)))
        let later = start + .hours(1)
        #expect(state.begin("a", at: later) != nil)
        #expect(state.begin("a", at: later) != nil)
        #expect(state.begin("a", at: later) == nil)
    }

    @Test(arguments: [(5.0, 5), (0.4, 1), (15, 15), (1.4, 1), (100, 100)])
    func `no second has more requests than the rate says, wherever it begins`(perSecond: Double, burst: Int) throws {
        let state = state(rate: try .init(perSecond: perSecond, burst: Double(burst)))
        var random = SeededGenerator(seed: 7)
        var (now, begun): (Timestamp, [Timestamp]) = (start, [])
        while begun.count < 300 {
            now = now + .milliseconds(Int64.random(in: 0..<8, using: &random))
            guard state.begin("a", at: now) != nil else { continue }
            begun.append(now)
            // Mostly as soon as possible, now and then after a pause.
            if begun.count.isMultiple(of: 97) { now = now + .milliseconds(Int64(5_000 / perSecond)) }
        }
        let stretch = Duration.milliseconds(Int64((Double(burst) / perSecond * 1000).rounded(.up)))
        for (first, next) in zip(begun, begun.dropFirst(burst)) { #expect(next - first > stretch) }
        // And no fewer than it could be.
        let seconds = Double((begun.last! - start).milliseconds) / 1000
        #expect(Double(begun.count) / seconds > perSecond * 0.5)
    }

    @Test func `a clock set back adds no turns and does not stop anybody`() throws {
        let state = state(rate: try .init(perSecond: 10, burst: 1))
        #expect(state.begin("a", at: start) != nil)
        let earlier = start - .hours(1)
        #expect(state.request(nil, at: earlier) == .wait(until: earlier + .milliseconds(101)))
        #expect(state.begin("a", at: earlier + .milliseconds(101)) != nil)
    }

    /// What is asked, how it ends, and what is refused, in the notation of ``GuardScript``.
    static let transitions: [(behaviour: String, script: String)] = [
        ("an address is left alone after five failures, and nobody else is", "a- a- a- a- a- a. b+ b+ +5 a+ a+"),
        ("an address is judged by its share", "a- a+ a- a+ a- a. b+"),
        ("an address that works more often than not is asked on", "a- a+ a+ a- a+ a+ a- a+ a+ a- a+ a+ a- a+"),
        ("successes of others say nothing of an address", "b+ b+ b+ b+ b+ b+ a- a- a- a- a- a. b+"),
        (
            "an address's pause doubles with each vain try, up to the longest",
            "a- a- a- a- a- +5 a- +9 a. +1 a- +19 a. +1 a- +20 a- +19 a. +1 a+ a+"
        ),
        ("one request at a time tries an address", "a- a- a- a- a- +5 (a a. b+ )a+ a+ a+"),
        ("a try that is given up lets the next one try", "a- a- a- a- a- +5 a~ a~ a- a. +10 a+"),
        ("a try that never ends does not last for ever", "a- a- a- a- a- +5 (a +59 a. +1 a+ )a- a+"),
        ("what ends after an address was left alone says nothing of it", "(a a- a- a- a- a- )a+ a. +5 a+"),
        ("ten failures of ten addresses leave the origin alone", "a- b- c- d- e- f- g- h- i- j- k. a. +5 k+ l+"),
        ("nine of them do not", "a- b- c- d- e- f- g- h- i- j+ k+"),
        (
            "failures of two addresses never close the others",
            "a- b- a- b- a- b- a- b- a- b- a. b. c+ +5 a- b- +10 a- b- c+ d+"
        ),
        ("failures of three addresses do, where nothing else is asked", "a- b- c- a- b- c- a- b- c- a- d. +5 d+ e+"),
        (
            "as long as more requests succeed than fail, the origin is asked",
            "a+ b+ c+ d+ e+ f+ a- b- c- d- e- k+ k+ k+ f- g- h- k+ k+"
        ),
        ("addresses of one endpoint count as one", "p/1- p/2- p/3- p/4- p/5- p/6- p/7- p/8- p/9- p/10- p/11- q+"),
        ("failures that are about the origin need no other address", "a! a! a! a! a! a! a! a! a! a! b. +5 b+ a+"),
        (
            "one of them among failures of one endpoint is no proof",
            "p/1- p/2- p/3- p/4- p/5! p/6- p/7- p/8- p/9- p/10- p/11- q+"
        ),
        ("a failed connection is not put down to the address", "a! a! a! a! a! a! a! a! a! a! +5 a+ a+"),
        ("batches count for the origin", "*- *- *- *- *- *- *- *- *- *- *. a. +5 *+ a+"),
        ("failures older than the window count no more", "a- b- c- d- e- +31 f- g- h- i- j- k+"),
        ("an honest answer closes nothing, however often", "a? a? a? a? a? a? a? a? a? a? a? a? a? a? a? a+ b+"),
        ("what says nothing counts for nothing", "a~ a~ a~ a~ a~ a~ a~ a~ a~ a~ a~ a~ b+"),
        ("one request at a time tries the origin", "a! a! a! a! a! a! a! a! a! a! +5 (b a. c. )b+ a+ c+"),
        (
            "a vain connection leaves the origin alone for longer",
            "a! a! a! a! a! a! a! a! a! a! +5 b! c. +9 c. +1 c+ a+"
        ),
        (
            "while the origin is tried, a failing address does not speak for the others",
            "a- b- c- d- e- f- g- h- i- j- +5 a- a. b- b. k+ l+ a. +5 a+"
        ),
        (
            "three addresses tried in vain leave it alone for longer",
            "a- b- c- d- e- f- g- h- i- j- +5 a- b- c- k. +9 k. +1 k+"
        ),
        (
            "after it works again, old failures count no more",
            "a- b- c- d- e- f- g- h- i- j- +5 k+ a- b- c- d- e- f- g- h- i- k+"
        ),
        ("Retry-After holds for what it was said of", "a30 a. b+ c+ +29 a. +1 a+"),
        ("Retry-After of two addresses, too", "a30 b30 a. b. c+"),
        (
            "Retry-After of three addresses holds for all, for as long as they agree",
            "a60 b20 c40 d. +20 d+ b+ a. c. +20 c+"
        ),
        ("Retry-After of one endpoint's addresses does not", "p/1:60 p/2:60 p/3:60 p/4+ q+"),
        ("Retry-After that was said long ago is no agreement", "a600 b600 +31 c600 d+ a. b. c."),
        ("Retry-After with a failure to connect holds for all", "a!30 b. +30 b+"),
        ("Retry-After of a batch holds for all", "*30 a. +30 a+"),
        ("a pause that is too long is cut", "a99999999 a. +600 a+"),
        ("a pause in the past is none", "a0 a+"),
        ("a shorter pause does not end a longer one", "(a (a )a60 )a10 +59 a. +1 a+"),
        ("by hand everything is asked again", "a- a- a- a- a- a. b30 b. reopen a+ b+"),
        (
            "by hand an origin is asked again, and judged anew",
            "a! a! a! a! a! a! a! a! a! a! b. reopen b! b! b! b! b! b! b! b! b! c+"
        ),
        ("by hand one address is asked again, and no other", "a- a- a- a- a- b- b- b- b- b- a. b. reopen=a a+ b."),
        (
            "a try begun before something was asked again by hand is one request of many",
            "a! a! a! a! a! a! a! a! a! a! +5 (b reopen )b! b+"
        ),
        ("a clock set back ends pauses instead of making them longer", "a600 b- b- b- b- b- -3600 a+ b+"),
        ("a clock set back ends the origin's pause", "a! a! a! a! a! a! a! a! a! a! b. -3600 b+"),
    ]

    @Test(arguments: transitions)
    func `what is left alone`(_ behaviour: String, _ script: String) throws {
        let run = GuardScript(
            GuardState(breaker: try .init(maximum: .seconds(20)), now: start), start)
        for (step, word) in script.split(separator: " ").enumerated() {
            #expect(run.does(String(word)), "\(behaviour): step \(step + 1), \(word), of \(script)")
        }
        #expect(run.state.running == run.running, "\(behaviour)")
    }

    @Test func `ten failures among thousands of successes leave nothing alone`() throws {
        let run = GuardScript(GuardState(breaker: .standard, now: start), start)
        for round in 0..<10 {
            for number in 0..<400 { #expect(run.does("\(number % 7)+")) }
            #expect(run.does("\(round % 7)-"))
        }
        for number in 0..<7 { #expect(run.does("\(number)+")) }
    }

    @Test func `without a breaker nothing but Retry-After counts`() {
        let run = GuardScript(GuardState(breaker: nil, now: start), start)
        for _ in 0..<100 { #expect(run.does("a-") && run.does("b!")) }
        for word in ["a30", "a.", "b+", "+30", "a+"] { #expect(run.does(word), "\(word)") }
    }

    @Test func `a refusal says why`() throws {
        let state = state(breaker: .standard)
        for number in 0..<12 {
            guard let permit = state.begin("\(number)", at: start) else { break }
            _ = state.finished(permit, number < 2 ? .success : .failure(.address, "it broke"), at: start)
        }
        guard case .refuse(let until, let why) = state.request(.init(address: "a"), at: start) else {
            Issue.record("was let through")
            return
        }
        #expect(until == start + .seconds(5))
        #expect(why == "8 of 10 requests in 30 s failed; last: it broke")
    }

    @Test func `what has changed is said once`() throws {
        let state = state(breaker: .standard)
        func fail(_ address: String, at time: Timestamp) throws -> [OriginGuard.Change] {
            let permit = try #require(state.begin(address, at: time))
            return state.finished(permit, .failure(.address, "503"), at: time)
        }
        for _ in 1..<5 { #expect(try fail("a", at: start).isEmpty) }
        #expect(
            try fail("a", at: start) == [
                .init(
                    address: "a", .opened(until: start + .seconds(5), for: .seconds(5)),
                    "5 of 5 requests in 30 s failed; last: 503")
            ])
        let later = start + .seconds(5)
        #expect(
            try fail("a", at: later) == [
                .init(
                    address: "a", .stayedOpen(until: later + .seconds(10), for: .seconds(10)),
                    "it was tried again and failed: 503")
            ])
        let last = later + .seconds(10)
        let permit = try #require(state.begin("a", at: last))
        #expect(state.finished(permit, .success, at: last) == [.init(address: "a", .closed, "it works again")])
        #expect(state.state.addresses.count == 0)
        #expect(state.state.addressOpenings == 1)
        #expect(state.state.openings == 0)
    }

    @Test func `failing addresses are remembered up to a limit, the last ones`() throws {
        let state = DrivenGuard(GuardState(breaker: try .init(minimum: .max), addressLimit: 100, now: start))
        for number in 0..<1000 {
            let now = start + .milliseconds(Int64(number))
            let permit = try #require(state.begin("\(number)", at: now))
            _ = state.finished(permit, .failure(), at: now)
            #expect(state.state.addresses.count <= 100)
        }
        #expect(state.state.addresses["999"] != nil)
        #expect(state.state.addresses["0"] == nil)
        // Those that have failed no more are forgotten when there is no room.
        let later = start + .hours(1)
        for number in 1000..<1101 {
            let permit = try #require(state.begin("\(number)", at: later))
            _ = state.finished(permit, .failure(), at: later)
        }
        #expect(state.state.addresses["999"] == nil)
    }

    @Test func `numbers out of range are refused`() {
        for make: () throws -> OriginGuard.Breaker in [
            { try .init(share: 0) }, { try .init(share: 1.1) }, { try .init(share: .nan) }, { try .init(minimum: 0) },
            { try .init(addressMinimum: 0) }, { try .init(endpoints: 0) }, { try .init(window: .zero) },
            { try .init(pause: .zero) }, { try .init(pause: .seconds(2), maximum: .seconds(1)) },
        ] {
            #expect(throws: PolicyError.self) { try make() }
        }
    }
}

/// A guard's state that a test changes.
final class DrivenGuard {
    var state: GuardState

    init(_ state: GuardState) {
        self.state = state
    }

    func request(_ subject: GuardState.Subject?, at now: Timestamp) -> GuardState.Verdict {
        state.request(subject, at: now)
    }

    /// Asks for one address; `nil`: it is refused or has to wait.
    func begin(_ address: String, at now: Timestamp) -> GuardState.Permit? {
        if case .go(let permit) = request(.init(address: address), at: now) { permit } else { nil }
    }

    func finished(_ permit: GuardState.Permit, _ outcome: GuardState.Outcome, at now: Timestamp)
        -> [OriginGuard.Change]
    {
        state.finished(permit, outcome, at: now)
    }
}

/// A guard that is driven by words:
/// - `+5`: five seconds later; `-5`: the clock is set back by so many.
/// - `a+`: a is asked, and works; `a-`: fails; `a!`: could not be connected to; `a?`: answers that it can't; `a~`: says
///   nothing.
/// - `a30`, or `a/1:30` for a name that ends with a digit: asks for a pause of so many seconds; `a!30`: for the whole
///   origin.
/// - `a.`: is refused, until later than now.
/// - `(a` begins what `)a+` and so on ends, the first that began.
/// - `*`: in place of an address: several at once. `p/1`, `p/2`: two addresses of an endpoint.
/// - `reopen`, `reopen=a`: by hand.
final class GuardScript {
    private(set) var state: GuardState
    private var now: Timestamp
    private var begun: [String: [GuardState.Permit]] = [:]
    var running: Int { begun.values.map(\.count).reduce(0, +) }

    init(_ state: GuardState, _ now: Timestamp) {
        self.state = state
        self.now = now
    }

    /// Whether all went as the word says.
    func does(_ word: String) -> Bool {
        if let seconds = Int64(word) {
            now = now + .seconds(seconds)
            return true
        }
        if word.hasPrefix("reopen") {
            let address = word.split(separator: "=").dropFirst().first.map(String.init)
            guard let address else { return !state.reopen(at: now).isEmpty }
            return !state.reopen({ $0 == address }, at: now).isEmpty
        }
        if word.hasPrefix("(") {
            let address = String(word.dropFirst())
            guard let permit = begin(address) else { return false }
            begun[address, default: []].append(permit)
            return true
        }
        let isEnd = word.hasPrefix(")")
        let word = isEnd ? String(word.dropFirst()) : word
        let (address, ending) = parts(of: word)
        if ending == "." {
            guard case .refuse(let until, _) = state.request(subject(address), at: now) else { return false }
            return until > now
        }
        guard let outcome = outcome(ending) else { return false }
        guard let permit = isEnd ? begun[address]?.removeFirst() : begin(address) else { return false }
        _ = state.finished(permit, outcome, at: now)
        return true
    }

    private func begin(_ address: String) -> GuardState.Permit? {
        if case .go(let permit) = state.request(subject(address), at: now) { permit } else { nil }
    }

    private func subject(_ address: String) -> GuardState.Subject? {
        address == "*" ? nil : .init(address: address, endpoint: address.split(separator: "/").first.map(String.init))
    }

    private func parts(of word: String) -> (String, String) {
        if let colon = word.firstIndex(of: ":") {
            return (String(word[..<colon]), String(word[word.index(after: colon)...]))
        }
        if let end = word.firstIndex(where: { "+-!?~.".contains($0) }) {
            return (String(word[..<end]), String(word[end...]))
        }
        let end = word.firstIndex(where: \.isNumber) ?? word.endIndex
        return (String(word[..<end]), String(word[end...]))
    }

    private func outcome(_ ending: String) -> GuardState.Outcome? {
        switch ending {
        case "+", "?": .success
        case "-": .failure()
        case "!": .failure(.origin)
        case "~": .neutral
        default:
            if ending.hasPrefix("!") {
                Int64(ending.dropFirst()).map { .failure(.origin, retryAfter: .seconds($0)) }
            } else {
                Int64(ending).map { .failure(retryAfter: .seconds($0)) }
            }
        }
    }
}
