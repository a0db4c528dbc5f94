import Fuzzing
import NIOCore
import Perennial
import PerennialHTTP
import Testing

@testable import PerennialGateway

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
            let size = [0, 9, 10, 1_000, 16 << 10, (16 << 10) + 1, 100_000][Int(random.next() % 7)]
            return StoredResponse(
                status: [200, 200, 200, 404, 204, 301][Int(random.next() % 6)], fields: fields,
                body: (0..<size).map { UInt8(truncatingIfNeeded: $0 ^ number) },
                requestFields: chance(3) ? ["Accept": "*/*", "User-Agent": "agent \(random.next() % 5)"] : [:],
                vary: vary)
        }
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func `each is what it was made of, and what is written of it is its own`(_ seed: UInt64) throws {
        let responses = Self.responses(600, seed: seed)
        let cached = responses.map(CachedResponse.init)
        for (response, cached) in zip(responses, cached) {
            #expect(cached.stored == response)
            #expect(cached.encoded() == response.encode())
            #expect(try CachedResponse(decoding: response.encode()).stored == response)
            #expect(cached.status == response.status && cached.bodySize == response.body.count)
            #expect(cached.vary == response.vary && cached.hasVary == !response.vary.isEmpty)
            #expect(Array(cached.body.readableBytesView) == response.body)
            let head = CachedResponse.head(
                status: response.status, fields: cached.servedFields, bodySize: response.body.count)
            #expect(lines(cached.head) == lines(head))
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

    private func lines(_ head: ByteBuffer) -> [Substring] {
        String(buffer: head).split(separator: "\r\n").sorted()
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
        // The first of a kind counts no more than the others: what is shared is nobody's.
        #expect(sizes.allSatisfy { $0 < 200 }, "\(sizes.max() ?? 0) bytes")
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

    @Test func `damaged bytes are an error, never a crash`() {
        let bytes = Self.responses(40, seed: 5).map { $0.encode() }
        for bytes in bytes where bytes.count < 3_000 {
            for place in stride(from: 0, to: bytes.count, by: 7) {
                var damaged = bytes
                damaged[place] ^= 0x41
                #expect(throws: DamagedResponse.self) { try CachedResponse(decoding: damaged) }
            }
            #expect(throws: DamagedResponse.self) { try CachedResponse(decoding: Array(bytes.dropLast(3))) }
        }
    }
}
