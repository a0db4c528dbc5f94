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

    /// Those that are named.
    package static func named(url: String?, tag: String?, prefix: String?, match: String?, all: Bool) -> [Self] {
        let named: [Self?] = [
            url.map { .url($0) }, tag.map { .tag($0) }, prefix.map { .prefix($0) }, match.map { .match($0) },
            all ? .all : nil,
        ]
        return named.compactMap(\.self)
    }
}

extension Administration {
    /// Marks entries stale: readers still get them, a refresh follows.
    /// - Returns: how many.
    /// - Throws: ``AdministrationError`` when nothing is saved for an address, or no address can be meant.
    public func markStale(_ target: AdministrationTarget) async throws -> Int {
        try await purge(.markStale, target)
    }

    /// Deletes entries.
    /// - Returns: how many.
    /// - Throws: as ``markStale(_:)``.
    public func remove(_ target: AdministrationTarget) async throws -> Int {
        try await purge(.remove, target)
    }

    private func purge(_ kind: PurgeKind, _ selection: Selection) async throws -> Int {
        try await store.purge(kind, selection, now: time.now)
    }

    private func purge(_ kind: PurgeKind, _ target: AdministrationTarget) async throws -> Int {
        switch target {
        case .tag(let tag):
            return try await purge(kind, .tag(tag, cache: cache))
        case .all:
            return try await purge(kind, .cache(cache))
        case .url(let url):
            let primary = try await primaryKey(url)
            // Variants carry the address as a tag.
            let variants = try await purge(kind, .tag(primary, cache: cache))
            let count = try await purge(kind, .key(EntryKey(cache: cache, key: primary))) + variants
            guard count > 0 else { throw await nothingSaved(for: primary) }
            return count
        case .prefix(let text):
            guard !text.isEmpty else { throw AdministrationError(.invalid, "the prefix is empty; for all, say so") }
            return try await purge(kind, prefix: absolute(text), where: { _ in true })
        case .match(let text):
            let pattern = Wildcard(try await absolute(text))
            let start = pattern.description.prefix { $0 != "*" }
            return try await purge(kind, prefix: String(start), where: { pattern.matches(KeyParts($0.key).url) })
        }
    }

    /// Purges entries page by page, so that it needs no more memory for many entries than for few.
    private func purge(_ kind: PurgeKind, prefix: String, where isMeant: (EntryKey) -> Bool) async throws -> Int {
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
                    for key in keys.prefix(32) { group.addTask { try await purge(kind, .key(key)) } }
                    return try await group.reduce(0, +)
                }
                keys = keys.dropFirst(32)
            }
        }
    }
}
