import GRDB
import Perennial

/// One transaction on the file: the connection, the counters, and what is to be told when it is committed.
///
/// What can be done in it is in the extensions, one for each subject.
final class Transaction {
    let db: Database
    /// The store's, in bytes.
    let sizeLimit: Int?
    var ledger: Ledger
    /// What to tell the change feed of this process.
    var changes: [StoreChange] = []
    /// There were too many changes to name them; the watch reads them from the file.
    var hasManyChanges = false

    init(_ db: Database, sizeLimit: Int? = nil) throws {
        self.db = db
        self.sizeLimit = sizeLimit
        ledger = try Ledger.read(db)
    }
}
