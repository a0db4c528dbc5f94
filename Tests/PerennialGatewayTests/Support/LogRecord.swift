import Logging
import NIOConcurrencyHelpers

/// Keeps what is logged at `notice` and above, for a test to look at.
final class LogRecord: Sendable {
    private let kept = NIOLockedValueBox<[String]>([])

    var lines: [String] { kept.withLockedValue { $0 } }

    var logger: Logger {
        Logger(label: "test") { [kept] _ in Handler(kept: kept) }
    }

    private struct Handler: LogHandler {
        let kept: NIOLockedValueBox<[String]>
        var logLevel = Logger.Level.notice
        var metadata: Logger.Metadata = [:]

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            kept.withLockedValue { $0.append(event.message.description) }
        }
    }
}
