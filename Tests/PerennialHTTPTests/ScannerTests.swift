import Perennial
import PerennialTesting
import Testing

@testable import PerennialHTTP

#if DEBUG
    /// What a request or a response can bring must not cost more than its length: twice as much input, twice as many
    /// steps.
    @Suite struct ScannerTests {
        /// One that reads a text, whatever it is.
        struct Scanner: Sendable, CustomTestStringConvertible {
            var name: String
            /// What the text begins with, so that the scanner goes on to the rest.
            var prefixes: [String] = [""]
            var scan: @Sendable (String) -> Void

            init(_ name: String, prefixes: [String] = [""], _ scan: @escaping @Sendable (String) -> Void) {
                self.name = name
                self.prefixes = prefixes
                self.scan = scan
            }

            var testDescription: String { name }
        }

        static let origin = try! OriginURL("http://a.example/base")
        static let patterns = ["/a/*/b", "/**/a", "/a/**/b*c/*.x", "/a*b*c"].map { try! PathPattern($0) }
        static let rules = QueryRules(
            kept: [Wildcard("a*b*"), Wildcard("*1*")], dropped: [Wildcard("*x")], isSorted: true)

        static func fields(_ name: String, _ value: String) -> HeaderFields { [name: value] }

        static func request(_ fields: String, target: String = "/") -> [UInt8] {
            Array("GET \(target) HTTP/1.1\r\nHost: a\r\n\(fields)\r\n\r\n".utf8)
        }

        static let limits = HeadLimits(size: 1 << 20, fields: 1 << 20)

        static let scanners: [Scanner] = [
            // Texts and lists.
            Scanner("listMembers") { _ = listMembers($0) },
            Scanner("unquoted", prefixes: ["\""]) { _ = unquoted($0 + "\"") },
            Scanner("trimmed") { _ = $0.trimmed },
            Scanner("isToken") { _ = $0.isToken },
            Scanner("lowercasedASCII") { _ = $0.lowercasedASCII },
            Scanner("foldedName") { _ = foldedName($0) },
            Scanner("RequestFieldClass", prefixes: ["", "X-", "X-Forwarded-"]) { _ = RequestFieldClass($0) },
            Scanner("structuredDictionary", prefixes: ["", "a=", "a=\"", "a;", "a=("]) { _ = structuredDictionary($0) },
            Scanner("structuredStrings", prefixes: ["", "\"a\"", "\"", "\"a\";"]) { _ = structuredStrings($0) },
            // Fields by name.
            Scanner("CacheControl", prefixes: ["", "no-cache=\"", "private=", "max-age="]) { _ = CacheControl($0) },
            Scanner("CacheControl, closed", prefixes: ["no-cache=\"", "private=\""]) { _ = CacheControl($0 + "\"") },
            Scanner("RulingDirectives", prefixes: ["", "max-age=1, no-cache=\""]) {
                _ = RulingDirectives(of: ["CDN-Cache-Control": $0, "Cache-Control": $0])
            },
            Scanner("RequestDemand") {
                _ = RequestDemand(fields("Cache-Control", $0))
                _ = RequestDemand(fields("Pragma", $0))
            },
            Scanner("Vary") { text in
                let vary = Vary(fields("Vary", text))
                let request = HeaderFields((0..<40).map { ("a\($0)", text) })
                _ = vary.variantKey(for: request)
                _ = vary.selectingFields(of: request)
                _ = vary.credentials(in: request)
                _ = refreshFields(of: request, vary: vary)
                _ = VaryRules(added: ["a"], ignored: ["b"]).applied(to: fields("Vary", text))
            },
            Scanner("Vary's values") { text in
                let vary = Vary(names: ["accept", "accept-language", "accept-encoding", "x"])
                _ = vary.variantKey(for: HeaderFields(vary.names.map { ($0, text) }))
            },
            Scanner("HTTPDate", prefixes: ["", "Sun, ", "Sunday, ", "Sun Nov "]) { _ = HTTPDate.parse($0) },
            Scanner("ByteRanges", prefixes: ["bytes=", "bytes=1-2,", "bytes=-"]) { _ = ByteRanges($0) },
            Scanner("rangeSelection", prefixes: ["bytes="]) {
                _ = rangeSelection(
                    requestFields: ["Range": $0, "If-Range": $0], storedFields: ["ETag": $0], status: 200, size: 9)
            },
            Scanner("EntityTag", prefixes: ["", "W/", "\""]) { _ = EntityTag.list($0) },
            Scanner("clientHasCurrent") {
                _ = clientHasCurrent(
                    requestFields: ["If-None-Match": $0, "If-Modified-Since": $0], storedFields: ["ETag": $0],
                    status: 200)
            },
            Scanner("responseTags") {
                _ = responseTags(of: ["Surrogate-Key": $0, "Cache-Tag": $0, "Cache-Groups": $0], origin: origin)
            },
            Scanner("hop-by-hop") { text in
                let message = HeaderFields([("Connection", text)] + (0..<40).map { ("a\($0)", "") })
                _ = message.removingHopByHop()
                _ = message.connectionNamesOthers
            },
            Scanner("fieldsToStore", prefixes: ["no-cache=\"", "private=\""]) { text in
                let message = HeaderFields([("Cache-Control", text + "\"")] + (0..<40).map { ("a\($0)", "") })
                _ = fieldsToStore(of: message)
                _ = mergeNotModified(stored: message, from304: message)
            },
            Scanner("storability") { text in
                let names = ["Cache-Control", "Vary", "Connection", "Expires", "Date", "Age", "ETag", "Set-Cookie"]
                _ = storability(
                    of: response(200, HeaderFields(names.map { ($0, text) })), method: "GET",
                    requestFields: HeaderFields(names.map { ($0, text) }))
            },
            Scanner("bodyLength") { _ = bodyLength($0) },
            Scanner("MaxForwards") { _ = MaxForwards(fields("Max-Forwards", $0)) },
            Scanner("complaint") { text in
                for name in ["Host", "Expect"] { _ = complaint(aboutFields: [(name, text)], isOldVersion: false) }
            },
            Scanner("responseProblem") { text in
                _ = responseProblem(
                    status: 200, fields: ["Content-Length": text, "Transfer-Encoding": text], isOldVersion: false)
            },
            Scanner("passableTrailers") { _ = passableTrailers(["X-A": $0, "Cookie": $0]) },
            Scanner("admission") { text in
                let names = ["Connection", "Content-Length", "Cookie", "X-Key"]
                _ = admission(of: "GET", fields: HeaderFields(names.map { ($0, text) }))
                _ = admission(of: "GET", fields: [text: "a"])
            },
            Scanner("CacheStatus") {
                _ = CacheStatus(key: $0, detail: $0).appended(to: $0)
            },
            // Addresses.
            Scanner("RequestTarget", prefixes: ["", "/", "http://", "http://a/", "http://[", "/?"]) {
                _ = try? RequestTarget($0, limit: .max)
            },
            Scanner("key(forTarget:)", prefixes: ["/", "http://a.example/base/", "/?"]) {
                _ = try? origin.key(forTarget: $0, limit: .max)
            },
            Scanner("key(forInput:)", prefixes: ["/", "http://a.example/base/"]) {
                _ = try? origin.key(forInput: $0, limit: .max)
            },
            Scanner("key(forReference:)", prefixes: ["", "/", "//", "http:", "?"]) {
                _ = origin.key(forReference: $0, from: "http://a.example/base/x")
                _ = origin.key(forReference: "x", from: "http://a.example/base/" + $0)
            },
            Scanner("key(forReference:), by another name", prefixes: ["//b.example/base/", "http://b.example/"]) {
                _ = origin.key(forReference: $0, from: "http://a.example/base/x", aliases: [try! HostName("b.example")])
            },
            Scanner("HostName", prefixes: ["", "a:", "["]) { _ = try? HostName($0) },
            Scanner("key with a client's host", prefixes: ["http://", "http://b.example/base/"]) {
                _ = RouteAddress(origin: origin, sentHost: .client).mayHaveMade($0)
            },
            Scanner("CookieRules", prefixes: ["", "a="]) {
                _ = CookieRules(kept: rules.kept, dropped: rules.dropped).applied(to: fields("Cookie", $0))
            },
            Scanner("ViaRule") {
                let request = ["Via": $0, "CDN-Loop": $0] as HeaderFields
                _ = ViaRule.off.timesPassed(ViaRule.on.applied(to: request, of: request, version: "1.1"))
            },
            Scanner("Preflight") {
                let request: HeaderFields = [
                    "Origin": $0, "Access-Control-Request-Method": $0, "Access-Control-Request-Headers": $0,
                ]
                _ = Preflight(method: "OPTIONS", fields: request)?.key(primary: $0)
                _ = Preflight.lifetime(status: 204, fields: ["Vary": $0, "Access-Control-Max-Age": $0])
            },
            Scanner("asksForSoftPurge") { _ = asksForSoftPurge(fields("Perennial-Soft-Purge", $0)) },
            Scanner("OriginURL", prefixes: ["", "http://", "http://a/", "http://[", "http://a:"]) {
                _ = try? OriginURL($0)
            },
            Scanner("QueryRules", prefixes: ["/a?"]) { _ = rules.applied(to: $0) },
            Scanner("Wildcard", prefixes: ["", "ab"]) { text in
                for pattern in ["a*b*c", "*a*", "*ab*ab", "**a**"] { _ = Wildcard(pattern).matches(text) }
            },
            Scanner("PathPattern", prefixes: ["", "/", "/a/"]) { text in
                for pattern in patterns { _ = pattern.matches(text) }
            },
            Scanner("HostPattern", prefixes: ["", "a."]) { _ = try! HostPattern("*.a.example").matches($0) },
            Scanner("PathPattern.init", prefixes: ["/"]) { _ = try? PathPattern($0) },
            Scanner("HostPattern.init", prefixes: ["", "*."]) { _ = try? HostPattern($0) },
            Scanner("complaint(aboutOriginField:)") { _ = complaint(aboutOriginField: $0, value: $0) },
            Scanner("field text", prefixes: ["", "\u{10FFE9}"]) {
                _ = String(fieldBytes: $0.utf8).fieldBytes
                _ = String(fieldBytesAsCharacters: Array($0.utf8) + [0xFF])
            },
            // Received bytes.
            Scanner("RequestHead, target", prefixes: ["/"]) {
                let bytes = request("A: b", target: $0)
                _ = try? RequestHead.scan(bytes.span, limits: limits)
            },
            Scanner("RequestHead, value", prefixes: ["A: ", "Connection: ", "Host: ", "Transfer-Encoding: ", ""]) {
                let bytes = request($0)
                _ = try? RequestHead.scan(bytes.span, limits: limits)
            },
            Scanner("ChunkSize", prefixes: ["1", "1;", "1;a=\""]) {
                let bytes = Array($0.utf8)
                _ = try? ChunkSize.scan(bytes.span)
            },
            Scanner("StoredResponse") { text in
                let stored = StoredResponse(
                    status: 200, fields: ["A": text], body: [], requestFields: ["b": text], vary: [text])
                _ = try? StoredResponse(decoding: stored.encode())
            },
        ]

        /// Texts of about `size` bytes that could make a scanner look at the same bytes again and again.
        static func hostileTexts(size: Int) -> [String] {
            let units = [
                "a", "1", " ", "\t", "\"", "\\", "\\\"", "\"\\", "\",", "\"a,", "\"a\",", ",", ", ", "a,", "a ,",
                "a,\"",
                ";", "a;", "a;b,", "a=", "a=b,", "a=\"b\",", "a=\"b,", "=", "no-cache=\"a\",", "private=\"b\",", "W/\"",
                "W/\"a\",", "-",
                "1-2,", "-1,", "%", "%4", "%41", "%2e/", "%2e%2e/", "/", "./", "../", "/../", "a/", "/a", "a/a",
                "a/../",
                ".", "..", ":", "::", "1:", "[", "]", "@", "?", "&", "a&", "a=1&", "#", "(", "a (", ")", "(a ", "é",
                "\u{301}",
                "e\u{301},", "🇩🇪", "🇩", "ab", "a*", "*", "close,", "x\r\n", "A: b\r\n", "a=?1;b,", "_", "x-", "GMT ",
            ]
            // Whole units, so that a text and one of twice its size end alike.
            let repeated = units.map { unit in String(repeating: unit, count: size / 32 * 32 / unit.utf8.count) }
            // No two members are alike.
            let numbered = [",", ", ", "&", "/", ";", "=1,", "=1&", "=1;", " ", "\",", "\",\""].map { separator in
                var text = ""
                var number = 1000
                while text.utf8.count < size {
                    text += "a\(number)\(separator)"
                    number += 1
                }
                return text
            }
            return repeated + numbered
        }

        @Test(arguments: scanners)
        func `twice as much text takes twice as many steps`(scanner: Scanner) {
            let sizes = [160, 320]
            for prefix in scanner.prefixes {
                for (small, large) in zip(Self.hostileTexts(size: sizes[0]), Self.hostileTexts(size: sizes[1])) {
                    let steps = [small, large].map { text in Steps.counted { scanner.scan(prefix + text) } }
                    #expect(
                        Double(steps[1]) <= 2.2 * Double(steps[0]) + 200,
                        "\(scanner.name): \(steps) steps for \(prefix)\(small.prefix(20))…")
                }
            }
        }

        @Test func `every scanner's steps are counted`() {
            for scanner in Self.scanners {
                let steps = Self.hostileTexts(size: 320).flatMap { text in
                    scanner.prefixes.map { prefix in Steps.counted { scanner.scan(prefix + text) } }
                }
                // Of a name only the beginning and the end are looked at.
                #expect(steps.max()! >= (scanner.name == "RequestFieldClass" ? 20 : 200), "\(scanner.name)")
            }
        }

        /// The rules that look at many fields, with as many as a number says.
        static let fieldScanners: [(name: String, scan: @Sendable (Int) -> Void)] = {
            @Sendable func many(_ count: Int) -> HeaderFields { HeaderFields((0..<count).map { ("a\($0)", "b") }) }
            @Sendable func same(_ count: Int) -> HeaderFields { HeaderFields((0..<count).map { _ in ("Vary", "b") }) }
            return [
                ("removing", { _ = many($0).removing(many($0).map(\.name)) }),
                ("joined", { _ = same($0)["vary"] }),
                (
                    "named by Connection",
                    { count in
                        var fields = many(count)
                        fields.add("Connection", many(count).map(\.name).joined(separator: ","))
                        _ = fields.removingHopByHop()
                    }
                ),
                (
                    "named by Vary",
                    { count in
                        let vary = Vary(names: many(count).map(\.name))
                        _ = vary.variantKey(for: many(count))
                        _ = refreshFields(of: many(count), vary: vary)
                    }
                ),
                (
                    "named by no-cache",
                    { count in
                        var fields = many(count)
                        for field in many(count) { fields.add("Cache-Control", "no-cache=\(field.name)") }
                        _ = fieldsToStore(of: fields)
                    }
                ),
                ("merged", { _ = mergeNotModified(stored: many($0), from304: many($0)) }),
                ("trailers", { _ = passableTrailers(many($0)) }),
                ("admission", { _ = admission(of: "GET", fields: many($0)) }),
            ]
        }()

        @Test func `twice as many fields take twice as many steps`() {
            for (name, scan) in Self.fieldScanners {
                let steps = [100, 200].map { count in Steps.counted { scan(count) } }
                #expect(Double(steps[1]) <= 2.3 * Double(steps[0]) + 400, "\(name): \(steps)")
            }
        }

        @Test func `a scanner that looks again and again is found`() {
            func stumbling(_ text: String) {
                var rest = text[...]
                while !rest.isEmpty {
                    _ = rest.bytes.contains(UInt8(ascii: "!"))
                    rest = rest.dropFirst()
                }
            }
            let steps = [400, 800].map { size in
                Steps.counted { stumbling(String(repeating: "a", count: size)) }
            }
            #expect(Double(steps[1]) > 3.5 * Double(steps[0]))
        }

        /// From its bytes to the question whether it can be answered from the cache: at most two million steps for the
        /// 64 KiB that a head may have.
        @Test(arguments: [
            "Connection: close, ", "Cache-Control: ", "Cache-Control: no-cache=", "Accept: ", "Accept-Encoding: ",
            "Expect: ",
            "Pragma: ", "If-None-Match: ", "Range: bytes=", "Via: ", "Cookie: ", "X_Api_Key: ",
        ])
        func `a head costs no more than 30 steps a byte`(line: String) throws {
            let limit = HeadLimits(size: 4096, fields: 128)
            for unit in ["\\\"", "\"\\\"", "a,", "\"a,", "a=\"b\",", "1-2,"] {
                let head = "GET /a HTTP/1.1\r\nHost: a\r\n\(line)"
                let count = (limit.size - head.utf8.count - 8) / unit.utf8.count
                let value = String(repeating: unit, count: count)
                let bytes = Array("\(head)\(value)\r\n\r\n".utf8)
                let name = String(line.prefix { $0 != ":" })
                let start = String(line.dropFirst(name.count + 2))
                let fields: HeaderFields = ["Host": "a", name: start + value]
                let steps = Steps.counted {
                    _ = try? RequestHead.scan(bytes.span, limits: limit)
                    _ = complaint(aboutFields: fields.map { ($0.name, $0.value) }, isOldVersion: false)
                    _ = admission(of: "GET", fields: fields)
                    _ = RequestDemand(fields)
                    _ = CacheControl(fields)
                    _ = asksForRange(method: "GET", fields: fields)
                    _ = clientHasCurrent(requestFields: fields, storedFields: ["ETag": "\"x\""], status: 200)
                    _ = Vary(names: ["accept", "accept-encoding", "accept-language"]).variantKey(for: fields)
                    _ = fields.removingHopByHop()
                }
                #expect(steps < 30 * limit.size, "\(unit): \(steps)")
            }
        }
    }
