/// The names of one cache's keys. All have the same hash tag, `{PREFIX/CACHE}`, so that a cluster has them in one slot.
struct KeySpace: Sendable {
    let base: String

    init(prefix: String, cache: String) {
        var name = ""
        // Braces would end the tag too early.
        for scalar in cache.unicodeScalars {
            switch scalar {
            case "{": name += "%7B"
            case "}": name += "%7D"
            case "%": name += "%25"
            default: name.unicodeScalars.append(scalar)
            }
        }
        base = "{\(prefix)/\(name)}"
    }

    var ledger: String { base + ":h" }
    var keys: String { base + ":k" }
    var known: String { base + ":c" }
    var marks: String { base + ":r" }
    var leases: String { base + ":l" }
    var due: String { base + ":q" }
    var dead: String { base + ":dl" }
    var used: String { base + ":u" }
    func entry(_ key: String) -> String { base + ":e:" + key }
    func tagged(_ tag: String) -> String { base + ":t:" + tag }
    func large(_ name: String) -> String { base + ":v:" + name }
}
