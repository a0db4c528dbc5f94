/// Why a file can't be used, and what to do about it.
public struct SQLiteBackendError: Error, Hashable, CustomStringConvertible {
    /// What kind of trouble it is.
    public enum Reason: Hashable, Sendable {
        /// Made by a newer version of Perennial.
        case newerSchema
        /// A database that is not Perennial's.
        case foreignDatabase
        /// The file or its folder can't be created or opened.
        case cannotOpen
        /// The file is damaged, and was not to be replaced.
        case damaged
        /// The file can be read, but not written.
        case readOnly
        /// The backend was closed.
        case closed
    }

    public let reason: Reason
    /// What is wrong and what to do, in one line.
    public let description: String

    static func newer(path: String, version: Int64) -> Self {
        Self(
            reason: .newerSchema,
            description: "\(path) was written by a newer Perennial (schema \(version), this one knows"
                + " \(Schema.version)); upgrade, or choose another file")
    }

    static func foreign(path: String) -> Self {
        Self(
            reason: .foreignDatabase,
            description: "\(path) is another program's SQLite database; choose another file")
    }

    static func cannotOpen(path: String, _ cause: String) -> Self {
        Self(reason: .cannotOpen, description: "can't open \(path): \(cause)")
    }

    static func damaged(path: String, _ cause: any Error) -> Self {
        Self(
            reason: .damaged,
            description: "\(path) is damaged (\(cause)); a gateway that opens it moves it aside and starts anew")
    }

    static func readOnly(path: String) -> Self {
        Self(reason: .readOnly, description: "\(path) can't be written to: it or its folder is read-only")
    }

    static func closed(path: String) -> Self {
        Self(reason: .closed, description: "\(path) was closed")
    }
}
