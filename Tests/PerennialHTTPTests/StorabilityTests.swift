import Perennial
import PerennialHTTP
import Testing

struct StorabilityTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var expected: Storability.Reason?
        var status = 200
        var fields: HeaderFields = ["Cache-Control": "max-age=60"]
        var method = "GET"
        var request: HeaderFields = [:]
        var mode = FreshnessMode.origin()
        var allowances: Allowances = []
        var isComplete = true

        var testDescription: String { "\(method) \(request) → \(status) \(fields): \(expected?.rawValue ?? "store")" }

        var outcome: Storability {
            storability(
                of: response(status, fields, isComplete: isComplete), method: method, requestFields: request,
                mode: mode,
                allowances: allowances)
        }
    }

    static let validated: HeaderFields = ["ETag": "\"a\""]

    static let cases: [Case] = [
        Case(expected: nil),
        Case(expected: nil, method: "HEAD"),
        Case(expected: .method, method: "POST"),
        Case(expected: .method, method: "get"),
        Case(expected: .incomplete, isComplete: false),
        // Statuses.
        Case(expected: .partial, status: 206),
        Case(expected: .status, status: 304),
        Case(expected: .status, status: 103),
        Case(expected: nil, status: 404),
        Case(expected: nil, status: 302),
        Case(expected: nil, status: 299),
        Case(expected: .failure, status: 500, fields: validated),
        Case(expected: .failure, status: 501, fields: ["Cache-Control": "public", "ETag": "\"a\""]),
        Case(expected: .failure, status: 503, fields: [:]),
        Case(expected: .failure, status: 503, fields: ["Cache-Control": "max-age=0", "ETag": "\"a\""]),
        Case(expected: .failure, status: 503, fields: ["Cache-Control": "max-age=60, no-cache"]),
        Case(expected: .failure, status: 503, fields: ["Cache-Control": "max-age=60", "Age": "60"]),
        Case(expected: .noStore, status: 503, fields: ["Cache-Control": "max-age=60, no-store"]),
        Case(expected: .setCookie, status: 503, fields: ["Cache-Control": "max-age=60", "Set-Cookie": "a=b"]),
        Case(expected: .failure, status: 511),
        Case(expected: .failure, status: 503, mode: .policy(.standard)),
        Case(expected: .failure, status: 429),
        Case(expected: .failure, status: 408),
        Case(expected: .failure, status: 425),
        Case(expected: .refused, status: 401),
        Case(expected: .refused, status: 403),
        Case(expected: .refused, status: 407),
        Case(expected: .status, status: 100),
        Case(expected: .status, status: 199),
        Case(expected: .partial, status: 206, fields: ["Cache-Control": "public, max-age=60"]),
        Case(expected: nil, status: 203),
        Case(expected: nil, status: 204),
        Case(expected: nil, status: 307),
        Case(expected: nil, status: 308),
        Case(expected: nil, status: 418),
        Case(expected: nil, status: 451),
        Case(expected: nil, status: 499, fields: ["Cache-Control": "s-maxage=60"]),
        Case(expected: .failure, status: 600),
        // Without explicit freshness.
        Case(expected: nil, status: 414, fields: validated),
        Case(expected: .status, status: 201, fields: validated),
        Case(expected: .status, status: 418, fields: validated),
        Case(expected: .status, status: 302, fields: ["Cache-Control": "must-revalidate", "ETag": "\"a\""]),
        Case(expected: nil, fields: validated),
        Case(expected: nil, fields: ["Last-Modified": date(secondsBefore: 100)]),
        Case(expected: .useless, fields: [:]),
        Case(expected: .useless, fields: ["Last-Modified": "yesterday"]),
        Case(expected: .status, status: 302, fields: validated),
        Case(expected: nil, status: 302, fields: ["Cache-Control": "public", "ETag": "\"a\""]),
        Case(expected: nil, status: 302, fields: ["Expires": date(secondsBefore: -60)]),
        Case(expected: nil, status: 410, fields: validated),
        // Never fresh and nothing to ask with.
        Case(expected: .useless, fields: ["Cache-Control": "max-age=0"]),
        Case(expected: nil, fields: ["Cache-Control": "max-age=0", "ETag": "\"a\""]),
        Case(expected: nil, fields: ["Cache-Control": "max-age=0, stale-while-revalidate=5"]),
        Case(expected: nil, fields: ["Cache-Control": "max-age=0"], mode: .origin(staleIfError: .seconds(5))),
        Case(expected: .useless, fields: ["Cache-Control": "max-age=60", "Age": "60"]),
        Case(expected: .useless, fields: ["Cache-Control": "no-cache, max-age=60"]),
        Case(expected: nil, fields: ["Cache-Control": "no-cache", "ETag": "\"a\""]),
        Case(expected: .useless, fields: ["Expires": "0"]),
        // no-store, private, must-understand.
        Case(expected: .noStore, fields: ["Cache-Control": "no-store, max-age=60"]),
        Case(expected: nil, fields: ["Cache-Control": "no-store, max-age=60"], allowances: .noStore),
        Case(expected: .requestNoStore, request: ["Cache-Control": "no-store"]),
        Case(expected: nil, request: ["Cache-Control": "no-store"], allowances: .noStore),
        Case(expected: nil, fields: ["Cache-Control": "no-store, must-understand, max-age=60"]),
        Case(expected: .status, status: 299, fields: ["Cache-Control": "must-understand, max-age=60"]),
        Case(expected: .noStore, fields: ["Cache-Control": "max-age=60", "cache-control": "NO-STORE"]),
        Case(expected: .noStore, fields: ["Cache-Control": "no-store=\"x\", max-age=60"]),
        Case(expected: .noStore, fields: ["Cache-Control": "foo=\"a, max-age=60, no-store"]),
        Case(expected: .status, status: 418, fields: ["Cache-Control": "no-store, must-understand, max-age=60"]),
        Case(expected: .noStore, status: 418, fields: ["Cache-Control": "no-store, max-age=60"]),
        Case(expected: nil, status: 404, fields: ["Cache-Control": "no-store, must-understand, max-age=60"]),
        Case(expected: .partial, status: 206, fields: ["Cache-Control": "must-understand, max-age=60"]),
        Case(expected: .onlyPrivate, fields: ["Cache-Control": "private=\"\", max-age=60"]),
        Case(expected: .onlyPrivate, fields: ["Cache-Control": "private=\"x\", private, max-age=60"]),
        Case(expected: .onlyPrivate, fields: ["Cache-Control": "private, max-age=60"]),
        Case(expected: .onlyPrivate, fields: ["Cache-Control": "public, private, max-age=60"]),
        Case(expected: nil, fields: ["Cache-Control": "private, max-age=60"], allowances: .onlyPrivate),
        Case(expected: nil, fields: ["Cache-Control": "private=\"X-User\", max-age=60"]),
        Case(expected: .noStore, fields: ["Connection": "cache-control", "Cache-Control": "no-store"]),
        // Who asks.
        Case(expected: .authorization, request: ["Authorization": "Basic x"]),
        // The origin may say that they may be stored (RFC 9111 §3.5).
        Case(expected: nil, fields: ["Cache-Control": "public, max-age=60"], request: ["authorization": "x"]),
        Case(expected: nil, fields: ["Cache-Control": "s-maxage=60"], request: ["Authorization": "Basic x"]),
        Case(
            expected: nil, fields: ["Cache-Control": "max-age=60, must-revalidate"], request: ["X-Api-Key": "Basic x"]),
        Case(
            expected: .authorization, fields: ["Cache-Control": "public", "CDN-Cache-Control": "max-age=60"],
            request: ["Authorization": "Basic x"]),
        Case(
            expected: .onlyPrivate, fields: ["Cache-Control": "public, private, max-age=60"],
            request: ["Authorization": "Basic x"]),
        Case(
            expected: .varyCredentials, fields: ["Cache-Control": "public, max-age=60", "Vary": "Authorization"],
            request: ["Authorization": "Basic x"]),
        Case(
            expected: .cookies, fields: ["Cache-Control": "public, max-age=60"],
            request: ["Authorization": "Basic x", "Cookie": "a=b"]),
        Case(
            expected: .authorization, fields: ["Cache-Control": "public, max-age=60"], request: ["Authorization": "x"],
            mode: .policy(.standard)),
        Case(expected: nil, request: ["Authorization": "Basic x"], allowances: .authorization),
        Case(expected: .cookies, request: ["Cookie": "a=b"]),
        Case(expected: nil, request: ["Cookie": "a=b"], allowances: .cookies),
        Case(expected: .setCookie, fields: ["Cache-Control": "max-age=60", "Set-Cookie": "a=b"]),
        Case(expected: nil, fields: ["Cache-Control": "max-age=60", "Set-Cookie": "a=b"], allowances: .setCookie),
        Case(expected: nil, fields: ["Cache-Control": "max-age=60, no-cache=\"set-cookie\"", "Set-Cookie": "a=b"]),
        // Vary.
        Case(expected: .varyAny, fields: ["Cache-Control": "max-age=60", "Vary": "accept, *"]),
        Case(expected: .varyAny, fields: ["Cache-Control": "max-age=60", "Vary": "a b"]),
        Case(expected: nil, fields: ["Cache-Control": "max-age=60", "Vary": "Accept"]),
        Case(expected: nil, fields: ["Cache-Control": "max-age=60", "Vary": "Cookie"]),
        Case(
            expected: .varyCredentials, fields: ["Cache-Control": "max-age=60", "Vary": "Cookie"],
            request: ["Cookie": "a=b"], allowances: .cookies),
        // The operator's limits rule: no freshness, no validator is needed; protections stay.
        Case(expected: nil, fields: [:], mode: .policy(.standard)),
        Case(expected: .useless, fields: ["Cache-Control": "no-cache, max-age=0"], mode: .policy(.standard)),
        Case(expected: nil, fields: ["Cache-Control": "no-cache", "ETag": "\"a\""], mode: .policy(.standard)),
        Case(
            expected: nil, fields: ["Cache-Control": "no-cache, max-age=0"], mode: .policy(.standard),
            allowances: .noCache),
        Case(expected: .status, status: 302, fields: [:], mode: .policy(.standard)),
        Case(expected: .noStore, fields: ["Cache-Control": "no-store"], mode: .policy(.standard)),
        Case(expected: .onlyPrivate, fields: ["Cache-Control": "private"], mode: .policy(.standard)),
        Case(expected: .failure, status: 503, fields: [:], mode: .policy(.standard)),
    ]

    @Test(arguments: cases)
    func `A shared cache stores what it may`(example: Case) {
        #expect(example.outcome == example.expected.map { .doNotStore($0) } ?? .store)
    }

    @Test(arguments: [500, 501, 502, 503, 504, 599])
    func `A failure with explicit freshness is better than nothing`(status: Int) {
        for text in ["max-age=60", "s-maxage=60", "max-age=60, must-revalidate"] {
            let failure = response(status, ["Cache-Control": text])
            #expect(storability(of: failure, method: "GET", requestFields: [:]) == .storeIfNothingBetter)
        }
        let dated = response(status, ["Expires": date(secondsBefore: -60)])
        #expect(storability(of: dated, method: "GET", requestFields: [:]) == .storeIfNothingBetter)
        #expect(storability(of: dated, method: "POST", requestFields: [:]) == .doNotStore(.method))
    }

    @Test(arguments: [400, 406, 413, 415, 416, 417, 421, 426, 428, 431])
    func `What is about the request as it was sent is never another reader's answer`(status: Int) {
        let answer = response(status, ["Cache-Control": "public, max-age=60", "ETag": "\"a\""])
        for mode in [FreshnessMode.origin(), .policy(.standard)] {
            #expect(
                storability(of: answer, method: "GET", requestFields: [:], mode: mode) == .doNotStore(.badRequest))
        }
    }

    @Test func `404 and 410 are news, not failures`() {
        #expect((100..<600).filter(saysGone) == [404, 410])
        #expect(!(100..<600).contains { saysGone($0) && isFailure($0) })
    }

    @Test func `Failures are the statuses that keep an old value alive`() {
        let failures = (100..<600).filter(isFailure)
        #expect(failures == [408, 425, 429] + Array(500..<600))
    }

    @Test func `Allowances are read by name`() throws {
        #expect(try Allowances(names: ["private", "No-Store, set-cookie"]) == [.onlyPrivate, .noStore, .setCookie])
        #expect(try Allowances(names: []) == [])
        #expect(Allowances([.cookies, .authorization]).names == ["authorization", "cookies"])
        let error = #expect(throws: AllowanceError.self) { try Allowances(names: ["privat"]) }
        #expect(
            error?.description
                == "\"privat\" can't be allowed; use one of authorization, cookies, no-cache, no-store, private, refused, set-cookie"
        )
    }

    @Test func `What is stored is what later answers may carry`() {
        let fields: HeaderFields = [
            "Connection": "X-Hop", "X-Hop": "1", "X-User": "me", "X-Once": "2", "Age": "5", "ETag": "\"a\"",
            "Cache-Control": "private=\"x-user, cache-control\", no-cache=\"X-Once\"",
        ]
        #expect(
            fieldsToStore(of: fields, receivedAt: arrival) == [
                "ETag": "\"a\"", "Cache-Control": "private=\"x-user, cache-control\", no-cache=\"X-Once\"",
                "Date": "Sun, 09 Sep 2001 01:46:40 GMT",
            ])
        #expect(fieldsToStore(of: ["Date": "x"], receivedAt: arrival) == ["Date": "x"])
    }

    @Test(
        arguments: [
            ("GET", [:], .cache), ("HEAD", [:], .cache), ("POST", [:], .pass(.method)),
            ("GET", ["Content-Length": "5"], .pass(.body)), ("GET", ["Content-Length": "0"], .cache),
            ("GET", ["Transfer-Encoding": "chunked"], .pass(.body)), ("GET", ["range": "bytes=0-1"], .cache),
            ("GET", ["If-Match": "*"], .pass(.precondition)), ("GET", ["If-None-Match": "*"], .cache),
            ("GET", ["Upgrade": "websocket"], .pass(.upgrade)), ("GET", ["Cookie": "a"], .pass(.cookies)),
            ("GET", ["Authorization": "a"], .pass(.authorization)),
            ("GET", ["x-api-key": "a"], .pass(.authorization)),
            ("GET", ["X-Auth-Token": "a"], .pass(.authorization)),
        ] as [(String, HeaderFields, Admission)])
    func `Requests that the cache can't answer pass by it`(method: String, fields: HeaderFields, expected: Admission) {
        #expect(admission(of: method, fields: fields) == expected)
    }

    @Test func `Why a request passed is told in the words of Cache-Status`() {
        #expect(Admission.Reason.method.forward == .method)
        #expect(Admission.Reason.cookies.forward == .bypass)
    }

    @Test func `Requests with credentials may be let in by name`() {
        let request: HeaderFields = ["Cookie": "a", "Authorization": "b"]
        #expect(admission(of: "GET", fields: request, allowances: [.cookies, .authorization]) == .cache)
        #expect(admission(of: "GET", fields: request, allowances: .cookies) == .pass(.authorization))
    }

    @Test func `Unsafe methods that did not fail make the stored response out of date`() {
        #expect(invalidatesStored(method: "POST", status: 201))
        #expect(invalidatesStored(method: "FROB", status: 303))
        #expect(!invalidatesStored(method: "DELETE", status: 404))
        #expect(!invalidatesStored(method: "OPTIONS", status: 200))
        #expect(!invalidatesStored(method: "GET", status: 200))
    }
}
