import PerennialHTTP
import PerennialTesting
import Testing

struct RangeTests {
    private let modified = "Sun, 06 Nov 1994 08:49:37 GMT"
    private let later = "Sun, 06 Nov 1994 08:49:38 GMT"

    private func selection(_ range: String?, size: Int = 1000, status: Int = 200) -> RangeSelection {
        rangeSelection(
            requestFields: range.map { ["Range": $0] } ?? [:], storedFields: [:], status: status, size: size)
    }

    @Test(
        arguments: [
            ("bytes=0-0", .part(0..<1)), ("bytes=0-499", .part(0..<500)), ("bytes=500-", .part(500..<1000)),
            ("bytes=999-", .part(999..<1000)), ("bytes=0-", .part(0..<1000)), ("bytes=990-5000", .part(990..<1000)),
            ("bytes=-1", .part(999..<1000)), ("bytes=-1000", .part(0..<1000)), ("bytes=-5000", .part(0..<1000)),
            ("BYTES = 0-1", .whole), ("Bytes=0-1", .part(0..<2)), (" bytes=0-1 ", .part(0..<2)),
            ("bytes= 0-1 ,, ", .part(0..<2)), ("bytes=0-99999999999999999999999", .part(0..<1000)),
            ("bytes=-99999999999999999999999", .part(0..<1000)), ("bytes=0-9223372036854775807", .part(0..<1000)),
            ("bytes=9223372036854775807-", .unsatisfiable), ("bytes=99999999999999999999999-", .unsatisfiable),
            ("bytes=1000-", .unsatisfiable), ("bytes=1000-2000", .unsatisfiable), ("bytes=-0", .unsatisfiable),
            ("bytes=2000-,-0", .unsatisfiable), ("bytes=5-9,2000-", .part(5..<10)),
            // Several, in the order they were named.
            ("bytes=0-9,20-29", .parts([0..<10, 20..<30])), ("bytes=20-29, 0-9", .parts([20..<30, 0..<10])),
            ("bytes=0-9,-10,5000-", .parts([0..<10, 990..<1000])), ("bytes=0-9,10-19", .parts([0..<10, 10..<20])),
            // Nothing that helps anybody.
            ("bytes=0-9,5-14", .whole), ("bytes=0-,0-", .whole), ("bytes=0-499,500-999", .whole),
            ("bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14", .whole),
            // Not to be understood: ignored.
            ("", .whole), ("bytes", .whole), ("bytes=", .whole), ("bytes=-", .whole), ("bytes=a-b", .whole),
            ("bytes=9-5", .whole), ("bytes=0-1,9-5", .whole), ("bytes=0 - 1", .whole), ("bytes=0-1-2", .whole),
            ("bytes=+1-2", .whole), ("bytes=0x1-2", .whole), ("bytes=--5", .whole), ("items=0-1", .whole),
            ("bytes=0-1, bytes=3-4", .whole), ("bytes=0-1;", .whole),
        ] as [(String, RangeSelection)])
    func `A range is a part of the body, or is ignored`(range: String, expected: RangeSelection) {
        #expect(selection(range) == expected)
    }

    @Test func `Ranges are for a stored 200 with a body`() {
        #expect(selection(nil) == .whole)
        #expect(selection("bytes=0-1", status: 404) == .whole)
        #expect(selection("bytes=0-1", size: 0) == .whole)
        #expect(selection("bytes=5-", size: 5) == .unsatisfiable)
        #expect(asksForRange(method: "GET", fields: ["range": "bytes=0-1"]))
        #expect(!asksForRange(method: "HEAD", fields: ["range": "bytes=0-1"]))
        #expect(!asksForRange(method: "GET", fields: ["range": "lines=0-1"]))
        #expect(!asksForRange(method: "GET", fields: [:]))
    }

    @Test func `More than 16 parts are refused, whatever they are`() {
        func many(_ count: Int) -> String {
            "bytes=" + (0..<count).map { "\($0 * 2)-\($0 * 2)" }.joined(separator: ",")
        }
        #expect(selection(many(16), size: 1 << 20) == .parts((0..<16).map { $0 * 2..<$0 * 2 + 1 }))
        #expect(selection(many(17), size: 1 << 20) == .whole)
        #expect(selection("bytes=" + Array(repeating: "5000-", count: 17).joined(separator: ","), size: 10) == .whole)
    }

