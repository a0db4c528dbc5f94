import Perennial
import PerennialConnections
import Synchronization

/// What a connection listens to, and that it notices when it is dead.
final class Subscription: Sendable {
    /// After so long without a word the server is asked for one.
    private static let silence = Duration.seconds(2)

    private let schema: String
    private let feed: ChangeFeed
    private let bell: Doorbell
    private let lastWord = Mutex(ContinuousClock.now)

    init(schema: String, feed: ChangeFeed, bell: Doorbell) {
        self.schema = schema
        self.feed = feed
        self.bell = bell
    }

    func begin(_ connection: PostgresConnection) throws {
        try connection.command("LISTEN \(schema)_changes; LISTEN \(schema)_jobs")
        lastWord.withLock { $0 = .now }
    }

    /// Takes what comes, for half a second at most.
    func listen(_ connection: PostgresConnection) throws {
        let notifications = try connection.notifications(timeout: .milliseconds(250))
        if notifications.isEmpty {
            if ContinuousClock.now - lastWord.withLock({ $0 }) < Self.silence { return }
            try connection.command("SELECT 1")
        }
        lastWord.withLock { $0 = .now }
        if notifications.contains(where: { $0.channel.hasSuffix("_jobs") }) { bell.ring() }
        guard feed.isHeard else { return }
        let changes = notifications.filter { $0.channel.hasSuffix("_changes") }.flatMap { read($0.payload) }
        feed.publish(changes)
    }

    /// What the functions tell: the generation, the cache and the key, as `NUMBER LENGTH:CACHELENGTH:KEY`. Nothing at all: much was
    /// changed.
    private func read(_ payload: [UInt8]) -> [StoreChange] {
        var rest = payload[...]
        guard let generation = number(&rest, until: " "), let cache = text(&rest), let key = text(&rest) else {
            return [.missed]
        }
        return [.written(EntryKey(cache: cache, key: key), Generation(generation))]
    }

    private func number(_ rest: inout ArraySlice<UInt8>, until end: Unicode.Scalar) -> Int64? {
        guard let index = rest.firstIndex(of: UInt8(ascii: end)),
            let number = Int64(String(decoding: rest[..<index], as: UTF8.self))
        else { return nil }
        rest = rest[(index + 1)...]
        return number
    }

    private func text(_ rest: inout ArraySlice<UInt8>) -> String? {
        guard let count = number(&rest, until: ":"), count >= 0, count <= rest.count else { return nil }
        defer { rest = rest.dropFirst(Int(count)) }
        return unescaped(rest.prefix(Int(count)))
    }
}
