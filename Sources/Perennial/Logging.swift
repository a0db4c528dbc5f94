internal import Logging

extension Logger {
    /// For callers who gave no logger.
    static var silent: Logger { Logger(label: "perennial", factory: { _ in SwiftLogNoOpLogHandler() }) }
}
