import Perennial
import PerennialHTTP
import Testing

struct FreshnessTests {
    typealias Basis = ResponseFreshness.Basis

    struct Case: Sendable, CustomTestStringConvertible {
        var fields: HeaderFields
        /// refreshAfter, expireAfter, staleIfError in seconds.
        var limits: [Int64]
        var basis: Basis
        var status = 200
        var operatorStaleIfError: Duration?

        var testDescription: String { "\(status) \(fields) → \(limits)" }
    }

    static let lastModified = ("Last-Modified", date(secondsBefore: 1000))

    static let cases: [Case] = [
        Case(fields: ["Cache-Control": "max-age=60"], limits: [60, 60, 60], basis: .maxAge),
        Case(fields: ["Cache-Control": "max-age=60, s-maxage=30"], limits: [30, 30, 30], basis: .sharedMaxAge),
        Case(fields: ["Cache-Control": "max-age=60", "Expires": "0"], limits: [60, 60, 60], basis: .maxAge),
        Case(
            fields: ["Cache-Control": "max-age=x", "Expires": date(secondsBefore: -50)], limits: [0, 0, 0],
            basis: .maxAge),
        // Expires.
        Case(fields: ["Expires": date(secondsBefore: -50)], limits: [50, 50, 50], basis: .expires),
        Case(
            fields: ["Expires": date(secondsBefore: -50), "Date": date(secondsBefore: 10)], limits: [60, 60, 60],
            basis: .expires),
        Case(fields: ["Expires": date(secondsBefore: -50), "Date": "never"], limits: [50, 50, 50], basis: .expires),
        Case(fields: ["Expires": date(secondsBefore: 50)], limits: [0, 0, 0], basis: .expires),
        Case(fields: ["Expires": "0", "Last-Modified": lastModified.1], limits: [0, 0, 0], basis: .expires),
        Case(
            fields: ["Expires": date(secondsBefore: -50), "expires": date(secondsBefore: -500)], limits: [50, 50, 50],
            basis: .expires),
        // A guess.
        Case(fields: ["Last-Modified": lastModified.1], limits: [100, 100, 100], basis: .heuristic),
        Case(
            fields: ["Last-Modified": date(secondsBefore: 100_000_000)], limits: [86_400, 86_400, 86_400],
            basis: .heuristic),
        Case(fields: ["Last-Modified": date(secondsBefore: -1000)], limits: [0, 0, 0], basis: .heuristic),
        Case(fields: ["Last-Modified": lastModified.1], limits: [0, 0, 0], basis: .nothing, status: 302),
        Case(
            fields: ["Last-Modified": lastModified.1, "Cache-Control": "public"], limits: [100, 100, 100],
            basis: .heuristic, status: 302),
        Case(fields: ["ETag": "\"a\""], limits: [0, 0, 0], basis: .nothing),
        Case(fields: [:], limits: [0, 0, 0], basis: .nothing),
        // Stale, by the origin's leave.
        Case(
            fields: ["Cache-Control": "max-age=60, stale-while-revalidate=30"], limits: [60, 90, 90], basis: .maxAge),
        Case(fields: ["Cache-Control": "max-age=60, stale-if-error=300"], limits: [60, 60, 360], basis: .maxAge),
        Case(
            fields: ["Cache-Control": "max-age=60, stale-while-revalidate=30, stale-if-error=10"],
            limits: [60, 90, 90],
            basis: .maxAge),
        // Stale, by the operator's.
        Case(
            fields: ["Cache-Control": "max-age=60"], limits: [60, 60, 500], basis: .maxAge,
            operatorStaleIfError: .seconds(500)),
        Case(
            fields: ["Cache-Control": "max-age=60"], limits: [60, 60, 60], basis: .maxAge,
            operatorStaleIfError: .seconds(5)),
        Case(
            fields: ["Cache-Control": "max-age=60, stale-if-error=0"], limits: [60, 60, 60], basis: .maxAge,
            operatorStaleIfError: .seconds(500)),
        // Never stale.
        Case(
            fields: ["Cache-Control": "max-age=60, must-revalidate, stale-while-revalidate=9"], limits: [60, 60, 60],
            basis: .maxAge, operatorStaleIfError: .seconds(500)),
        Case(
            fields: ["Cache-Control": "max-age=60, proxy-revalidate, stale-if-error=9"], limits: [60, 60, 60],
            basis: .maxAge, operatorStaleIfError: .seconds(500)),
        Case(
            fields: ["Cache-Control": "s-maxage=60, stale-while-revalidate=9"], limits: [60, 60, 60],
            basis: .sharedMaxAge, operatorStaleIfError: .seconds(500)),
        Case(
            fields: ["Cache-Control": "no-cache, max-age=60, stale-if-error=9"], limits: [0, 0, 0], basis: .noCache,
            operatorStaleIfError: .seconds(500)),
        Case(fields: ["Cache-Control": "no-cache=\"a\", max-age=60"], limits: [60, 60, 60], basis: .maxAge),
        // Of what is there twice the first counts; of what contradicts itself, what forbids more.
        Case(fields: ["Cache-Control": "max-age=10, max-age=60"], limits: [10, 10, 10], basis: .maxAge),
        Case(
            fields: ["Cache-Control": "max-age=10", "cache-control": "MAX-AGE=60"], limits: [10, 10, 10], basis: .maxAge
        ),
        Case(
            fields: ["Cache-Control": "s-maxage=10, s-maxage=60, max-age=5"], limits: [10, 10, 10],
            basis: .sharedMaxAge),
        Case(
            fields: ["Cache-Control": "max-age=60", "cache-control": "no-cache"], limits: [0, 0, 0], basis: .noCache),
        Case(
            fields: ["Cache-Control": "no-cache=\"a\", no-cache, max-age=60"], limits: [0, 0, 0], basis: .noCache),
        Case(
            fields: ["Cache-Control": "max-age=60, stale-while-revalidate=5, stale-while-revalidate=50"],
            limits: [60, 65, 65], basis: .maxAge),
        // What is no number of seconds is stale, and no guess takes its place.
        Case(fields: ["Cache-Control": "s-maxage=x, max-age=60"], limits: [0, 0, 0], basis: .sharedMaxAge),
        Case(
            fields: ["Cache-Control": "max-age=-1", "Last-Modified": lastModified.1], limits: [0, 0, 0], basis: .maxAge),
        Case(fields: ["Cache-Control": "max-age=1.5"], limits: [0, 0, 0], basis: .maxAge),
        Case(fields: ["Cache-Control": "max-age=\"60\""], limits: [60, 60, 60], basis: .maxAge),
        Case(
            fields: ["Cache-Control": "max-age=60, stale-while-revalidate=x"], limits: [60, 60, 60], basis: .maxAge),
        Case(
            fields: ["Cache-Control": "max-age=60, stale-if-error=-5"], limits: [60, 60, 60], basis: .maxAge,
            operatorStaleIfError: .seconds(500)),
        Case(
            fields: ["Cache-Control": "max-age=2147483649"], limits: [1 << 31, 1 << 31, 1 << 31], basis: .maxAge),
        // Nobody knows these, or they say nothing here.
        Case(
            fields: ["Cache-Control": "max-age=60, immutable, community=\"UCI\", max-stale=9, min-fresh=9"],
            limits: [60, 60, 60], basis: .maxAge),
        Case(fields: ["Cache-Control": "max-age=60", "Pragma": "no-cache"], limits: [60, 60, 60], basis: .maxAge),
        Case(
            fields: ["Cache-Control": "immutable", "Last-Modified": lastModified.1], limits: [100, 100, 100],
            basis: .heuristic),
        // Dates in the three forms, in any case; others are no dates.
        Case(fields: ["Expires": "sun, 09 sep 2001 01:47:30 gmt"], limits: [50, 50, 50], basis: .expires),
        Case(fields: ["Expires": "Sunday, 09-Sep-01 01:47:30 GMT"], limits: [50, 50, 50], basis: .expires),
        Case(fields: ["Expires": "Sun Sep  9 01:47:30 2001"], limits: [50, 50, 50], basis: .expires),
        Case(fields: ["Expires": "Sun, 09 Sep 2001 01:47:30 CET"], limits: [0, 0, 0], basis: .expires),
        Case(fields: ["Expires": "2001-09-09T01:47:30Z"], limits: [0, 0, 0], basis: .expires),
        Case(fields: ["Expires": "-1", "Last-Modified": lastModified.1], limits: [0, 0, 0], basis: .expires),
        Case(fields: ["Expires": "", "Last-Modified": lastModified.1], limits: [0, 0, 0], basis: .expires),
        Case(
            fields: ["Expires": "0", "expires": date(secondsBefore: -50)], limits: [0, 0, 0], basis: .expires),
        // A guess is made only where the status, or the origin, lets it be.
        Case(fields: ["Last-Modified": lastModified.1], limits: [0, 0, 0], basis: .nothing, status: 201),
        Case(fields: ["Last-Modified": lastModified.1], limits: [0, 0, 0], basis: .nothing, status: 307),
        Case(fields: ["Last-Modified": lastModified.1], limits: [100, 100, 100], basis: .heuristic, status: 410),
        Case(
            fields: ["Last-Modified": lastModified.1, "Date": date(secondsBefore: 500)], limits: [50, 50, 50],
            basis: .heuristic),
        Case(
            fields: ["Last-Modified": lastModified.1, "Cache-Control": "no-cache"], limits: [0, 0, 0], basis: .noCache),
        Case(
            fields: ["Last-Modified": lastModified.1, "Cache-Control": "must-revalidate, stale-while-revalidate=9"],
            limits: [100, 100, 100], basis: .heuristic, operatorStaleIfError: .seconds(500)),
        // Ages: what is none is ignored.
        Case(fields: ["Cache-Control": "max-age=60", "Age": "1.5"], limits: [60, 60, 60], basis: .maxAge),
        Case(fields: ["Cache-Control": "max-age=60", "Age": "\"5\""], limits: [60, 60, 60], basis: .maxAge),
        Case(fields: ["Cache-Control": "max-age=60", "Age": ""], limits: [60, 60, 60], basis: .maxAge),
        Case(fields: ["Cache-Control": "max-age=60", "Age": "x", "age": "5"], limits: [60, 60, 60], basis: .maxAge),
        Case(fields: ["Cache-Control": "max-age=60", "Age": "5", "age": "x"], limits: [60, 60, 60], basis: .maxAge),
        Case(fields: ["Cache-Control": "max-age=60", "Age": " 5\t"], limits: [60, 60, 60], basis: .maxAge),
        Case(fields: ["Cache-Control": "max-age=60", "Age": "-5"], limits: [60, 60, 60], basis: .maxAge),
        Case(fields: ["Cache-Control": "max-age=60", "Age": "5, 6"], limits: [60, 60, 60], basis: .maxAge),
        Case(
            fields: ["Cache-Control": "max-age=99999999999999999999, stale-while-revalidate=99999999999999999999"],
            limits: [1 << 31, 1 << 32, 1 << 32], basis: .maxAge),
    ]

