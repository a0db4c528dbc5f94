public import Perennial

/// What every ``Store`` must do, a check for each sentence of its documentation.
public enum StoreConformance {
    public typealias Check = ConformanceCheck<any Store>

    /// All of them. Each wants an empty store of its own.
    public static let checks: [Check] =
        savingChecks + fenceChecks + memoryChecks + purgeChecks + leaseChecks + listChecks + hotKeyChecks + changeChecks
        + limitChecks + scopeChecks + janitorChecks + clockChecks
}

extension Store {
    func read(_ key: EntryKey) async throws -> StoreRecord { try await read([key])[0] }

    func lease(_ key: EntryKey, token: LeaseToken, until: Timestamp, now: Timestamp) async throws -> LeaseOutcome {
        try await lease([key], token: token, until: until, now: now)[0]
    }

    @discardableResult
    func save(_ entry: StoredEntry) async throws -> Generation {
        guard let generation = try await save(entry, fence: nil, releasing: nil).generation else {
            throw ConformanceFailure(description: "a save of \(entry.metadata.key) without a fence was superseded")
        }
        return generation
    }
}

extension LeaseOutcome {
    var isGranted: Bool {
        if case .granted = self { true } else { false }
    }
}

extension SaveOutcome {
    func generation(file: StaticString = #fileID, line: Int = #line) throws -> Generation {
        if let generation { return generation }
        throw ConformanceFailure(description: "superseded, should have been saved (\(file):\(line))")
    }
}
