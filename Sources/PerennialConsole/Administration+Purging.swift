public import Perennial
import PerennialHTTP

/// Which entries an operator means.
public enum AdministrationTarget: Hashable, Sendable {
    /// One address with all its variants; a path alone when there is one origin.
    case url(String)
    case tag(String)
    /// All addresses that begin with this; a path alone when there is one origin.
    case prefix(String)
    /// All addresses that are like this pattern, in which `*` stands for any text, slashes included; a path alone when
    /// there is one origin.
    case match(String)
    case all
}

extension Administration {
    /// Marks entries stale: readers still get them, a refresh follows.
    /// - Returns: how many.
    /// - Throws: ``AdministrationError`` when nothing is saved for an address, or no address can be meant.
    public func expire(_ target: AdministrationTarget) async throws -> Int {
        try await change(target) { try await store.expire($0, now: $1) }
    }

    /// Deletes entries.
    /// - Returns: how many.
    /// - Throws: as ``expire(_:)``.
    public func remove(_ target: AdministrationTarget) async throws -> Int {
        try await change(target) { try await store.remove($0, now: $1) }
    }

    private typealias Change = @Sendable (Selection, Timestamp) async throws -> Int

    private func change(_ target: AdministrationTarget, with action: @escaping Change) async throws -> Int {
        switch target {
        case .tag(let tag):
            return try await action(.tag(tag, cache: cache), time.now)
        case .all:
            return try await action(.cache(cache), time.now)
        case .url(let url):
            let primary = try await primaryKey(url)
            // Variants carry the address as a tag.
            let variants = try await action(.tag(primary, cache: cache), time.now)
            let count = try await action(.key(EntryKey(cache: cache, key: primary)), time.now) + variants
            guard count > 0 else { throw await nothingSaved(for: primary) }
            return count
        case .prefix(let text):
            guard !text.isEmpty else { throw AdministrationError(.invalid, "the prefix is empty; for all, say so") }
            return try await change(prefix: absolute(text), where: { _ in true }, with: action)
        case .match(let text):
            let pattern = Wildcard(try await absolute(text))
            let start = pattern.description.prefix { $0 != "*" }
            return try await change(
                prefix: String(start), where: { pattern.matches(KeyParts($0.key).url) }, with: action)
        }
    }

    /// Changes entries page by page, so that it needs no more memory for many entries than for few.
    private func change(
        prefix: String, where isMeant: (EntryKey) -> Bool, with action: @escaping Change
    ) async throws -> Int {
        var count = 0
        var last: String?
        while true {
            let page = try await page(prefix: prefix, tag: nil, after: last, limit: 500).map(\.key)
            guard let end = page.last else { return count }
            last = end.key
            var keys = page.filter(isMeant)[...]
            while !keys.isEmpty {
                // A few at a time: engines write together what comes together.
                count += try await withThrowingTaskGroup(of: Int.self) { group in
                    for key in keys.prefix(32) { group.addTask { try await action(.key(key), time.now) } }
                    return try await group.reduce(0, +)
                }
                keys = keys.dropFirst(32)
            }
        }
    }
}