    static let lowered: [(FreshnessMode, Int, String, [Int64])] = [
        // The operator's: the shorter ones of each kind.
        (FreshnessMode.policy(limitsInSeconds(1, 60, 90)), 200, "", [1, 60, 90]),
        (.policy(limitsInSeconds(500, 600, 9000)), 200, "", [100, 600, 1000]),
        (.policy(limitsInSeconds(500, 600, 700), clientErrors: limitsInSeconds(1, 2, 3)), 404, "", [1, 2, 3]),
        (.policy(limitsInSeconds(500, 600, 700), clientErrors: limitsInSeconds(1, 2, 3)), 500, "", [100, 600, 700]),
        // The origin's own stay, but for what only the operator can have said.
        (.origin(), 200, "max-age=100, stale-while-revalidate=700, stale-if-error=900", [100, 800, 1000]),
        (.origin(staleIfError: .seconds(900)), 200, "max-age=100", [100, 800, 900]),
        (.origin(staleIfError: .seconds(5)), 200, "max-age=100", [100, 800, 800]),
        (.origin(staleIfError: .seconds(5000)), 200, "max-age=100", [100, 800, 1000]),
        (.origin(), 200, "max-age=100", [100, 800, 800]),
    ]

    @Test(arguments: lowered)
    func `What an operator has lowered holds for what is stored`(
        mode: FreshnessMode, status: Int, cacheControl: String, expected: [Int64]
    ) {
        let limits = currentLimits(
            limitsInSeconds(100, 800, 1000), status: status, fields: ["Cache-Control": cacheControl], mode: mode)
        #expect([limits.refreshAfter, limits.expireAfter, limits.staleIfError] == expected.map { .seconds($0) })
    }

