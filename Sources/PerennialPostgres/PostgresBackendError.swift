/// What is wrong with the address of a PostgreSQL server, and what to do about it. Names no password.
public struct PostgresBackendError: Error, Hashable, CustomStringConvertible {
    public let description: String
}
