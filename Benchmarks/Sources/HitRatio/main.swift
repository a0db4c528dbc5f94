// Reads one key a line from standard input, as requests of a memory tier, and prints how many it had.
import Perennial

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

final class Entry: Sendable {}

func fail(_ message: String) -> Never {
    print("hit-ratio: \(message)\nusage: hit-ratio --capacity ENTRIES [--shards N] < KEYS, one a line")
    exit(64)
}

var capacity: Int?
var shards: Int?
var arguments = CommandLine.arguments.dropFirst()
while let option = arguments.popFirst() {
    guard let value = arguments.popFirst().flatMap({ Int($0) }), value > 0 else {
        fail("\(option) needs a number above 0")
    }
    switch option {
    case "--capacity": capacity = value
    case "--shards": shards = value
    default: fail("unknown option \(option)")
    }
}
guard let capacity else { fail("--capacity is missing") }

let tier = MemoryTier<String, Entry>(maximumBytes: 1 << 50, maximumCount: capacity, shards: shards, seed: 1)
let entry = Entry()
while let key = readLine() {
    if tier.value(for: key) == nil { tier.insert(entry, for: key, cost: key.utf8.count) }
}
let (hits, misses) = (tier.statistics.hits, tier.statistics.misses)
let ratio = hits + misses == 0 ? 0 : Double(hits) / Double(hits + misses)
print("requests \(hits + misses)\nhits \(hits)\nratio \(ratio)")
