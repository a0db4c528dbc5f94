import Perennial
import PerennialHTTP
import Testing

struct RequestDemandTests {
    static let readings: [(HeaderFields, RequestDemand?)] = [
        ([:], nil), (["Cache-Control": "no-store"], nil), (["Cache-Control": "no-transform, foo=1"], nil),
        (["Cache-Control": "no-cache"], demand(mustValidate: true)),
        (["Cache-Control": "max-age=0"], demand(mustValidate: true, maxAge: .zero)),
        (["Cache-Control": "max-age=5"], demand(maxAge: .seconds(5))),
        (["Cache-Control": "max-age=99999999999"], demand(maxAge: .seconds(1 << 31))),
        // What is no number is taken for the strictest there is.
        (["Cache-Control": "max-age=-5"], demand(mustValidate: true, maxAge: .zero)),
        (["Cache-Control": "min-fresh=7"], demand(minFresh: .seconds(7))),
        (["Cache-Control": "min-fresh=-7"], nil), (["Cache-Control": "min-fresh"], nil),
        (["Cache-Control": "max-stale"], demand(maxStale: .forever)),
        (["Cache-Control": "max-stale=9"], demand(maxStale: .seconds(9))),
        (["Cache-Control": "max-stale=x"], nil), (["Cache-Control": "max-stale=-1"], nil),
        (["Cache-Control": "only-if-cached"], demand(onlyIfCached: true)),
        (["Cache-Control": "stale-if-error=60"], demand(staleIfError: .seconds(60))),
        (["Cache-Control": "stale-if-error=x"], demand(staleIfError: .zero)),
        (["Pragma": "no-cache"], demand(mustValidate: true)),
        (["pragma": "x, No-Cache"], demand(mustValidate: true)), (["Pragma": "x"], nil),
        // Pragma counts only where there is no Cache-Control.
        (["Pragma": "no-cache", "Cache-Control": "max-stale=1"], demand(maxStale: .seconds(1))),
        (["Pragma": "no-cache", "Cache-Control": ""], nil),
        (
            ["Cache-Control": "max-age=5", "cache-control": "only-if-cached"],
            demand(maxAge: .seconds(5), onlyIfCached: true)
        ),
    ]

    @Test(arguments: RequestDemandTests.readings)
    func `A demand is read from Cache-Control, or else from Pragma`(fields: HeaderFields, expected: RequestDemand?) {
        #expect(RequestDemand(fields) == expected)
    }

    /// Fresh for 60 seconds, then stale by leave of the origin for 30, then usable on error until 600.
    private let freshness = Freshness(
        confirmedAt: arrival, limits: Limits(raising: .seconds(60), .seconds(90), .seconds(600)))

    @Test(
        arguments: [
            ("max-age=50", 50, .serve), ("max-age=50", 51, .fetch), ("max-age=0", 0, .fetch), ("no-cache", 0, .fetch),
            ("max-age=100", 61, .fetch), ("max-age=100, max-stale", 61, .serve),
            ("max-age=60, max-stale", 61, .fetch), ("max-age=100, max-stale=1", 61, .serve),
            ("max-age=100, max-stale=1", 62, .fetch),
            ("min-fresh=10", 50, .serve), ("min-fresh=10", 51, .fetch), ("min-fresh=0", 59, .serve),
            ("min-fresh=0", 60, .fetch), ("min-fresh=61", 0, .fetch), ("min-fresh=1, max-stale", 60, .fetch),
            ("min-fresh=99999999999", 0, .fetch),
            // Stale by leave of the origin, which a request without a word about it may get.
            ("stale-if-error=0", 75, .serve), ("max-stale=20", 75, .serve), ("max-stale=10", 75, .fetch),
            ("max-stale=0", 60, .serve), ("max-stale=0", 61, .fetch),
            ("max-stale=40", 100, .serve), ("max-stale=39", 100, .fetch), ("max-stale", 100_000, .serve),
            ("stale-if-error=1000", 100, .fetch),
            ("only-if-cached", 75, .serve), ("only-if-cached", 90, .refuse), ("only-if-cached, max-stale", 90, .serve),
            ("only-if-cached, no-cache", 0, .refuse), ("only-if-cached, min-fresh=10", 55, .refuse),
        ] as [(String, Int, RequestDemand.Verdict)])
    func `What is stored is served, asked for again, or refused`(
        directives: String, age: Int, expected: RequestDemand.Verdict
    ) throws {
        let demand = try #require(RequestDemand(["Cache-Control": directives]))
        #expect(demand.verdict(on: freshness, permitsStale: true, at: arrival + .seconds(age)) == expected)
    }

