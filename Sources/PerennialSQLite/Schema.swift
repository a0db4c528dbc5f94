import GRDB
import Perennial

/// The tables, and the steps that bring an older file up to date.
///
/// A released step is never changed; a new version is a new step at the end. `PRAGMA user_version` counts them.
enum Schema {
    /// Marks a file as Perennial's ("Pern" in ASCII), so that nobody else's database is written to.
    static let applicationID: Int64 = 0x5065_726E

    static var version: Int64 { Int64(steps.count) }

    private static let steps: [@Sendable (Database) throws -> Void] = [createVersion1, addHotKeys, addMarks]

    /// Creates or updates the tables. Of several processes that open a file at once, one does it.
    static func migrate(_ db: Database, path: String) throws {
        if try check(db, path: path) == version { return }
        try db.run("BEGIN IMMEDIATE")
        do {
            for step in try steps[Int(check(db, path: path))...] { try step(db) }
            try db.execute(sql: "PRAGMA application_id = \(applicationID); PRAGMA user_version = \(version)")
            try db.run("COMMIT")
        } catch {
            _ = try? db.run("ROLLBACK")
            throw error
        }
    }

    /// The file's version; 0: an empty file.
    /// - Throws: ``SQLiteBackendError`` when the file is newer than this program, or not Perennial's.
    static func check(_ db: Database, path: String) throws -> Int64 {
        if db.isInsideTransaction { return try checkInTransaction(db, path: path) }
        // All from one moment: another process may be making the tables.
        try db.run("BEGIN")
        defer { _ = try? db.run("COMMIT") }
        return try checkInTransaction(db, path: path)
    }

    private static func checkInTransaction(_ db: Database, path: String) throws -> Int64 {
        let found = try db.first("PRAGMA user_version") { $0.integer(0) } ?? 0
        let application = try db.first("PRAGMA application_id") { $0.integer(0) } ?? 0
        if application != applicationID {
            let isEmpty = try db.first("SELECT 1 FROM sqlite_schema LIMIT 1") { _ in true } == nil
            if !isEmpty || found != 0 { throw SQLiteBackendError.foreign(path: path) }
            return 0
        }
        if found > version { throw SQLiteBackendError.newer(path: path, version: found) }
        return found
    }

