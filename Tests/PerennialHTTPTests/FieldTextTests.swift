import PerennialTesting
import Testing

@testable import PerennialHTTP

/// A field's value is bytes (RFC 9110 §5.5): those that came are those that go.
@Suite struct FieldTextTests {
    private func random(using generator: inout SeededGenerator) -> [UInt8] {
        // Parts of characters, whole ones, reserved ones.
        let pieces: [[UInt8]] = [
            Array("a".utf8), Array(", ".utf8), Array("é".utf8), Array("😀".utf8), Array("\u{10FFE9}".utf8),
            Array("\u{10FF80}".utf8),
            Array("\u{10FF0D}".utf8), Array("\u{10FF7F}".utf8), Array("\u{10FFFF}".utf8), Array("\u{FFFD}".utf8),
            [0xE9], [0xC3], [0xA9], [0xF4], [0xF4, 0x8F],
            [0xF4, 0x8F, 0xBF], [0x8F], [0xBE], [0xED, 0xA0, 0x80], [0xC0, 0xAF], [0xFF], [0x80],
        ]
        return (0..<Int.random(in: 0...12, using: &generator)).flatMap { _ in
            Bool.random(using: &generator)
                ? pieces.randomElement(using: &generator)! : [UInt8.random(in: 0...255, using: &generator)]
        }
    }

    @Test func `bytes become text and the same bytes again`() {
        var generator = SeededGenerator(seed: 41)
        for _ in 0..<20_000 {
            let bytes = random(using: &generator)
            let text = String(fieldBytes: bytes)
            #expect(text.fieldBytes == bytes)
            #expect(text.withFieldBytes { Array($0) } == bytes)
            // Rules see every ASCII character where it is, and none that isn't there.
            #expect(text.utf8.filter { $0 < 0x80 } == bytes.filter { $0 < 0x80 })
        }
    }

    @Test func `what is UTF-8 stays as it is`() {
        for text in [
            "", "a", "attachment; filename=\"café.txt\"", "😀", "\u{10FF7F}", "\u{10FF0D}\u{10FF0A}", "\u{100000}",
        ] {
            #expect(String(fieldBytes: text.utf8) == text && text.fieldBytes == Array(text.utf8))
        }
        #expect(String(fieldBytes: [0x63, 0xE9]).unicodeScalars.map(\.value) == [0x63, 0x10FFE9])
    }

    @Test func `no text writes a line break that isn't seen in it`() {
        for scalar in 0x10FF00...0x10FFFF {
            let text = String(Unicode.Scalar(UInt32(scalar))!)
            #expect(text.fieldBytes.allSatisfy { $0 >= 0x80 })
        }
    }

    @Test func `where text must be UTF-8, other bytes are Latin-1`() {
        #expect(String(fieldBytesAsCharacters: [0x63, 0xE9, 0x2E]) == "cé.")
        #expect(String(fieldBytesAsCharacters: "cé\u{10FFE9}".utf8) == "cé\u{10FFE9}")
        #expect(String(fieldBytesAsCharacters: Array("é".utf8) + [0xE9]) == "éé")
    }

    @Test func `a stored response keeps the bytes of its values`() throws {
        let value = Array("attachment; filename=\"caf".utf8) + [0xE9] + Array(".txt\"".utf8)
        let response = StoredResponse(
            status: 200, fields: ["Content-Disposition": String(fieldBytes: value)], body: [1],
            requestFields: ["x": String(fieldBytes: [0xFF])], vary: ["x"])
        let encoded = response.encode()
        #expect(encoded.firstRange(of: [UInt8(value.count)] + value) != nil)
        #expect(try StoredResponse(decoding: encoded) == response)
        var generator = SeededGenerator(seed: 42)
        for _ in 0..<2000 {
            let fields = HeaderFields((0..<3).map { ("n\($0)", String(fieldBytes: random(using: &generator))) })
            let response = StoredResponse(status: 200, fields: fields, body: [], requestFields: fields)
            #expect(try StoredResponse(decoding: response.encode()) == response)
        }
    }

    @Test func `different bytes make different keys, and the bytes can be had from the key`() {
        let vary = Vary(names: ["x"])
        func key(_ bytes: [UInt8]) -> String { vary.variantKey(for: ["x": String(fieldBytes: bytes)]) }
        #expect(key([0xE9]) == "x=%E9" && key(Array("é".utf8)) == "x=%C3%A9" && key([0xE8]) == "x=%E8")
        #expect(key(Array("\u{10FFE9}".utf8)) == "x=%F4%8F%BF%A9")
    }
}
