import Perennial
import PerennialHTTP
import PerennialTesting
import Testing

/// Nothing that comes over the network may crash a rule; and what the rules give back must itself be well formed.
struct RandomInputTests {
    let alphabet = "aA09 ,;=\"\\*/%.:-#?[]@\t\u{0}\r\n"
    let rounds = 20_000

    @Test func `Field values of any kind are read without harm`() {
        var generator = SeededGenerator(seed: 5)
        for _ in 0..<rounds {
            let text = generator.text(upTo: 40, alphabet: alphabet)
            let fields: HeaderFields = [
                "Cache-Control": "max-age=\(text)", "cache-control": text, "Vary": text, "Date": text, "Age": text,
                "Expires": text, "ETag": text, "Last-Modified": text, "Connection": text, "If-None-Match": text,
                "If-Modified-Since": text, "Accept-Encoding": text, "Accept": text,
            ]
            let limits = freshness(of: response(200, fields), mode: .origin()).limits
            #expect(limits.refreshAfter <= limits.expireAfter && limits.expireAfter <= limits.staleIfError)
            _ = storability(of: response(200, fields), method: "GET", requestFields: fields)
            _ = clientHasCurrent(requestFields: fields, storedFields: fields, status: 200)
            _ = mergeNotModified(stored: fields, from304: fields, receivedAt: arrival)
            _ = confirms(stored: fields, by304: fields)
            let key = Vary(names: ["accept", "accept-encoding", "etag"]).variantKey(for: fields)
            #expect(key.utf8.allSatisfy { (0x21...0x7E).contains($0) })
            let status = CacheStatus(key: text, detail: text).description
            #expect(status.utf8.allSatisfy { (0x20...0x7E).contains($0) })
        }
    }

    @Test func `Targeted fields, tags and references of any kind are read without harm`() throws {
        var generator = SeededGenerator(seed: 9)
        let origin = try OriginURL("http://a")
        for _ in 0..<5000 {
            let text = generator.text(upTo: 40, alphabet: alphabet)
            var targeted = HeaderFields()
            for name in ["CDN-Cache-Control", "Perennial-Cache-Control", "Cache-Groups", "Surrogate-Key", "Cache-Tag"] {
                targeted.add(name, "\(text), max-age=5, \"a\"")
            }
            _ = storability(of: response(200, targeted), method: "GET", requestFields: [:])
            for tag in responseTags(of: targeted, origin: origin) {
                #expect(tag.utf8.allSatisfy { (0x20...0x7E).contains($0) })
            }
            let reference: HeaderFields = ["Location": text, "Content-Location": "/" + text]
            for key in Invalidation(method: "X", key: "http://a/b?c", status: 200, fields: reference, origin: origin)!
                .keys
            {
                #expect(origin.target(ofKey: key) != nil)
            }
        }
    }

    @Test func `A response always matches the request it was stored for`() {
        var generator = SeededGenerator(seed: 6)
        let vary = Vary(names: ["accept", "accept-encoding", "accept-language", "x-a"])
        for _ in 0..<rounds {
            let request: HeaderFields = [
                "Accept": generator.text(upTo: 20, alphabet: alphabet),
                "Accept-Encoding": generator.text(upTo: 20, alphabet: alphabet),
                "X-A": generator.text(upTo: 20, alphabet: alphabet),
            ]
            let kept = refreshFields(of: request, vary: vary)
            let stored = StoredResponse(status: 200, fields: [:], body: [], requestFields: kept, vary: vary.names)
            #expect(stored.isSelected(by: request))
        }
    }

    @Test func `A key is its own key, stays at its origin and below its base`() throws {
        var generator = SeededGenerator(seed: 7)
        let origin = try OriginURL("http://a/base")
        for _ in 0..<rounds {
            let target = "/" + generator.text(upTo: 30, alphabet: "aA0492%%%%.%2e/Ee?#&=")
            guard let key = try? origin.key(forTarget: target) else { continue }
            #expect(key.hasPrefix("http://a/base/"))
            #expect(!key.contains("/../") && !key.contains("#"))
            #expect(try origin.key(forTarget: key) == key)
            #expect(origin.target(ofKey: key) == String(key.dropFirst("http://a".count)))
        }
    }

    @Test func `Origins of any kind are read or refused`() {
        var generator = SeededGenerator(seed: 8)
        for _ in 0..<rounds {
            let text = "http://" + generator.text(upTo: 20, alphabet: "a0.:[]/@%-_")
            guard let origin = try? OriginURL(text) else { continue }
            #expect((try? OriginURL(origin.description)) == origin)
        }
    }
}
