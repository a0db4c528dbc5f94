internal import Logging

extension Cache {
    /// Runs `request` when the origin may be asked, and says what it has changed about that.
    /// - Parameter key: `nil`: several at once.
    func permitted<Result: Sendable>(
        _ rank: OriginGuard.Rank, by terms: OriginTerms, for key: EntryKey?, _ request: () async throws -> Result
    ) async throws -> Result {
        let subject = key.map { GuardState.Subject(address: $0.key, endpoint: terms.endpoint) }
        return try await terms.origin.withPermit(
            rank, for: subject, patience: patience(rank, by: terms, for: key), telling: tell, request)
    }

    /// A reader who has an old value to serve does not wait for the end of a pause.
    private func patience(
        _ rank: OriginGuard.Rank, by terms: OriginTerms, for key: EntryKey?
    ) -> OriginGuard.Patience? {
        guard rank == .reader, let limit = terms.policy.turnTimeout else { return nil }
        let known = key.flatMap { Key($0.key) }.flatMap { memory.peek($0) }
        let hasOld = known?.freshness.isUsableOnError(at: time.now) ?? false
        return OriginGuard.Patience(limit: limit, outlastsPauses: key != nil && !hasOld)
    }

    private func tell(_ change: OriginGuard.Change) {
        observer?(.origin(change))
        let level: Logger.Level =
            switch (change.kind, change.address) {
            case (.opened, nil), (.paused, nil): .warning
            case (.closed, nil), (.opened, _), (.paused, _): .notice
            case (.closed, _), (.stayedOpen, _): .info
            }
        var metadata: Logger.Metadata = [:]
        if let origin = change.origin { metadata["origin"] = "\(origin)" }
        if let address = change.address { metadata["key"] = "\(address)" }
        logger.log(level: level, "\(change)", metadata: metadata)
    }
}