#endif

@Suite struct ListTests {
    /// As `listMembers`, looking for the end of each quote anew.
    private func plainMembers(_ value: String) -> [String] {
        let bytes = Array(value.utf8)
        var members: [[UInt8]] = [[]]
        var index = 0
        while index < bytes.count {
            var end = index
            if bytes[index] == UInt8(ascii: "\"") {
                var close = index + 1
                while close < bytes.count, bytes[close] != UInt8(ascii: "\"") {
                    close += bytes[close] == UInt8(ascii: "\\") ? 2 : 1
                }
                if close < bytes.count { end = close }
            }
            if bytes[index] == UInt8(ascii: ",") {
                members.append([])
            } else {
                members[members.count - 1] += bytes[index...end]
            }
            index = end + 1
        }
        return members.map { String(String(decoding: $0, as: UTF8.self).trimmed) }.filter { !$0.isEmpty }
    }

    @Test func `quotes that never close hide nothing`() {
        var generator = SeededGenerator(seed: 21)
        for _ in 0..<20_000 {
            let text = String((0..<12).map { _ in "\"\\,a ".randomElement(using: &generator)! })
            #expect(listMembers(text).map(String.init) == plainMembers(text), "\(text)")
        }
        let many = String(repeating: "\"\\\"", count: 1000)
        #expect(CacheControl("x=\(many)\"\\, no-store").noStore)
    }

    @Test func `structured members are told apart at the commas that are in no string`() {
        func keys(_ value: String) -> [String]? { structuredDictionary(value)?.map(\.key) }
        #expect(keys("a=\"b, c=1\", d") == ["a", "d"])
        #expect(keys("a=\"b\\\", c=1\", d") == ["a", "d"])
        #expect(keys("a , b\t,\tc=(1 \"x,y\");p=1") == ["a", "b", "c"])
        #expect(keys("a=1, b, a=2") == ["a", "b"] && structuredDictionary("a=1, b, a=2")?[0].value == .integer(2))
        #expect(keys("") == [] && keys("  ") == [])
        for broken in ["a,", ",a", "a,,b", "a=\"b", "a b", "a=b\"c, d\"", "a;", "A"] {
            #expect(keys(broken) == nil, "\(broken)")
        }
        #expect(keys("a" + String(repeating: ";b", count: 256)) == ["a"])
        #expect(keys("a" + String(repeating: ";b", count: 257)) == nil)
        #expect(structuredStrings("\"a,b\", \"c\\\",\"") == ["a,b", "c\","])
    }
}