    @Test(arguments: cases)
    func `The origin's fields make the limits`(example: Case) {
        let freshness = freshness(
            of: response(example.status, example.fields), mode: .origin(staleIfError: example.operatorStaleIfError))
        let limits = freshness.limits
        #expect([limits.refreshAfter, limits.expireAfter, limits.staleIfError] == example.limits.map { .seconds($0) })
        #expect(freshness.basis == example.basis)
    }

    @Test(
        arguments: [
            ([:], 0, 0),
            (["Age": "30"], 0, 30_000),
            (["Age": "30"], 800, 30_800),
            ([:], 800, 800),
            (["Date": date(secondsBefore: 20)], 0, 20_000),
            (["Date": date(secondsBefore: 20), "Age": "30"], 0, 30_000),
            (["Date": date(secondsBefore: 20), "Age": "5"], 900, 20_000),
            (["Date": date(secondsBefore: -20)], 0, 0),
            (["Age": "30", "age": "5"], 0, 30_000),
            (["Age": "x"], 0, 0), (["Age": "abc"], 0, 0), (["Age": "-1"], 0, 0), (["Age": "1.5"], 0, 0),
            (["Age": "\"5\""], 0, 0), (["Age": "x, 5"], 0, 0), (["Age": "x", "age": "5"], 0, 0),
            (["Age": "5, 6"], 0, 5000), (["Age": "5, x"], 0, 5000), (["Age": " 5 ,6", "Age": "7"], 0, 5000),
            (["Age": "99999999999999"], 0, 2_147_483_648_000),
        ] as [(HeaderFields, Int64, Int64)])
    func `The age on arrival is the greater of what clocks and caches say`(
        fields: HeaderFields, delay: Int64, age: Int64
    ) {
        let freshness = freshness(of: response(200, fields, delay: .milliseconds(delay)), mode: .origin())
        #expect(freshness.initialAge == .milliseconds(age))
    }

