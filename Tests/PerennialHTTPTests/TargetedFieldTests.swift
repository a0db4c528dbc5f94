import Perennial
import PerennialHTTP
import Testing

/// RFC 9213: `CDN-Cache-Control`, and `Perennial-Cache-Control` before it.
struct TargetedFieldTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var fields: HeaderFields
        /// refreshAfter, expireAfter in seconds; `nil`: not stored.
        var limits: [Int64]?
        var reason: Storability.Reason?

        var testDescription: String { "\(fields)" }
    }

    static let later = date(secondsBefore: -500)

    static let cases: [Case] = [
        // The most applicable field that is there rules alone.
        Case(fields: ["CDN-Cache-Control": "max-age=600"], limits: [600, 600]),
        Case(fields: ["CDN-Cache-Control": "max-age=600", "Cache-Control": "max-age=60"], limits: [600, 600]),
        Case(fields: ["CDN-Cache-Control": "max-age=6", "Cache-Control": "s-maxage=60"], limits: [6, 6]),
        Case(fields: ["cdn-cache-control": "max-age=600", "Cache-Control": "no-store"], limits: [600, 600]),
        Case(fields: ["CDN-Cache-Control": "max-age=600", "Cache-Control": "private"], limits: [600, 600]),
        Case(
            fields: ["CDN-Cache-Control": "max-age=60, stale-while-revalidate=9", "Cache-Control": "must-revalidate"],
            limits: [60, 69]),
        Case(
            fields: [
                "Perennial-Cache-Control": "max-age=5", "CDN-Cache-Control": "max-age=600", "Cache-Control": "no-store",
            ], limits: [5, 5]),
        Case(
            fields: ["Perennial-Cache-Control": "no-store", "CDN-Cache-Control": "max-age=600"], limits: nil,
            reason: .noStore),
        Case(fields: ["CDN-Cache-Control": "no-store", "Cache-Control": "max-age=60"], limits: nil, reason: .noStore),
        Case(
            fields: ["CDN-Cache-Control": "private", "Cache-Control": "max-age=60", "Expires": later], limits: nil,
            reason: .onlyPrivate),
        Case(fields: ["CDN-Cache-Control": "no-cache, max-age=60", "ETag": "\"a\""], limits: [0, 0]),
        Case(fields: ["CDN-Cache-Control": "max-age=60, s-maxage=30, stale-while-revalidate=9"], limits: [30, 30]),
        // Expires counts for nothing beside it, not even where it says nothing about freshness.
        Case(fields: ["CDN-Cache-Control": "max-age=60", "Expires": "0"], limits: [60, 60]),
        Case(fields: ["CDN-Cache-Control": "max-age=0", "Expires": later, "ETag": "\"a\""], limits: [0, 0]),
        Case(fields: ["CDN-Cache-Control": "none", "Expires": later], limits: nil, reason: .useless),
        Case(
            fields: [
                "CDN-Cache-Control": "none", "Cache-Control": "no-store", "Last-Modified": date(secondsBefore: 1000),
            ],
            limits: [100, 100]),
        // Ignored as a whole: empty, or what can't be parsed.
        Case(fields: ["CDN-Cache-Control": "", "Cache-Control": "max-age=60"], limits: [60, 60]),
        Case(fields: ["CDN-Cache-Control": "  ", "Cache-Control": "max-age=60"], limits: [60, 60]),
        Case(fields: ["CDN-Cache-Control": "max-age=600,", "Cache-Control": "max-age=60"], limits: [60, 60]),
        Case(fields: ["CDN-Cache-Control": "max-age =600", "Cache-Control": "max-age=60"], limits: [60, 60]),
        Case(fields: ["CDN-Cache-Control": "max-age= 600", "Cache-Control": "max-age=60"], limits: [60, 60]),
        Case(fields: ["CDN-Cache-Control": "Max-Age=600", "Cache-Control": "max-age=60"], limits: [60, 60]),
        Case(
            fields: ["CDN-Cache-Control": "max-age=600, &&&", "Cache-Control": "no-store"], limits: nil,
            reason: .noStore
        ),
        Case(fields: ["CDN-Cache-Control": "max-age=600, é", "Cache-Control": "max-age=60"], limits: [60, 60]),
        Case(
            fields: [
                "Perennial-Cache-Control": "max-age=", "CDN-Cache-Control": "max-age=6", "Cache-Control": "no-store",
            ],
            limits: [6, 6]),
        // A type that a directive can't have makes it another field's turn, too.
        Case(
            fields: ["CDN-Cache-Control": "max-age=\"600\"", "Cache-Control": "no-store"], limits: nil, reason: .noStore
        ),
        Case(fields: ["CDN-Cache-Control": "max-age=1.5", "Cache-Control": "max-age=60"], limits: [60, 60]),
        Case(fields: ["CDN-Cache-Control": "max-age", "Cache-Control": "max-age=60"], limits: [60, 60]),
        Case(fields: ["CDN-Cache-Control": "max-age=(1 2)", "Cache-Control": "max-age=60"], limits: [60, 60]),
        Case(fields: ["CDN-Cache-Control": "no-store=?0", "Cache-Control": "max-age=60"], limits: [60, 60]),
        Case(fields: ["CDN-Cache-Control": "private=5", "Cache-Control": "max-age=60"], limits: [60, 60]),
        // Values.
        Case(fields: ["CDN-Cache-Control": "max-age=-5", "ETag": "\"a\""], limits: [0, 0]),
        Case(fields: ["CDN-Cache-Control": "max-age=999999999999999"], limits: [1 << 31, 1 << 31]),
        Case(fields: ["CDN-Cache-Control": "max-age=60;of=tomorrow"], limits: [60, 60]),
        Case(fields: ["CDN-Cache-Control": "max-age=60, max-age=6"], limits: [6, 6]),
        Case(fields: ["CDN-Cache-Control": "foo=\"max-age=1\", max-age=60, bar=(a b)"], limits: [60, 60]),
        Case(fields: ["CDN-Cache-Control": "max-age=60", "cdn-cache-control": "must-revalidate"], limits: [60, 60]),
        Case(fields: ["CDN-Cache-Control": "private=\"x-user\", max-age=60"], limits: [60, 60]),
        // Connection can't take it away.
        Case(
            fields: [
                "Connection": "cdn-cache-control", "CDN-Cache-Control": "no-store", "Cache-Control": "max-age=60",
            ],
            limits: nil, reason: .noStore),
        // Not on this cache's list.
        Case(fields: ["Akamai-Cache-Control": "max-age=600", "Cache-Control": "max-age=60"], limits: [60, 60]),
    ]

    @Test(arguments: cases)
    func `The most applicable field that can be read rules`(example: Case) {
        let response = response(200, example.fields)
        let decision = storability(of: response, method: "GET", requestFields: [:])
        #expect(decision == example.reason.map { .doNotStore($0) } ?? .store)
        guard let expected = example.limits else { return }
        let limits = freshness(of: response, mode: .origin()).limits
        #expect([limits.refreshAfter, limits.expireAfter] == expected.map { .seconds($0) })
    }

    @Test func `Fields that a targeted field reserves are left out, and the field itself stays for a later 304`() {
        let fields: HeaderFields = [
            "CDN-Cache-Control": "private=\"x-user, cdn-cache-control\", max-age=60", "X-User": "me",
            "Cache-Control": "private=\"x-kept\"", "X-Kept": "1", "Connection": "CDN-Cache-Control",
        ]
        #expect(
            fieldsToStore(of: fields) == [
                "CDN-Cache-Control": "private=\"x-user, cdn-cache-control\", max-age=60",
                "Cache-Control": "private=\"x-kept\"", "X-Kept": "1",
            ])
    }

    @Test func `What was for this cache goes no further, what is for caches before it does`() {
        let fields: HeaderFields = [
            "Perennial-Cache-Control": "max-age=5", "CDN-Cache-Control": "max-age=600", "Surrogate-Key": "a b",
            "Cache-Tag": "a,b", "Cache-Groups": "\"a\"", "X": "1",
        ]
        #expect(
            fieldsForClients(of: fields) == [
                "CDN-Cache-Control": "max-age=600", "Cache-Tag": "a,b", "Cache-Groups": "\"a\"", "X": "1",
            ])
    }
}
