/// Why a file can't be used, and what to do about it.
public struct SQLiteBackendError: Error, Hashable, CustomStringConvertible {
    /// What kind of trouble it is.
    public enum Reason: Hashable, Sendable {
        /// Made by a newer version of Perennial.
        case newerSchema
        /// A file that is not Perennial's, or does not show that it was.
        case foreignDatabase
        /// The file or its folder can't be created or opened.
        case cannotOpen
        /// The file is damaged, and was not to be replaced.
        case damaged
        /// The file or its folder belongs to somebody else, and this process may not use it.
        case noPermission
        /// The file can be read, but not written.
        case readOnly
        /// Another program keeps the file locked.
        case locked
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
            description:
                "\(path) is not Perennial's: another program's, or damaged beyond recognition; it was left as it"
                + " is: choose another file, or move this one away")
    }

    static func cannotOpen(path: String, _ cause: String) -> Self {
        Self(reason: .cannotOpen, description: "can't open \(path): \(cause)")
    }

    static func noPermission(path: String, owner: String?) -> Self {
        Self(
            reason: .noPermission,
            description: "may not open \(path)" + (owner.map { ", which belongs to \($0)" } ?? "")
                + ": run as its owner, or let this user read and write it and its folder")
    }

    static func damaged(path: String, _ cause: any Error) -> Self {
        Self(
            reason: .damaged,
            description: "\(path) is damaged (\(cause)); a gateway that opens it moves it aside and starts anew")
    }

    static func readOnly(path: String) -> Self {
        Self(
            reason: .readOnly,
            description: "\(path) can't be written to: it or its folder is read-only, or belongs to another user")
    }

    static func locked(path: String, for time: Duration) -> Self {
        Self(
            reason: .locked,
            description:
                "\(path) has been locked by another program for more than \(time / .seconds(1)) s; it is used again"
                + " when that ends its transaction (fuser \(path) names the programs)")
    }

    static func closed(path: String) -> Self {
        Self(reason: .closed, description: "\(path) was closed")
    }
}