    @Test func `The part of a second that Date can't say is no age`() {
        var late = response()
        late.receivedAt = late.receivedAt + .milliseconds(999)
        late.requestedAt = late.receivedAt
        #expect(freshness(of: late, mode: .origin()).initialAge == .zero)
    }

    @Test func `Limits from arrival have the first age taken off`() {
        let aged = response(200, ["Cache-Control": "max-age=60, stale-while-revalidate=20", "Age": "70"])
        let limits = freshness(of: aged, mode: .origin()).limitsFromArrival
        #expect(limits == Limits(raising: .zero, .seconds(10), .seconds(10)))
    }

    @Test func `The operator's limits rule over the origin's, with others for client errors`() throws {
        let short = try Limits(refreshAfter: .seconds(10), expireAfter: .seconds(20))
        let mode = FreshnessMode.policy(.standard, clientErrors: short)
        let fields: HeaderFields = ["Cache-Control": "max-age=5", "Age": "100"]
        for (status, limits) in [(200, Limits.standard), (301, .standard), (404, short), (410, short), (451, short)] {
            let freshness = freshness(of: response(status, fields), mode: mode)
            #expect(freshness == ResponseFreshness(limits: limits, initialAge: .zero, basis: .policy))
        }
        #expect(freshness(of: response(404), mode: .policy(.standard)).limits == .standard)
    }

