import Perennial

/// Which collection is what. Each cache has one for its entries, named like it where MongoDB can name one so.
enum Collections {
    /// One document a cache: where it stands (``Horizon``).
    static let caches = "perennial.caches"
    static let jobs = "perennial.jobs"
    static let version = "perennial.version"

    /// The longest name that is taken as it is: the name of the database and of an index go with it, 255 bytes at most.
    private static let longest = 120

    /// The collection of a cache's entries. Letters, digits, `_`, `-` and dots within stay as they are; all else, and what begins as
    /// MongoDB's or Perennial's own names do, is written as `%` and two digits; what is too long ends in a hash.
    static func entries(of cache: String) -> String {
        let isOurs = ["system.", "perennial."].contains { cache.hasPrefix($0) }
        var name = ""
        for (index, byte) in cache.utf8.enumerated() {
            let isPlain =
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"):
                    !(isOurs && index == 0)
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"): true
                case UInt8(ascii: "."): index > 0 && index < cache.utf8.count - 1
                default: false
                }
            name += isPlain ? String(Unicode.Scalar(byte)) : "%" + hexadecimal(byte)
        }
        if name.isEmpty { return "%" }
        if name.utf8.count <= longest { return name }
        return name.prefix(longest - 40) + "%-" + hash(cache)
    }

    private static func hexadecimal(_ byte: UInt8) -> String {
        (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }

    /// FNV-1a, 128 bits (RFC 9923).
    private static func hash(_ text: String) -> String {
        var hash: UInt128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d
        for byte in text.utf8 { hash = (hash ^ UInt128(byte)) &* 0x0000_0000_0100_0000_0000_0000_0000_013B }
        return String(hash, radix: 36)
    }
}
