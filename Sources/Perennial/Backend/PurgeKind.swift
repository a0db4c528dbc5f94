/// How entries are purged.
package enum PurgeKind: Hashable, Sendable {
    /// They are made stale (soft purge).
    case markStale
    /// They are deleted (hard purge).
    case remove
}

extension Store {
    /// - Returns: how many entries were purged.
    package func purge(_ kind: PurgeKind, _ selection: Selection, now: Timestamp) async throws -> Int {
        switch kind {
        case .markStale: try await markStale(selection, now: now)
        case .remove: try await remove(selection, now: now)
        }
    }
}