    /// - entry: metadata only, so that listing, confirming and the janitor never touch the values. A row with
    ///   `removed_at` is a tombstone: no entry, but the generation of its removal. Since version 3 there are none.
    /// - ledger: one row of counters, so that nothing is ever counted by reading everything.
    private static func createVersion1(_ db: Database) throws {
        try db.execute(
            sql: """
                CREATE TABLE ledger (
                    id INTEGER PRIMARY KEY CHECK (id = 1),
                    sequence INTEGER NOT NULL,
                    forgotten_keys INTEGER NOT NULL DEFAULT 0,
                    forgotten_purges INTEGER NOT NULL DEFAULT 0,
                    last_purge INTEGER NOT NULL DEFAULT 0,
                    entries INTEGER NOT NULL DEFAULT 0,
                    bytes INTEGER NOT NULL DEFAULT 0,
                    last_job INTEGER NOT NULL DEFAULT 0,
                    jobs_added INTEGER NOT NULL DEFAULT 0,
                    queued INTEGER NOT NULL DEFAULT 0,
                    running INTEGER NOT NULL DEFAULT 0,
                    dead INTEGER NOT NULL DEFAULT 0
                ) STRICT;

                CREATE TABLE entry (
                    id INTEGER PRIMARY KEY,
                    cache TEXT NOT NULL,
                    key TEXT NOT NULL,
                    generation INTEGER NOT NULL,
                    removed_at INTEGER,
                    absent INTEGER NOT NULL DEFAULT 0,
                    format TEXT NOT NULL DEFAULT '',
                    saved_at INTEGER NOT NULL DEFAULT 0,
                    confirmed_at INTEGER NOT NULL DEFAULT 0,
                    refresh_after INTEGER NOT NULL DEFAULT 0,
                    expire_after INTEGER NOT NULL DEFAULT 0,
                    stale_if_error INTEGER NOT NULL DEFAULT 0,
                    useless_at INTEGER NOT NULL DEFAULT 0,
                    touched_at INTEGER NOT NULL DEFAULT 0,
                    marked_stale_at INTEGER,
                    etag TEXT,
                    last_modified TEXT,
                    tags TEXT,
                    size INTEGER NOT NULL DEFAULT 0,
                    cost INTEGER NOT NULL DEFAULT 0,
                    UNIQUE (cache, key)
                ) STRICT;
                CREATE INDEX entry_generation ON entry (generation);
                CREATE INDEX entry_useless_at ON entry (useless_at) WHERE removed_at IS NULL;
                CREATE INDEX entry_touched_at ON entry (touched_at) WHERE removed_at IS NULL;
                CREATE INDEX entry_removed_at ON entry (removed_at) WHERE removed_at IS NOT NULL;

                CREATE TABLE value (
                    entry INTEGER PRIMARY KEY,
                    bytes BLOB NOT NULL
                ) STRICT;

                CREATE TABLE tag (
                    tag TEXT NOT NULL,
                    cache TEXT NOT NULL,
                    key TEXT NOT NULL,
                    entry INTEGER NOT NULL,
                    PRIMARY KEY (tag, cache, key)
                ) STRICT, WITHOUT ROWID;

                CREATE TABLE purge (
                    cache TEXT NOT NULL,
                    is_whole INTEGER NOT NULL,
                    tag TEXT NOT NULL,
                    generation INTEGER NOT NULL,
                    at INTEGER NOT NULL,
                    PRIMARY KEY (cache, is_whole, tag)
                ) STRICT, WITHOUT ROWID;

                CREATE TABLE lease (
                    cache TEXT NOT NULL,
                    key TEXT NOT NULL,
                    token TEXT NOT NULL,
                    until INTEGER NOT NULL,
                    PRIMARY KEY (cache, key)
                ) STRICT, WITHOUT ROWID;

                CREATE TABLE job (
                    id INTEGER PRIMARY KEY,
                    cache TEXT NOT NULL,
                    key TEXT NOT NULL,
                    state INTEGER NOT NULL,
                    at INTEGER NOT NULL,
                    generation INTEGER NOT NULL,
                    lease_token TEXT NOT NULL,
                    queued_at INTEGER NOT NULL,
                    failures INTEGER NOT NULL DEFAULT 0,
                    was_lost INTEGER NOT NULL DEFAULT 0,
                    receipt INTEGER,
                    worker TEXT,
                    error TEXT,
                    UNIQUE (cache, key)
                ) STRICT;
                CREATE INDEX job_due ON job (cache, at) WHERE state < 2;
                CREATE INDEX job_dead ON job (state) WHERE state = 2;
                """)
        // Generations begin at a number that grows with time, so that a file that takes the place of a damaged or a
        // deleted one never gives an older generation than that one did.
        try db.run("INSERT INTO ledger (id, sequence) VALUES (1, ?)", SystemTime().now.milliseconds * 1000)
    }

    /// - hot: which keys of a cache were hot, some thousands a page, the hottest first.
    private static func addHotKeys(_ db: Database) throws {
        try db.execute(
            sql: """
                CREATE TABLE hot (
                    cache TEXT NOT NULL,
                    page INTEGER NOT NULL,
                    keys TEXT NOT NULL,
                    PRIMARY KEY (cache, page)
                ) STRICT
                """)
    }

    /// - mark: writes that left no entry behind, in 16 bytes each; see `Marks`. They take the place of rows in `entry`
    ///   with `removed_at` and of the table `purge`, which held whole texts.
    /// - removed: the keys of the last removals, for other processes' change feeds.
    ///
    /// A column of the ledger gets another name, so that a process of an earlier version, which knows nothing of marks,
    /// can't go on writing.
    private static func addMarks(_ db: Database) throws {
        try db.execute(
            sql: """
                CREATE TABLE mark (
                    hash INTEGER PRIMARY KEY,
                    generation INTEGER NOT NULL
                ) STRICT;
                CREATE INDEX mark_generation ON mark (generation);

                CREATE TABLE removed (
                    generation INTEGER NOT NULL,
                    cache TEXT NOT NULL,
                    key TEXT NOT NULL,
                    PRIMARY KEY (generation, cache, key)
                ) STRICT, WITHOUT ROWID;

                ALTER TABLE ledger RENAME COLUMN forgotten_purges TO horizon;
                ALTER TABLE ledger ADD COLUMN marks INTEGER NOT NULL DEFAULT 0;
                ALTER TABLE ledger ADD COLUMN removed_bytes INTEGER NOT NULL DEFAULT 0;
                ALTER TABLE ledger ADD COLUMN unnamed INTEGER NOT NULL DEFAULT 0;
                UPDATE ledger SET unnamed = sequence,
                    horizon = max(horizon, coalesce((SELECT max(generation) FROM purge), 0)),
                    forgotten_keys = max(forgotten_keys,
                        coalesce((SELECT max(generation) FROM entry WHERE removed_at IS NOT NULL), 0));
                DELETE FROM entry WHERE removed_at IS NOT NULL;
                DROP INDEX entry_removed_at;
                DROP TABLE purge;
                """)
    }
}
