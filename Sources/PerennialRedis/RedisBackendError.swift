/// What is wrong with the address of a Redis server, and what to do about it. Names no password.
public struct RedisBackendError: Error, Hashable, CustomStringConvertible {
    public let description: String

    package init(_ description: String) {
        self.description = description
    }
}
