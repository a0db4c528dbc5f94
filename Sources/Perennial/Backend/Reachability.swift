internal import Logging

/// Keeps an engine that can't be reached from slowing every reader down, and says once when it fails and once when it is back.
///
/// While it fails, one call a second goes through to see whether it has healed; the others are skipped.
final class Reachability: Sendable {
    private struct Condition {
        var failingSince: Timestamp?
        var nextTry = Timestamp.distantPast
        var lastError: String?
        var failures = 0
        var refusals = 0
    }

    /// What is reached, as the log names it.
    private let subject: String
    private let condition = Locked(Condition())
    private let time: any TimeSource
    private let logger: Logger

    init(_ subject: String, time: any TimeSource, logger: Logger) {
        self.subject = subject
        self.time = time
        self.logger = logger
    }

    /// What `call` returns; `nil` when it fails or is not tried. ``NotStorable`` is no failure of the engine: it has
    /// answered.
    func attempt<Result>(_ call: () async throws -> Result) async -> Result? {
        guard mayTry() else { return nil }
        do {
            let result = try await call()
            succeeded()
            return result
        } catch let error as NotStorable {
            succeeded()
            refused(error)
            return nil
        } catch {
            failed(error)
            return nil
        }
    }

    /// The last error while failing, else `nil`.
    var failure: String? { condition.withLock { $0.failingSince == nil ? nil : $0.lastError } }

    /// How many calls were about something that can't be kept.
    var refusals: Int { condition.withLock { $0.refusals } }

    /// How many calls have failed.
    var failures: Int { condition.withLock { $0.failures } }

    private func mayTry() -> Bool {
        condition.withLock { condition in
            guard condition.failingSince != nil else { return true }
            let now = time.steady
            guard now >= condition.nextTry else { return false }
            condition.nextTry = now + .seconds(1)
            return true
        }
    }

    private func succeeded() {
        let since = condition.withLock { condition in
            defer { condition.failingSince = nil }
            return condition.failingSince
        }
        if let since {
            logger.notice("\(subject) works again", metadata: ["after": "\(time.steady - since)"])
        }
    }

    private func refused(_ error: NotStorable) {
        let count = condition.withLock { condition in
            condition.refusals += 1
            return condition.refusals
        }
        if count == 1 {
            logger.warning(
                "\(subject): something can't be kept there; others are not affected, and more will only be counted",
                metadata: ["error": "\(error)"])
        }
    }

    private func failed(_ error: any Error) {
        let now = time.steady
        let isNew = condition.withLock { condition in
            condition.failures += 1
            condition.lastError = String(describing: error)
            condition.nextTry = now + .seconds(1)
            defer { if condition.failingSince == nil { condition.failingSince = now } }
            return condition.failingSince == nil
        }
        if isNew {
            logger.error("\(subject) fails; going on without until it works again", metadata: ["error": "\(error)"])
        }
    }
}
