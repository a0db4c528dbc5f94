import Perennial

/// What the scripts publish: the generation, the cache and the keys, as `NUMBER LENGTH:CACHE` and a `LENGTH:KEY` for each. Nothing
/// at all: much was changed.
enum ChangeMessage {
    static func read(_ message: [UInt8]) -> [StoreChange] {
        var rest = message[...]
        guard let generation = number(&rest, until: " "), let cache = text(&rest) else { return [.missed] }
        var changes: [StoreChange] = []
        while !rest.isEmpty {
            guard let key = text(&rest) else { return [.missed] }
            changes.append(.written(EntryKey(cache: cache, key: key), Generation(generation)))
        }
        return changes
    }

    private static func number(_ rest: inout ArraySlice<UInt8>, until end: Unicode.Scalar) -> Int64? {
        guard let index = rest.firstIndex(of: UInt8(ascii: end)),
            let number = Int64(String(decoding: rest[..<index], as: UTF8.self))
        else { return nil }
        rest = rest[(index + 1)...]
        return number
    }

    private static func text(_ rest: inout ArraySlice<UInt8>) -> String? {
        guard let count = number(&rest, until: ":"), count >= 0, count <= rest.count else { return nil }
        defer { rest = rest.dropFirst(Int(count)) }
        return String(decoding: rest.prefix(Int(count)), as: UTF8.self)
    }
}
