import PerennialConnections
import Synchronization

/// What a connection listens to, and that it notices when it is dead.
package final class Subscription: Sendable {
    /// After so long without a word the server is asked for one.
    private static let silence = Duration.seconds(2)

    private struct Status {
        var lastWord = ContinuousClock.now
        var isAsked = false
    }

    private let channels: [String]
    private let receive: @Sendable (_ channel: String, _ message: [UInt8]) -> Void
    private let status = Mutex(Status())

    package init(channels: [String], receive: @escaping @Sendable (_ channel: String, _ message: [UInt8]) -> Void) {
        self.channels = channels
        self.receive = receive
    }

    package func begin(_ connection: RedisConnection) throws {
        var command = RedisCommand("SUBSCRIBE")
        for channel in channels { command.add(channel) }
        try connection.append(command)
        for _ in channels { _ = try connection.reply() }
        status.withLock { $0 = Status() }
    }

    /// Takes what comes, for half a second at most.
    package func listen(_ connection: RedisConnection) throws {
        if let push = try connection.nextPush(timeout: .milliseconds(250)) {
            status.withLock { $0 = Status() }
            if case .array(let parts) = push, parts.count == 3, parts[0].text == "message",
                let channel = parts[1].text, let message = parts[2].bytes
            {
                receive(channel, message)
            }
            return
        }
        let (isSilent, wasAsked) = status.withLock { status in
            let isSilent = .now - status.lastWord > Self.silence
            defer { if isSilent { status = Status(isAsked: true) } }
            return (isSilent, status.isAsked)
        }
        guard isSilent else { return }
        if wasAsked { throw ConnectionError(.timedOut, "the server does not answer on the connection that listens") }
        try connection.append(RedisCommand("PING"))
        try connection.flush()
    }
}
