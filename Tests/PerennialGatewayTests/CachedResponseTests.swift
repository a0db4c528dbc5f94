import Fuzzing
import NIOCore
import Perennial
import Testing

@testable import PerennialGateway
@testable import PerennialHTTP

/// What responses share in memory changes nothing of what each of them is.
@Suite struct CachedResponseTests {
    /// Alike but for some values, as the responses of one API are; now and then something rare.
    private static func responses(_ count: Int, seed: UInt64) -> [StoredResponse] {
        var random = Dice(seed: seed)
        return (0..<count).map { number in
            func chance(_ one: UInt64) -> Bool { random.next() % one == 0 }
            var fields = HeaderFields()
            fields.add("Content-Type", chance(10) ? "text/plain" : "application/json")
            fields.add("Date", "Thu, 26 Nov 2026 0\(number % 10):\(10 + random.next() % 50):37 GMT")
            if !chance(8) { fields.add("ETag", "\"\(String(random.next(), radix: 16))\"") }
            if chance(5) { fields.add("Last-Modified", "Sun, 06 Nov 1994 08:49:3\(number % 10) GMT") }
            fields.add("Cache-Control", "max-age=\(random.next() % 3 * 100)")
            if chance(20) { fields.add("Content-Length", "17") }
            if chance(20) { fields.add("Surrogate-Key", "a b \(number)") }
            if chance(30) { fields.add("Accept-Ranges", "none") }
            if chance(50) {
                fields.add("X-Odd", ["a\r\nb", "", "é", String(repeating: "x", count: 70_000)][number % 4])
            }
            if chance(90) { for place in 0..<300 { fields.add("X-\(place)", "\(random.next() % 4)") } }
            if chance(40) { fields.add("Date", "again") }
            let vary = chance(6) ? ["accept"] : []
            let status = [200, 200, 200, 404, 204, 301][Int(random.next() % 6)]
            let sizes = [0, 9, 10, 1_000, 16 << 10, (16 << 10) + 1, 100_000]
            let size = statusHasBody(status) ? sizes[Int(random.next() % 7)] : 0
            return StoredResponse(
                status: status, fields: fields,
                body: (0..<size).map { UInt8(truncatingIfNeeded: $0 ^ number) },
                requestFields: chance(3) ? ["Accept": "*/*", "User-Agent": "agent \(random.next() % 5)"] : [:],
                vary: vary)
        }
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func `each is what it was made of, and what is written of it is its own`(_ seed: UInt64) throws {
        let responses = Self.responses(600, seed: seed)
        let cached = responses.map { CachedResponse($0) }
        for (response, cached) in zip(responses, cached) {
            #expect(cached.stored == response)
            #expect(cached.encoded() == response.encode())
            #expect(try CachedResponse(decoding: response.encode()).stored == response)
            #expect(cached.status == response.status && cached.bodySize == response.body.count)
            #expect(cached.vary == response.vary && cached.hasVary == !response.vary.isEmpty)
            #expect(Array(cached.body.readableBytesView) == response.body)
            let head = CachedResponse.head(
                status: response.status, fields: cached.servedFields, bodySize: response.body.count)
            #expect(String(buffer: cached.head) == String(buffer: head))
            var date = ByteBuffer()
            cached.writeDateLine(to: &date)
            #expect(String(buffer: date) == "Date: \(response.fields.first("Date") ?? "")\r\n")
            var body = ByteBuffer()
            let large = cached.writeSmallBody(to: &body)
            #expect(Array((large ?? body).readableBytesView) == response.body)
            let validator = cached.validator
            #expect(validator?.etag == response.fields.first("ETag"))
            #expect(validator?.lastModified == response.fields.first("Last-Modified"))
        }
    }

    @Test func `thousands that are alike take little more than their bodies`() {
        let responses = (0..<5_000).map { number in
            StoredResponse(
                status: 200,
                fields: [
                    "Content-Type": "application/json", "Date": "Thu, 26 Nov 2026 01:02:\(10 + number % 50) GMT",
                    "ETag": "\"\(number)\"", "Strict-Transport-Security": String(repeating: "x", count: 500),
                ], body: Array(repeating: 0, count: 100))
        }
        let sizes = responses.map { CachedResponse($0).memorySize }
        // What is shared counts where it came from.
        #expect(sizes[0] > 600)
        #expect(sizes.dropFirst().count { $0 >= 200 } <= 5)
    }

    @Test func `what can't be shared counts with each`() {
        for number in 0..<3 {
            let fields = HeaderFields((0..<300).map { ("X-\($0)", "\(number)") })
            #expect(CachedResponse(StoredResponse(status: 200, fields: fields, body: [])).memorySize > 3_000)
        }
    }

    @Test func `what became usual is shared, too`() {
        func response(_ number: Int, _ policy: String) -> StoredResponse {
            StoredResponse(
                status: 203, fields: ["X-Policy": policy, "ETag": "\"\(number)\""], body: Array("body".utf8))
        }
        _ = CachedResponse(response(0, String(repeating: "a", count: 300)))
        let later = (1..<2_000).map { CachedResponse(response($0, String(repeating: "b", count: 300))).memorySize }
        #expect(later[0] > 300)
        #expect(later.last.map { $0 < 150 } == true)
    }

    @Test func `many threads may make them at once`() async {
        let responses = Self.responses(200, seed: 9)
        await withTaskGroup { group in
            for _ in 0..<8 {
                group.addTask {
                    for response in responses { #expect(CachedResponse(response).stored == response) }
                }
            }
        }
    }

    /// With a right checksum, as a faulty writer would leave them.
    @Test func `changed bytes are an error or another response, never a crash`() throws {
        var dice = Dice(seed: 11)
        var read = 0
        for bytes in Self.responses(80, seed: 5).map({ $0.encode() }) where bytes.count < 3_000 {
            for _ in 0..<300 {
                var changed = Array(bytes.dropLast(4))
                for _ in 0...dice.next() % 3 {
                    // Behind the magic and the version.
                    changed[5 + Int(dice.next() % UInt64(min(changed.count - 5, 250)))] = UInt8(
                        truncatingIfNeeded: dice.next())
                }
                let checksum = crc32(changed[...])
                changed += (0..<4).map { UInt8(truncatingIfNeeded: checksum >> ($0 * 8)) }
                guard let cached = try? CachedResponse(decoding: changed) else { continue }
                read += 1
                var stored = try StoredResponse(decoding: changed)
                if !statusHasBody(stored.status) { stored.body = [] }
                let isSame = cached.stored == stored
                #expect(isSame)
                let isSameAgain = try StoredResponse(decoding: cached.encoded()) == stored
                #expect(isSameAgain)
                _ = (cached.head, cached.body, cached.validator, cached.vary)
            }
        }
        #expect(read > 1_000)
    }
}
