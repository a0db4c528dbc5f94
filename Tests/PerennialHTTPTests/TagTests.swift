import PerennialHTTP
import Testing

struct TagTests {
    static let long = String(repeating: "x", count: 256)

    @Test(
        arguments: [
            ([:], []),
            (["Surrogate-Key": " a  b\tc "], ["a", "b", "c"]),
            (["Surrogate-Key": "a,b"], ["a,b"]),
            (["Cache-Tag": "a, b c ,,A"], ["a", "b c", "A"]),
            (["Surrogate-Key": "a", "surrogate-key": "b a", "Cache-Tag": "a,c"], ["a", "b", "c"]),
            (["Cache-Tag": "a\u{7F}, \u{E9}, b"], ["b"]),
            (["Cache-Tag": "\(long), \(long)x"], [long]),
            // Addresses are the tags of variants.
            (["Surrogate-Key": "http://api.example/a b", "Cache-Tag": "x http://api.example/a"], ["b"]),
            (["Cache-Tag": "https://api.example#news"], []),
            // Groups have names of their own.
            (
                ["Cache-Groups": "\"a\", \"b c\"", "Surrogate-Key": "a"],
                ["a", "https://api.example#a", "https://api.example#b c"]
            ),
            (["Cache-Groups": "\"a\";x=1,\"A\", \"a\""], ["https://api.example#a", "https://api.example#A"]),
            (["Cache-Groups": "\"a\"", "cache-groups": "\"b\""], ["https://api.example#a", "https://api.example#b"]),
            (["Cache-Groups": "a, \"b\""], []), (["Cache-Groups": "\"a\", (\"b\")"], []),
            (["Cache-Groups": "\"a\","], []), (["Cache-Groups": "\"a"], []),
            (["Cache-Groups": "\"\", \"b\""], ["https://api.example#b"]),
            (["Cache-Groups": "\"\(long)\", \"\(long)x\""], ["https://api.example#\(long)"]),
        ] as [(HeaderFields, [String])])
    func `A response's fields are its entry's tags`(fields: HeaderFields, tags: [String]) throws {
        #expect(try responseTags(of: fields, origin: OriginURL("https://api.example/base")) == tags)
    }

    @Test func `What is too much is left out`() throws {
        let many = (0..<500).map(String.init)
        let fields: HeaderFields = [
            "Surrogate-Key": many.joined(separator: " "),
            "Cache-Groups": many.map { "\"\($0)\"" }.joined(separator: ", "),
        ]
        let origin = try OriginURL("http://api.example:8080")
        #expect(responseTags(of: fields, origin: origin) == Array(many.prefix(128)))
        let groups = responseTags(of: fields.removing(["Surrogate-Key"]), origin: origin)
        #expect(groups.count == 128)
        #expect(groups.first == "http://api.example:8080#0")
    }
}
