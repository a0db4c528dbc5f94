/// Remembers roughly how often keys were asked for that the memory tier does not hold: a count-min sketch of 4-bit
/// counters with conservative update (only the smallest of a key's four counters grow) and ageing by halving.
///
/// The four counters of a key lie in one cache line. Not thread-safe: its shard's lock guards it.
struct FrequencySketch {
    static var maximum: UInt8 { 15 }

    /// Lines of eight words of sixteen counters each.
    var words: UnsafeMutablePointer<UInt64>
    /// A power of two.
    var lineCount: Int

    /// - Parameter entries: how many resident entries to serve: each has 32 counters to its name.
    init(entries: Int) {
        lineCount = Self.lines(for: entries)
        words = Self.allocate(lineCount)
    }

    func deallocate() {
        words.deallocate()
    }

    func estimate(_ hash: UInt64) -> UInt8 {
        let line = line(hash)
        var minimum: UInt64 = 15
        for row in 0..<4 {
            let (word, shift) = place(hash, row)
            minimum = min(minimum, (line[word] >> shift) & 15)
        }
        return UInt8(minimum)
    }

    /// Notes one more request for the key.
    func increment(_ hash: UInt64) {
        raise(hash, to: min(estimate(hash) + 1, Self.maximum))
    }

    /// Makes the key's estimate at least `frequency`.
    func raise(_ hash: UInt64, to frequency: UInt8) {
        let line = line(hash)
        let frequency = UInt64(frequency)
        for row in 0..<4 {
            let (word, shift) = place(hash, row)
            let count = (line[word] >> shift) & 15
            if count < frequency { line[word] += (frequency - count) << shift }
        }
    }

    func halve() {
        for index in 0..<lineCount * 8 {
            words[index] = (words[index] >> 1) & 0x7777_7777_7777_7777
        }
    }

    /// Grows with the number of entries. Estimates stay as they are: each new line starts as a copy of the line its
    /// keys were in.
    mutating func grow(entries: Int) {
        let wanted = Self.lines(for: entries)
        while lineCount < wanted {
            let larger = Self.allocate(lineCount * 2)
            larger.update(from: words, count: lineCount * 8)
            (larger + lineCount * 8).update(from: words, count: lineCount * 8)
            words.deallocate()
            (words, lineCount) = (larger, lineCount * 2)
        }
    }

    func clear() {
        words.update(repeating: 0, count: lineCount * 8)
    }

    /// The table uses the hash's low bits for its slots and some high ones for shard and fingerprint; a
    /// multiplication makes fresh ones of them all.
    private func spread(_ hash: UInt64) -> UInt64 {
        KeyHash.fold(hash, 0xd6e8_feb8_6659_fd93)
    }

    private func line(_ hash: UInt64) -> UnsafeMutablePointer<UInt64> {
        words + Int(spread(hash) >> 32) & (lineCount - 1) &* 8
    }

    /// Row r has words 2r and 2r + 1 of the line to itself.
    private func place(_ hash: UInt64, _ row: Int) -> (word: Int, shift: UInt64) {
        let bits = spread(hash) >> UInt64(row * 8)
        return (row * 2 + Int(bits & 1), (bits >> 1 & 15) << 2)
    }

    private static func lines(for entries: Int) -> Int {
        var lines = 1
        while lines * 4 < entries { lines *= 2 }
        return lines
    }

    private static func allocate(_ lines: Int) -> UnsafeMutablePointer<UInt64> {
        let words = UnsafeMutableRawPointer.allocate(byteCount: lines * 64, alignment: 64)
            .bindMemory(to: UInt64.self, capacity: lines * 8)
        words.initialize(repeating: 0, count: lines * 8)
        return words
    }
}
