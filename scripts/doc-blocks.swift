// What the code blocks of README.md and docs/ find there: what stands for a reader's own program.
import Logging
import Perennial
import PerennialSQLite

struct Tweeter: Codable, Sendable {
    var name = ""
}

struct User: Codable, Sendable {
    var name = ""
}

struct Twitter: Sendable {
    func user(named: String) async throws -> Tweeter { Tweeter() }
}

struct API: Sendable {
    struct Response: Sendable {
        var status = 200
        var etag: String?
        var retryAfter: Duration?
        var team = ""
        func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { throw CancellationError() }
    }

    func get(_ path: String, ifNoneMatch: String?) async throws -> Response { Response() }
    func user(_ id: Int) async throws -> User { User() }
    func users(_ ids: [Int]) async throws -> [Int: User] { [:] }
}

let twitter = Twitter()
let api = API()
let backend = try! SQLiteBackend(path: "cache.sqlite")
let tweeters = try! Cache<String, Tweeter>("tweeters", backend: backend) { name, _ in
    try await twitter.user(named: name)
}
let users = Cache<Int, User>("users", backend: backend) { id, _ in try await api.user(id) }
