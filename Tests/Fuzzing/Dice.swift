/// SplitMix64: the same numbers for the same seed, everywhere.
public struct Dice: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(seed: UInt64) {
        state = seed
    }

    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    mutating func below(_ limit: Int) -> Int {
        Int(truncatingIfNeeded: (next() >> 33) % UInt64(limit))
    }

    /// True once in `times`.
    mutating func once(in times: Int) -> Bool { below(times) == 0 }

    mutating func pick<Element>(_ choices: [Element]) -> Element { choices[below(choices.count)] }

    /// A few bytes that mean something somewhere in HTTP, or any.
    mutating func bytes(upTo limit: Int) -> [UInt8] {
        (0..<below(limit + 1)).map { _ in
            once(in: 4) ? UInt8(truncatingIfNeeded: next()) : pick(Self.meaningful)
        }
    }

    private static let meaningful = Array("aA09 ,;=\"\\*/%.:-#?[]@\t\0\r\n_+~()<>{}|".utf8)

    /// Changes a few places: a byte put in, taken out, changed, or a piece repeated or cut off.
    mutating func mutate(_ bytes: inout [UInt8]) {
        for _ in 0..<(1 + below(3)) where !bytes.isEmpty {
            let place = below(bytes.count)
            switch below(6) {
            case 0: bytes.insert(pick(Self.meaningful), at: place)
            case 1: bytes.remove(at: place)
            case 2: bytes[place] = pick(Self.meaningful)
            case 3: bytes[place] ^= 1 << UInt8(below(8))
            case 4:
                let piece = bytes[place..<min(bytes.count, place + 1 + below(12))]
                bytes.insert(contentsOf: piece, at: below(bytes.count))
            default: bytes.removeSubrange(place..<min(bytes.count, place + 1 + below(8)))
            }
        }
    }
}

/// Something that must never be, and the input that brought it about.
public struct Finding: Error, CustomStringConvertible, Sendable {
    public let what: String
    public let input: [UInt8]

    init(_ what: String, _ input: some Sequence<UInt8>) {
        self.what = what
        self.input = Array(input)
    }

    /// The input as a Swift string literal would have it, other bytes as `\xNN`.
    public var description: String {
        let text = input.map { byte -> String in
            switch byte {
            case UInt8(ascii: "\r"): "\\r"
            case UInt8(ascii: "\n"): "\\n"
            case 0x20...0x7E: String(UnicodeScalar(byte))
            default: "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
            }
        }
        return "\(what): \(text.joined())"
    }
}
