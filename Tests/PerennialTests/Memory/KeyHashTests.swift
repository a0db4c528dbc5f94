import Testing

@testable import Perennial

@Suite struct KeyHashTests {
    /// How many of the keys fall on the fullest of 1,024 places, by three different parts of the hash.
    func fullest<Key: Hashable>(_ keys: [Key], _ hash: KeyHash) -> Int {
        [0, 32, 54].map { shift in
            var counts = Array(repeating: 0, count: 1_024)
            for key in keys { counts[Int(hash.hash(key) >> UInt64(shift) & 1_023)] += 1 }
            return counts.max() ?? 0
        }.max() ?? 0
    }

    @Test func `Similar keys spread evenly`() {
        let hash = KeyHash(seed: 11)
        let numbers = Array(0..<10_240)
        // On average 10 of them share a place; chance alone makes the fullest hold some 22.
        #expect(fullest(numbers, hash) < 32)
        #expect(fullest(numbers.map { $0 << 32 }, hash) < 32)
        #expect(fullest(numbers.map { "\($0)" }, hash) < 32)
        #expect(fullest(numbers.map { "user:\($0)" }, hash) < 32)
        #expect(fullest(numbers.map { "https://api.example.com/users/\($0)" }, hash) < 32)
        #expect(fullest(numbers.map { "https://api.example.com/users/\($0)/followers?page=1" }, hash) < 32)
        #expect(fullest(numbers.map { "é\($0)" }, hash) < 32)
    }

    @Test func `Every byte and the length count`() {
        let hash = KeyHash(seed: 11)
        for length in 1...70 {
            let text = Array(repeating: UInt8(ascii: "a"), count: length)
            var seen: Set<UInt64> = [hash.hash(String(decoding: text, as: UTF8.self))]
            for position in 0..<length {
                var changed = text
                changed[position] = UInt8(ascii: "b")
                seen.insert(hash.hash(String(decoding: changed, as: UTF8.self)))
            }
            seen.insert(hash.hash(String(decoding: text + text, as: UTF8.self)))
            #expect(seen.count == length + 2)
        }
    }

    @Test func `Keys that meet under one seed part under another`() {
        let known = KeyHash(seed: 1)
        // What a flooder would send who knew the seed: keys of one slot of 4,096.
        let flood = (0..<1_000_000).lazy.map { "k\($0)" }.filter { known.hash($0) & 4_095 == 0 }.prefix(200)
        let keys = Array(flood)
        #expect(keys.count == 200)
        let slots = Set(keys.map { KeyHash(seed: 2).hash($0) & 4_095 })
        #expect(slots.count > 180)
    }
}
