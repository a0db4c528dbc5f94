/// Where jitter and lease tokens come from. ``SystemRandomness`` outside tests; a seeded one inside them.
public protocol Randomness: Sendable {
    /// 64 random bits.
    func next() -> UInt64
}

/// The system's own generator.
public struct SystemRandomness: Randomness {
    public init() {}

    public func next() -> UInt64 {
        .random(in: .min ... .max)
    }
}

extension Randomness {
    /// A number in 0..<1.
    func fraction() -> Double {
        Double(next() >> 11) * 0x1p-53
    }

    /// 128 random bits in hexadecimal: unique to one piece of work.
    package func token() -> LeaseToken {
        let digits = Array("0123456789abcdef".utf8)
        return String(unsafeUninitializedCapacity: 32) { buffer in
            for half in 0..<2 {
                var bits = next()
                for position in 0..<16 {
                    buffer[half * 16 + position] = digits[Int(bits & 15)]
                    bits >>= 4
                }
            }
            return 32
        }
    }
}
