import PerennialTesting
import Testing

@testable import PerennialHTTP

struct StoredResponseTests {
    let example = StoredResponse(
        status: 200, fields: ["ETag": "\"a\"", "X": "ü"], body: Array("hello".utf8), requestFields: ["accept": "*/*"],
        vary: ["accept"])

    @Test func `A response is read back as it was written`() throws {
        var generator = SeededGenerator(seed: 2)
        #expect(try StoredResponse(decoding: example.encode()) == example)
        for _ in 0..<500 {
            func fields(_ count: Int) -> HeaderFields {
                HeaderFields(
                    (0..<count).map { _ in
                        (generator.text(upTo: 20, alphabet: "abc"), generator.text(upTo: 300, alphabet: "abc"))
                    })
            }
            let response = StoredResponse(
                status: .random(in: 0...999, using: &generator), fields: fields(.random(in: 0...8, using: &generator)),
                body: (0..<Int.random(in: 0...400, using: &generator)).map { UInt8(truncatingIfNeeded: $0 * 7) },
                requestFields: fields(.random(in: 0...2, using: &generator)),
                vary: (0..<Int.random(in: 0...2, using: &generator)).map { "v\($0)" })
            #expect(try StoredResponse(decoding: response.encode()) == response)
        }
    }

    /// Entries outlive releases: these bytes must always be read.
    @Test func `Version 1 is written so, and stays readable`() throws {
        let golden: [UInt8] =
            Array("PRSP".utf8) + [1, 0xC8, 0x01, 2, 4] + Array("ETag".utf8) + [3] + Array("\"a\"".utf8) + [1]
            + Array("X".utf8) + [2, 0xC3, 0xBC, 1, 6] + Array("accept".utf8) + [3] + Array("*/*".utf8) + [1, 6]
            + Array("accept".utf8) + [5] + Array("hello".utf8)
        let checksum = crc32(golden[...])
        let bytes = golden + (0..<4).map { UInt8(truncatingIfNeeded: checksum >> ($0 * 8)) }
        #expect(checksum == 0xC015_0F2D)
        #expect(example.encode() == bytes)
        #expect(try StoredResponse(decoding: bytes) == example)
    }

    @Test func `The checksum is the one everybody calls CRC-32`() {
        #expect(crc32(Array("123456789".utf8)[...]) == 0xCBF4_3926)
        #expect(crc32(Array("The quick brown fox jumps over the lazy dog".utf8)[...]) == 0x414F_A339)
        #expect(crc32([]) == 0)
    }

    @Test func `Every truncation and every flipped bit is found`() {
        let bytes = example.encode()
        for count in 0..<bytes.count {
            #expect(throws: DamagedResponse.self) { try StoredResponse(decoding: Array(bytes.prefix(count))) }
        }
        #expect(throws: DamagedResponse.self) { try StoredResponse(decoding: bytes + [0]) }
        for bit in 0..<(bytes.count * 8) {
            var damaged = bytes
            damaged[bit / 8] ^= 1 << (bit % 8)
            #expect(throws: DamagedResponse.self) { try StoredResponse(decoding: damaged) }
        }
    }

    @Test func `A hundred thousand damaged responses are all found`() {
        var generator = SeededGenerator(seed: 3)
        let bytes = example.encode()
        var missed = 0
        for _ in 0..<100_000 {
            let damaged = mutated(bytes, using: &generator)
            if damaged != bytes, (try? StoredResponse(decoding: damaged)) != nil { missed += 1 }
        }
        #expect(missed == 0)
    }

    @Test func `Damage under a right checksum never crashes and never reads what isn't there`() {
        var generator = SeededGenerator(seed: 4)
        let content = Array(example.encode().dropLast(4))
        var readable = 0
        for _ in 0..<100_000 {
            var damaged = mutated(content, using: &generator)
            let checksum = crc32(damaged[...])
            for shift in 0..<4 { damaged.append(UInt8(truncatingIfNeeded: checksum >> (shift * 8))) }
            guard let response = try? StoredResponse(decoding: damaged) else { continue }
            readable += 1
            #expect(response.body.count + response.fields.count < damaged.count)
        }
        #expect(readable > 0 && readable < 100_000)
    }

    @Test func `Lengths beyond the end are refused before anything is reserved`() {
        let most: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]
        let heads: [[UInt8]] = [most, [1] + most, [1, 0] + most, [1, 0, 0] + most, [1, 0, 0, 0] + most, most + most]
        for head in heads {
            let content = Array("PRSP".utf8) + [1] + head
            let checksum = crc32(content[...])
            let bytes = content + (0..<4).map { UInt8(truncatingIfNeeded: checksum >> ($0 * 8)) }
            #expect(throws: DamagedResponse.self) { try StoredResponse(decoding: bytes) }
        }
    }

    @Test func `A stored response answers requests that choose alike`() {
        #expect(example.isSelected(by: ["Accept": "*/*", "Accept-Language": "en"]))
        #expect(!example.isSelected(by: ["Accept": "text/html"]))
        #expect(!example.isSelected(by: [:]))
    }

    @Test func `A refresh repeats what chose the response, and no credentials`() {
        let request: HeaderFields = [
            "Accept": "a", "accept": "b", "User-Agent": "c", "X-Tenant": "d", "Cookie": "e", "Authorization": "f",
            "Accept-Encoding": "gzip",
        ]
        #expect(
            refreshFields(of: request, vary: Vary(names: ["x-tenant", "cookie", "authorization"]))
                == ["accept": "a, b", "accept-encoding": "gzip", "user-agent": "c", "x-tenant": "d"])
    }

    /// One to four bytes changed, or a piece cut out, doubled or put in.
    private func mutated(_ bytes: [UInt8], using generator: inout SeededGenerator) -> [UInt8] {
        var bytes = bytes
        let start = Int.random(in: 0..<bytes.count, using: &generator)
        let end = Int.random(in: start..<bytes.count, using: &generator)
        switch Int.random(in: 0..<5, using: &generator) {
        case 0: bytes.removeSubrange(start...end)
        case 1: bytes.insert(contentsOf: bytes[start...end], at: end)
        case 2: bytes.insert(.random(in: 0...255, using: &generator), at: start)
        default:
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] = .random(in: 0...255, using: &generator)
            }
        }
        return bytes
    }
}