    @Test func `Where nothing is stored the origin is asked, unless nobody is to be`() throws {
        let any = try #require(RequestDemand(["Cache-Control": "max-stale"]))
        let cached = try #require(RequestDemand(["Cache-Control": "only-if-cached"]))
        #expect(any.verdict(on: nil, permitsStale: true, at: arrival) == .fetch)
        #expect(cached.verdict(on: nil, permitsStale: true, at: arrival) == .refuse)
    }

    @Test func `max-stale opens nothing that the response has closed`() throws {
        let demand = try #require(RequestDemand(["Cache-Control": "max-stale"]))
        #expect(demand.verdict(on: freshness, permitsStale: false, at: arrival + .seconds(90)) == .fetch)
        #expect(permitsStale(["Cache-Control": "max-age=60"]))
        for closed in ["must-revalidate", "proxy-revalidate", "s-maxage=60", "no-cache"] {
            #expect(!permitsStale(["Cache-Control": "max-age=60, \(closed)"]))
        }
        #expect(permitsStale(["Cache-Control": "no-cache=\"x\""]))
        #expect(!permitsStale(["Cache-Control": "max-age=60", "CDN-Cache-Control": "max-age=60, must-revalidate"]))
        #expect(permitsStale(["Cache-Control": "no-cache", "Perennial-Cache-Control": "max-age=60"]))
    }

    @Test(
        arguments: [
            // As far as the response goes, which is to 600 here.
            ("no-cache", 10, true, true), ("no-cache", 599, true, true), ("no-cache", 600, true, false),
            // As far as the request goes, on both sides of that.
            ("no-cache, stale-if-error=10", 70, true, true), ("no-cache, stale-if-error=10", 71, true, false),
            ("stale-if-error=1000", 1060, true, true), ("stale-if-error=1000", 1061, true, false),
            ("stale-if-error=1000", 1060, false, false), ("no-cache, stale-if-error=0", 59, true, true),
        ] as [(String, Int, Bool, Bool)])
    func `When the origin fails, stale-if-error says what is served`(
        directives: String, age: Int, permitsStale: Bool, expected: Bool
    ) throws {
        let demand = try #require(RequestDemand(["Cache-Control": directives]))
        #expect(demand.acceptsOnError(freshness, permitsStale: permitsStale, at: arrival + .seconds(age)) == expected)
    }

    @Test func `Without anybody's leave a failure stays one, even where something fresh is stored`() throws {
        let strict = Freshness(confirmedAt: arrival, limits: Limits(raising: .seconds(60), .seconds(90), .zero))
        let demand = try #require(RequestDemand(["Cache-Control": "no-cache"]))
        #expect(!demand.acceptsOnError(strict, permitsStale: true, at: arrival + .seconds(5)))
        let lenient = try #require(RequestDemand(["Cache-Control": "no-cache, stale-if-error=5"]))
        #expect(lenient.acceptsOnError(strict, permitsStale: false, at: arrival + .seconds(5)))
        #expect(lenient.acceptsOnError(strict, permitsStale: true, at: arrival + .seconds(65)))
        #expect(!lenient.acceptsOnError(strict, permitsStale: false, at: arrival + .seconds(65)))
    }

    @Test func `Caches before the origin hear of what asks for something newer`() {
        func forwarded(_ text: String) -> String? { RequestDemand(["Cache-Control": text])?.forwarded }
        #expect(forwarded("no-cache, max-age=5") == "no-cache")
        #expect(forwarded("max-age=0") == "no-cache")
        #expect(forwarded("max-age=5, min-fresh=3, max-stale=9") == "max-age=5, min-fresh=3")
        #expect(forwarded("max-stale, stale-if-error=3") == nil)
    }

    @Test func `Who goes by the origin's fields obeys clients, who has set limits does not`() throws {
        #expect(ClientDirectives(for: .origin()) == .obey)
        #expect(ClientDirectives(for: .policy(.standard)) == .ignore)
        let fields: HeaderFields = ["Cache-Control": "only-if-cached, max-age=5, max-stale"]
        #expect(ClientDirectives.obey.demand(of: fields) == RequestDemand(fields))
        #expect(ClientDirectives.ignore.demand(of: fields) == demand(onlyIfCached: true))
        #expect(ClientDirectives.ignore.demand(of: ["Cache-Control": "no-cache"]) == nil)
        #expect(ClientDirectives.ignore.demand(of: ["Pragma": "no-cache"]) == nil)
    }
}

private func demand(
    mustValidate: Bool = false, maxAge: Duration? = nil, minFresh: Duration? = nil, maxStale: Duration? = nil,
    onlyIfCached: Bool = false, staleIfError: Duration? = nil
) -> RequestDemand {
    var demand = RequestDemand()
    demand.mustValidate = mustValidate
    demand.maxAge = maxAge
    demand.minFresh = minFresh
    demand.maxStale = maxStale
    demand.onlyIfCached = onlyIfCached
    demand.staleIfError = staleIfError
    return demand
}