    @Test(arguments: [
        ("\"a\"", "\"a\"", true), ("\"b\"", "\"a\"", false), ("W/\"a\"", "\"a\"", false), ("\"a\"", "W/\"a\"", false),
        ("W/\"a\"", "W/\"a\"", false), ("\"a\", \"b\"", "\"a\"", false), ("*", "\"a\"", false), ("", "\"a\"", false),
    ])
    func `If-Range takes a strong entity tag`(condition: String, tag: String, isPart: Bool) {
        let request: HeaderFields = ["Range": "bytes=0-1", "If-Range": condition]
        let selection = rangeSelection(requestFields: request, storedFields: ["ETag": tag], status: 200, size: 10)
        #expect(selection == (isPart ? .part(0..<2) : .whole))
    }

    @Test func `If-Range takes the very date of Last-Modified, if that is a second older than the response`() {
        func isPart(_ condition: String, _ stored: HeaderFields) -> Bool {
            let request: HeaderFields = ["Range": "bytes=0-1", "If-Range": condition]
            return rangeSelection(requestFields: request, storedFields: stored, status: 200, size: 10) != .whole
        }
        #expect(isPart(modified, ["Last-Modified": modified, "Date": later]))
        #expect(isPart("Sunday, 06-Nov-94 08:49:37 GMT", ["Last-Modified": modified, "Date": later]))
        #expect(!isPart(modified, ["Last-Modified": modified, "Date": modified]))
        #expect(!isPart(modified, ["Last-Modified": modified]))
        #expect(!isPart(later, ["Last-Modified": modified, "Date": later]))
        #expect(!isPart(modified, ["Last-Modified": later, "Date": later]))
        #expect(!isPart(modified, ["ETag": modified, "Date": later]))
        #expect(!isPart("yesterday", ["Last-Modified": "yesterday", "Date": later]))
    }

    @Test func `A 206 has the fields of the 200, and says which part it is`() {
        let stored: HeaderFields = ["ETag": "\"a\"", "Content-Type": "text/plain", "content-md5": "x", "Vary": "a"]
        #expect(
            partialFields(of: stored, boundary: nil) == ["ETag": "\"a\"", "Content-Type": "text/plain", "Vary": "a"])
        #expect(partialFields(of: stored, boundary: "b")["Content-Type"] == "multipart/byteranges; boundary=b")
        #expect(contentRange(5..<10, size: 20) == "bytes 5-9/20")
        #expect(unsatisfiableFields(size: 20)["Content-Range"] == "bytes */20")
        let delimiters = PartDelimiters([0..<1, 5..<7], size: 9, contentType: "a/b", boundary: "x")
        #expect(
            delimiters.heads == [
                "--x\r\nContent-Type: a/b\r\nContent-Range: bytes 0-0/9\r\n\r\n",
                "\r\n--x\r\nContent-Type: a/b\r\nContent-Range: bytes 5-6/9\r\n\r\n",
            ])
        #expect(delimiters.end == "\r\n--x--\r\n")
        #expect(
            PartDelimiters([0..<1], size: 9, contentType: nil, boundary: "x").heads
                == ["--x\r\nContent-Range: bytes 0-0/9\r\n\r\n"])
    }

    @Test func `Whatever a Range says, what it selects lies in the body`() {
        var random = SeededGenerator(seed: 14)
        for _ in 0..<20_000 {
            let size = Int.random(in: 0...50, using: &random)
            let text = "bytes=" + random.text(upTo: 20, alphabet: "0123456789-,- ")
            let parts: [Range<Int>] =
                switch rangeSelection(requestFields: ["Range": text], storedFields: [:], status: 200, size: size) {
                case .part(let part): [part]
                case .parts(let parts): parts
                case .whole, .unsatisfiable: []
                }
            #expect(parts.allSatisfy { $0.lowerBound >= 0 && $0.upperBound <= size && !$0.isEmpty }, "\(text)")
        }
    }
}
