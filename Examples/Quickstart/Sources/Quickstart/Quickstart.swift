// The pattern in one screen: the first read waits, later reads don't, stale reads refresh behind, and a dead API is no
// reason to show nothing. Run it with `swift run Quickstart cache.sqlite`.
import Perennial
import PerennialSQLite

@main
struct Quickstart {
    static func main() async throws {
        let path = CommandLine.arguments.dropFirst().first ?? "quickstart.sqlite"
        let twitter = Twitter()

        // Short limits, to have something to see: refresh after 1 second, expire after 1 hour.
        let tweeters = try Cache<String, Tweeter>(
            "tweeters",
            policy: .init(refreshAfter: .seconds(1), expireAfter: .hours(1)),
            backend: SQLiteBackend(path: path)
        ) { username, fetch in
            try await twitter.user(named: username)
        }

        try await show("the first read asks and saves", "peterbe", tweeters)
        try await show("the second does not wait", "peterbe", tweeters)

        try await tweeters.markStale("peterbe")
        try await show("an expired one does not wait either", "peterbe", tweeters)
        while tweeters.peek("peterbe")?.state != .fresh { try await Task.sleep(for: .milliseconds(20)) }
        try await show("it was refreshed behind", "peterbe", tweeters)

        await twitter.goDown()
        try await tweeters.markStale("peterbe")
        try await show("with the API down there is still an answer", "peterbe", tweeters)

        print("the API was asked \(await twitter.questions) times")
        await tweeters.shutdown()
    }

    static func show(_ what: String, _ name: String, _ tweeters: Cache<String, Tweeter>) async throws {
        let clock = ContinuousClock()
        let began = clock.now
        let answer = try await tweeters.lookup(name)
        let took = (clock.now - began).components.attoseconds / 1_000_000_000_000_000
        guard let tweeter = answer.value else { return print("\(name): no such user") }
        print("\(what): \(tweeter.followers) followers, \(answer.state), from \(answer.source), \(took) ms")
    }
}
