import GRDB
import Perennial

extension Transaction {
    /// Takes the lease unless somebody else holds it.
    /// - Returns: until when somebody else holds it, or `nil` when it is the caller's now.
    func takeLease(_ key: EntryKey, token: LeaseToken, until: Timestamp, now: Timestamp) throws -> Timestamp? {
        let taken = try db.run(
            """
            INSERT INTO lease (cache, key, token, until) VALUES (?, ?, ?, ?)
            ON CONFLICT (cache, key) DO UPDATE SET token = excluded.token, until = excluded.until
            WHERE until <= ? OR token = excluded.token
            """, key.cache, key.key, token, until.milliseconds, now.milliseconds)
        if taken > 0 { return nil }
        return try db.first("SELECT until FROM lease WHERE cache = ? AND key = ?", key.cache, key.key) {
            Timestamp(milliseconds: $0.integer(0))
        }
    }

    func releaseLease(_ key: EntryKey, token: LeaseToken) throws {
        try db.run("DELETE FROM lease WHERE cache = ? AND key = ? AND token = ?", key.cache, key.key, token)
    }
}
