/// A connection to a database server through a client that blocks. It is used by one thread at a time.
package protocol BlockingConnection: AnyObject, SendableMetatype {
    /// Whether it is as good as new; false after an error that leaves open what the server did or will still send.
    var isUsable: Bool { get }

    /// Called before the first piece of work of a batch and after the last one.
    func beginBatch() throws
    func endBatch() throws

    /// Whether a batch succeeds or fails as a whole. If so, a failed batch is followed by ``abandonBatch()`` and each of its
    /// pieces is done again alone.
    static var isAtomic: Bool { get }
    func abandonBatch()

    /// Called once, when it is of no more use.
    func close()
}

extension BlockingConnection {
    package func beginBatch() throws {}
    package func endBatch() throws {}
    package static var isAtomic: Bool { false }
    package func abandonBatch() {}
}

/// Why a server can't be reached or used. What it says names no credentials.
package struct ConnectionError: Error, Hashable, CustomStringConvertible {
    package enum Reason: Hashable, Sendable {
        /// No connection could be made.
        case unreachable
        /// The connection ended while it was in use.
        case lost
        /// The server did not answer in time.
        case timedOut
        /// The server refuses what was asked of it: a wrong password, no memory left, read-only.
        case refused
        /// The server can't keep this value or key, whatever is tried; it works otherwise. Callers of a lane get
        /// `NotStorable` for it.
        case notStorable
        /// What lies under a name is of another type than what was asked for.
        case otherType
        /// The server did nothing of it, and may when it is asked again.
        case notDone
        /// The backend was closed.
        case closed
    }

    package let reason: Reason
    package let description: String

    package init(_ reason: Reason, _ description: String) {
        self.reason = reason
        self.description = description
    }
}
