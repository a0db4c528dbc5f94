import Foundation
import Logging
internal import NIOConcurrencyHelpers
internal import NIOCore

/// What happens when a connection can't be taken: mostly, this process has no file descriptor left for it. It waits in the
/// system's queue, and is tried again a little later.
struct AcceptPause: Sendable {
    /// Connections end all the time; those who wait should not wait long.
    private let pause: TimeAmount
    /// It is said again after so long without trouble.
    private static let quiet = TimeAmount.seconds(60)

    private let last = NIOLockedValueBox(NIODeadline?.none)
    private let logger: Logger

    init(_ pause: TimeAmount = .milliseconds(100), logger: Logger) {
        self.pause = pause
        self.logger = logger
    }

    func handler() -> AcceptBackoffHandler {
        AcceptBackoffHandler(shouldForwardIOErrorCaught: false) { error in
            note(error, at: .now())
            return pause
        }
    }

    func note(_ error: IOError, at now: NIODeadline) {
        let isNew = last.withLockedValue { last in
            defer { last = now }
            return last.map { now - $0 > Self.quiet } ?? true
        }
        if isNew { logger.error("\(Self.message(error.errnoCode))") }
    }

    static func message(_ code: CInt) -> String {
        switch code {
        case EMFILE:
            var limit = rlimit()
            #if canImport(Darwin)
                getrlimit(RLIMIT_NOFILE, &limit)
            #else
                getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            #endif
            return
                "no connection can be taken: all \(limit.rlim_cur) file descriptors of this process are in use. New clients wait until others end; raise the limit (ulimit -n, LimitNOFILE= in a unit file) or have fewer clients"
        case ENFILE:
            return
                "no connection can be taken: all file descriptors of this machine are in use. New clients wait until others end; raise fs.file-max"
        default:
            return "no connection can be taken for now: \(String(cString: strerror(code))). New clients wait"
        }
    }
}
