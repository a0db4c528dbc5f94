import Perennial
import PerennialTesting
import Testing

/// What docs/library.md shows, as it stands there.
@Suite struct GuideTests {
    struct User: Codable, Sendable, Equatable {
        var name: String
        var team = 1
    }

    @Test func `a fetch that says more`() async throws {
        let backend = InMemoryBackend()
        let users = Cache<Int, User>("users", backend: backend) { id, fetch -> Fetched<User> in
            switch id {
            case 304 where fetch.previous != nil: return .notModified()
            case 404: return .absent()
            case 429: throw OriginFailure("too many requests", retryAfter: .seconds(30))
            default: return .value(User(name: "\(id)"), tags: ["team-1"], validator: Validator(etag: "\"\(id)\""))
            }
        }
        #expect(try await users[1] == User(name: "1"))
        #expect(try await users[404] == nil)
        await #expect(throws: OriginFailure.self) { try await users[429] }
        #expect(try await users.remove(tag: "team-1") == 1)
        await users.shutdown()
    }

    @Test func `many keys at once`() async throws {
        let known = [1: User(name: "Ada"), 2: User(name: "Grace")]
        let users = Cache<Int, User>(
            "users",
            batch: { ids, deadline in
                let found = known.filter { ids.contains($0.key) }
                return found.mapValues { .value($0) }
            }
        ) { id, fetch in
            known[id]!
        }
        #expect(try await users.values(for: [1, 2, 3]) == known)
        await users.shutdown()
    }

    @Test func `testing with it`() async throws {
        let clock = ManualClock()
        let cache = Cache<String, User>("users", workers: 0, time: clock) { name, _ in User(name: name) }
        _ = try await cache["a"]
        clock.advance(by: .hours(2))
        #expect(try await cache.lookup("a").state == .stale)
    }
}
