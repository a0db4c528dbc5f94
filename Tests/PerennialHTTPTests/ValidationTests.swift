import Perennial
import PerennialHTTP
import Testing

struct ValidationTests {
    let modified = "Sun, 06 Nov 1994 08:49:37 GMT"

    @Test func `A validator is what a response gives to ask with`() {
        #expect(validator(from: [:]) == nil)
        #expect(validator(from: ["ETag": " W/\"a\" "]) == Validator(etag: "W/\"a\""))
        #expect(validator(from: ["ETag": ""]) == nil)
        #expect(validator(from: ["Last-Modified": "yesterday"]) == nil)
        #expect(
            validator(from: ["etag": "bare", "last-modified": modified])
                == Validator(etag: "bare", lastModified: modified))
        #expect(conditionalFields(for: Validator()) == [:])
        #expect(
            conditionalFields(for: Validator(etag: "\"a\"", lastModified: modified))
                == ["If-None-Match": "\"a\"", "If-Modified-Since": modified])
    }

    @Test(arguments: [
        ("\"a\"", "\"a\"", true), ("\"a\"", "W/\"a\"", true), ("W/\"a\"", "\"a\"", true), ("\"a\"", "\"b\"", false),
        ("\"b\", \"a\"", "\"a\"", true), ("\"b\",W/\"a\" ,\"c\"", "\"a\"", true), ("*", "\"a\"", true),
        ("\"a,b\", \"c\"", "\"a,b\"", true), ("\"a,b\"", "\"a\"", false), ("\"A\"", "\"a\"", false),
        ("a", "\"a\"", true), ("b, a", "a", true), ("\"a", "\"a\"", false), ("", "\"a\"", false),
        (",,", "\"a\"", false),
        ("w/\"a\"", "\"a\"", false), ("\"*\"", "\"a\"", false), ("\"\"", "\"\"", true), ("\"a\\\"", "\"a\\\"", true),
    ])
    func `If-None-Match is compared weakly`(wanted: String, stored: String, isCurrent: Bool) {
        #expect(
            clientHasCurrent(requestFields: ["If-None-Match": wanted], storedFields: ["ETag": stored], status: 200)
                == isCurrent)
    }

    @Test func `If-None-Match decides alone, and only for a stored 200`() {
        let old = "Sat, 05 Nov 1994 08:49:37 GMT"
        let stored: HeaderFields = ["ETag": "\"a\"", "Last-Modified": old]
        let request: HeaderFields = ["If-None-Match": "\"b\"", "If-Modified-Since": modified]
        #expect(!clientHasCurrent(requestFields: request, storedFields: stored, status: 200))
        #expect(!clientHasCurrent(requestFields: ["If-None-Match": "\"a\""], storedFields: stored, status: 404))
        #expect(!clientHasCurrent(requestFields: ["If-None-Match": "\"a\""], storedFields: [:], status: 200))
        let lines: HeaderFields = ["If-None-Match": "\"x\"", "if-none-match": "\"a\""]
        #expect(clientHasCurrent(requestFields: lines, storedFields: stored, status: 200))
        #expect(!clientHasCurrent(requestFields: [:], storedFields: stored, status: 200))
    }

    @Test(arguments: [
        ("Sun, 06 Nov 1994 08:49:37 GMT", true), ("Sunday, 06-Nov-94 08:49:37 GMT", true),
        ("Sun, 06 Nov 1994 08:49:38 GMT", true), ("Sun, 06 Nov 1994 08:49:36 GMT", false), ("0", false), ("", false),
    ])
    func `If-Modified-Since is compared with Last-Modified, else with Date`(since: String, isCurrent: Bool) {
        let request: HeaderFields = ["If-Modified-Since": since]
        let later = "Mon, 07 Nov 1994 08:49:37 GMT"
        for stored: HeaderFields in [["Last-Modified": modified, "Date": later], ["Date": modified]] {
            #expect(clientHasCurrent(requestFields: request, storedFields: stored, status: 200) == isCurrent)
        }
        #expect(!clientHasCurrent(requestFields: request, storedFields: [:], status: 200))
    }

    @Test func `A 304 has every field but those of the body it lacks`() {
        let stored: HeaderFields = [
            "Date": "d", "ETag": "\"a\"", "Last-Modified": modified, "Cache-Control": "max-age=5", "Vary": "Accept",
            "Expires": "e", "Content-Location": "/x", "Content-Type": "text/html", "Content-Length": "5",
            "Content-Encoding": "gzip", "Content-Language": "en", "Access-Control-Allow-Origin": "*",
        ]
        #expect(
            notModifiedFields(of: stored).map(\.name) == [
                "Date", "ETag", "Cache-Control", "Vary", "Expires", "Content-Location", "Access-Control-Allow-Origin",
            ])
        #expect(notModifiedFields(of: ["Last-Modified": modified]).contains("Last-Modified"))
    }

    @Test(
        arguments: [
            (["ETag": "\"a\""], ["ETag": "\"a\""], true),
            (["ETag": "\"a\""], ["ETag": "\"b\""], false),
            (["ETag": "W/\"a\""], ["ETag": "\"a\""], true),
            (["ETag": "W/\"a\""], ["ETag": "\"b\""], false),
            (["ETag": "\"a-gzip\""], ["ETag": "\"a\""], true),
            (["ETag": "\"a;gzip\""], ["ETag": "W/\"a\""], true),
            (["ETag": "\"a\""], ["ETag": "\"a-br\""], true),
            (["ETag": "\"a--gzip\""], ["ETag": "\"a\""], true),
            (["ETag": "W/\"a-zstd\""], ["ETag": "\"a-gzip\""], true),
            (["ETag": "\"a-gzip\""], ["ETag": "\"b\""], false),
            (["ETag": "\"a-gzip\""], ["ETag": "\"b-gzip\""], false),
            (["ETag": "\"a-1\""], ["ETag": "\"a\""], false),
            (["ETag": "\"agzip\""], ["ETag": "\"a\""], false),
            (["ETag": "\"a\""], ["ETag": "W/\"a\""], true),
            (["ETag": "W/\"a\""], ["ETag": "W/\"a\""], true),
            (["Last-Modified": "x"], ["ETag": "\"a\""], false),
            (["Last-Modified": "x"], ["Last-Modified": "x"], true),
            (["Last-Modified": "x"], ["Last-Modified": "y"], false),
            (["ETag": "\"a\"", "Last-Modified": "x"], ["ETag": "\"a\"", "Last-Modified": "y"], true),
            (["ETag": "\"a\""], [:], true),
        ] as [(HeaderFields, HeaderFields, Bool)])
    func `A 304 must be about the stored response`(stored: HeaderFields, fresh: HeaderFields, isAbout: Bool) {
        #expect(confirms(stored: stored, by304: fresh) == isAbout)
    }

    @Test func `A 304 updates the stored fields but those about the bytes`() {
        let stored: HeaderFields = [
            "Date": "old", "Age": "5", "Content-Type": "text/html", "Content-Length": "5", "X-Kept": "1",
            "X-New": "1", "x-new": "2", "Cache-Control": "max-age=5",
        ]
        let fresh: HeaderFields = [
            "Date": "new", "Content-Type": "text/plain", "Content-Length": "0", "Content-Encoding": "gzip",
            "Content-Range": "x", "X-New": "3", "X-NEW": "4", "Cache-Control": "max-age=6", "Connection": "X-Hop",
            "X-Hop": "1", "Set-Cookie": "a=b", "Proxy-Authenticate": "Basic",
        ]
        let expected: HeaderFields = [
            "Content-Type": "text/html", "Content-Length": "5", "X-Kept": "1", "Date": "new", "X-New": "3",
            "X-NEW": "4", "Cache-Control": "max-age=6",
        ]
        #expect(mergeNotModified(stored: stored, from304: fresh) == expected)
        #expect(
            mergeNotModified(stored: stored, from304: fresh, allowances: .setCookie)["set-cookie"] == "a=b")
    }

    @Test func `A 304 leaves the tag of the bytes that are kept`() {
        for (stored, fresh) in [("\"a-gzip\"", "\"a\""), ("W/\"a\"", "\"a\""), ("\"a\"", "W/\"a\"")] {
            let merged = mergeNotModified(stored: ["ETag": stored], from304: ["ETag": fresh, "X": "1"])
            #expect(merged == ["ETag": stored, "X": "1"])
        }
    }

    @Test func `A 304 brings nothing back that is reserved for one user, whoever reserves it`() {
        let stored: HeaderFields = ["Cache-Control": "private=\"x-user\", max-age=5", "ETag": "\"a\""]
        #expect(mergeNotModified(stored: stored, from304: ["X-User": "me"]) == stored)
        let open: HeaderFields = ["Cache-Control": "max-age=5", "X-User": "me"]
        #expect(
            mergeNotModified(stored: open, from304: ["Cache-Control": "private=\"x-user\""])
                == ["Cache-Control": "private=\"x-user\""])
    }

    @Test func `What a 304 doesn't repeat stays in force`() {
        let stored: HeaderFields = [
            "Perennial-Cache-Control": "max-age=5", "Surrogate-Key": "a b", "Cache-Groups": "\"a\"", "Vary": "Accept",
        ]
        #expect(
            mergeNotModified(stored: stored, from304: ["ETag": "\"a\""])
                == HeaderFields(stored.map { ($0.name, $0.value) } + [("ETag", "\"a\"")]))
        #expect(mergeNotModified(stored: stored, from304: ["Surrogate-Key": "c"])["Surrogate-Key"] == "c")
    }

    @Test func `A confirmed response is as young as its 304, even if that has no Date`() {
        let stored: HeaderFields = ["Date": date(secondsBefore: 1000), "Cache-Control": "max-age=60"]
        let merged = mergeNotModified(stored: stored, from304: [:], receivedAt: arrival)
        #expect(merged["Date"] == date(secondsBefore: 0))
        #expect(freshness(of: response(200, merged), mode: .origin()).initialAge == .zero)
        #expect(mergeNotModified(stored: stored, from304: [:])["Date"] == nil)
    }
}
