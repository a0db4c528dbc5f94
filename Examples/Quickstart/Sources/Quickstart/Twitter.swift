import Perennial

/// What the app wants to know about somebody.
struct Tweeter: Codable, Sendable {
    var name: String
    var followers: Int
    var isVerified: Bool
}

/// Stands for an API that is slow, counts its callers and does not know everybody.
actor Twitter {
    private(set) var questions = 0
    var isDown = false

    func user(named name: String) async throws -> Tweeter {
        questions += 1
        try await Task.sleep(for: .milliseconds(300))
        if isDown { throw OriginFailure("twitter is down") }
        return Tweeter(name: name, followers: 1000 * questions, isVerified: name == "peterbe")
    }

    func goDown() { isDown = true }
}