    @Test(
        arguments: [
            ("no-cache", nil, 0, 0, 0), ("no-cache, max-age=60", nil, 0, 0, 0), ("no-cache=\"x\"", nil, 10, 100, 1000),
            ("must-revalidate", nil, 10, 10, 10), ("proxy-revalidate", nil, 10, 10, 10),
            ("max-age=60, must-revalidate", nil, 10, 60, 60), ("max-age=5, must-revalidate", nil, 5, 5, 5),
            ("max-age=500, must-revalidate", nil, 10, 100, 500), ("max-age=0, must-revalidate", nil, 0, 0, 0),
            ("max-age=0", nil, 0, 0, 1000), ("s-maxage=0, max-age=60", nil, 0, 0, 1000),
            ("s-maxage=60", nil, 10, 100, 1000),
            ("", -1, 0, 0, 1000), ("", 0, 0, 0, 1000), ("", 1, 10, 100, 1000), ("max-age=60", -1, 10, 100, 1000),
            ("must-revalidate", -1, 0, 0, 0), ("max-age=5", nil, 10, 100, 1000), ("", nil, 10, 100, 1000),
        ] as [(String, Int?, Int, Int, Int)])
    func `The operator's limits are lowered for what says that it must not be served unasked`(
        directives: String, expires: Int?, soft: Int, hard: Int, error: Int
    ) throws {
        let limits = try Limits(
            refreshAfter: .seconds(10), expireAfter: .seconds(100), staleIfError: .seconds(1000))
        var fields: HeaderFields = directives.isEmpty ? [:] : ["Cache-Control": directives]
        if let expires { fields.add("Expires", date(secondsBefore: -expires)) }
        let lowered = Limits(raising: .seconds(soft), .seconds(hard), .seconds(error))
        #expect(
            freshness(of: response(200, fields), mode: .policy(limits))
                == ResponseFreshness(limits: lowered, initialAge: .zero, basis: .policy))
        // What is said to this cache alone rules in its place, and the operator over all.
        var targeted = fields
        targeted.add("Perennial-Cache-Control", "max-age=60")
        #expect(freshness(of: response(200, targeted), mode: .policy(limits)).limits == limits)
        #expect(freshness(of: response(200, fields), mode: .policy(limits), allowances: .noCache).limits == limits)
    }

    @Test func `What caches before this one have used of a lifetime that ends in asking is gone`() throws {
        let aged = response(200, ["Cache-Control": "max-age=60, must-revalidate", "Age": "55"])
        #expect(
            freshness(of: aged, mode: .policy(.standard)).limits
                == Limits(raising: .seconds(5), .seconds(5), .seconds(5)))
    }

    @Test(arguments: ["0", "-1", "Thu, 01 Jan 1970 00:00:00 GMT"])
    func `An Expires that is no date, or long past, counts with the operator's limits, too`(value: String) {
        let limits = freshness(of: response(302, ["Expires": value]), mode: .policy(.standard)).limits
        #expect(limits.refreshAfter == .zero && limits.expireAfter == .zero)
    }

    @Test func `Age and time to live count whole seconds`() throws {
        let limits = try Limits(refreshAfter: .seconds(10), expireAfter: .seconds(20))
        let freshness = Freshness(confirmedAt: arrival, limits: limits)
        let expected: [(Int64, String, Int64)] = [
            (-5000, "0", 15), (0, "0", 10), (999, "0", 9), (1000, "1", 9), (10_000, "10", 0), (10_001, "10", -1),
            (620_000, "620", -610),
        ]
        for (milliseconds, age, left) in expected {
            let now = arrival + .milliseconds(milliseconds)
            #expect(ageField(freshness, now: now) == age)
            #expect(timeToLive(freshness, now: now) == left)
        }
        #expect(ageField(freshness, now: .distantFuture) == "2147483648")
        #expect(timeToLive(freshness, now: .distantFuture) < -9_000_000_000_000_000)
    }
}

private func limitsInSeconds(_ soft: Int64, _ hard: Int64, _ useless: Int64) -> Limits {
    Limits(raising: .seconds(soft), .seconds(hard), .seconds(useless))
}
