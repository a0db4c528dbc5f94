/// Why a ``MongoDBBackend`` can't be made. Names no password.
public struct MongoDBBackendError: Error, Hashable, CustomStringConvertible {
    public let description: String
}
