internal import Logging

extension Cache {
    /// Runs `request` when the origin may be asked, and says what it has changed about that.
    /// - Parameter key: `nil`: several at once.
    func permitted<Result: Sendable>(
        _ rank: OriginGuard.Rank, by terms: OriginTerms, for key: EntryKey?, _ request: () async throws -> Result
    ) async throws -> Result {
        let subject = key.map { GuardState.Subject(address: $0.key, endpoint: terms.endpoint) }
        return try await terms.origin.withPermit(rank, for: subject, telling: tell, request)
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
