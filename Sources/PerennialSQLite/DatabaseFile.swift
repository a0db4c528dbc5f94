import Foundation
import GRDB
import Logging
import Perennial
import Synchronization

/// The file behind a backend: opens connections to it, replaces it when it is damaged, and says in the log when its
/// health changes.
final class DatabaseFile: Sendable {
    enum Role: String {
        case writer, reader, browser, direct
    }

    private struct Status {
        /// Counts the files that have had this name, and other reasons to open every connection anew.
        var epoch = 0
        var identity: FileSystem.Identity?
        /// What is wrong with writing, once it has been logged.
        var trouble: String?
        /// That others may read the file has been logged.
        var isExposed = false
        /// The trouble is that the file can't be opened for writing.
        var isReadOnly = false
        var isClosed = false
    }

    let path: String
    private let logger: Logger
    private let maximumPageCount: Int?
    /// How long the log grows before it is folded into the file, in bytes.
    private let logSize: Int
    let lockPatience: LockPatience
    /// How long the writer waits now for a lock that another process has, in milliseconds.
    private let writersPatience: Atomic<Int>
    /// Whether a damaged file is moved aside; else using it is an error.
    private let startsAnewWhenDamaged: Bool
    /// Whether the file is only looked at: neither it nor anything beside it changes.
    let isForLooking: Bool
    private let status = Mutex(Status())
    /// ``epoch`` and ``isReadOnly`` in one number: they are asked for before each read, and the status may be held
    /// while files are moved.
    private let mark = Atomic(0)

    init(
        path: String, sizeLimit: Int? = nil, maximumPageCount: Int?, startsAnewWhenDamaged: Bool = true,
        isForLooking: Bool = false, lockPatience: LockPatience = LockPatience(), logger: Logger
    ) {
        self.path = path
        self.lockPatience = lockPatience
        writersPatience = Atomic(Int(lockPatience.timeout / .milliseconds(1)))
        self.maximumPageCount = maximumPageCount
        logSize = min(64 << 20, max(4 << 20, (sizeLimit ?? .max) / 8))
        self.startsAnewWhenDamaged = startsAnewWhenDamaged && !isForLooking
        self.isForLooking = isForLooking
        self.logger = logger
    }

    /// A connection of an older epoch is closed and opened anew before its next use.
    var epoch: Int { mark.load(ordering: .acquiring) >> 1 }

    /// Readers are to be closed after each use: while one is open on a file that it could only open read-only, SQLite
    /// lets no connection of this process write to it.
    var isReadOnly: Bool { mark.load(ordering: .acquiring) & 1 == 1 }

    private func change<Result>(_ body: (inout Status) throws -> sending Result) rethrows -> sending Result {
        try status.withLock { status in
            defer { mark.store(status.epoch << 1 | (status.isReadOnly ? 1 : 0), ordering: .releasing) }
            return try body(&status)
        }
    }

    /// From now on nothing can be opened.
    func close() { status.withLock { $0.isClosed = true } }

    // MARK: Opening

    func open(_ role: Role) throws -> DatabaseQueue {
        if status.withLock({ $0.isClosed }) { throw SQLiteBackendError.closed(path: path) }
        if isForLooking { return try openForLooking(role) }
        return role == .writer ? try openWriter() : try openReader(role)
    }

    private func openWriter() throws -> DatabaseQueue {
        try FileSystem.createPrivately(path) { try prepared($0).close() }
        // Already opening a database for writing may change it: SQLite brings it up to date from its log.
        try refuseOthers()
        let queue = try prepared(path)
        change { status in
            let now = FileSystem.Identity(path: path)
            // Another file has taken its place: connections to the old one must not go on.
            if let old = status.identity, old != now { status.epoch += 1 }
            status.identity = now
        }
        warnIfExposed()
        return queue
    }

    /// A connection for writing, to a file that has its tables.
    private func prepared(_ path: String) throws -> DatabaseQueue {
        let queue = try DatabaseQueue(path: path, configuration: configuration(.writer))
        try queue.inDatabase { db in
            if db.isReadOnly { throw SQLiteBackendError.readOnly(path: path) }
            _ = try Schema.check(db, path: path)
            // In this order: the first must come before the file has any page.
            try db.execute(sql: "PRAGMA auto_vacuum = INCREMENTAL")
            try Self.enterWAL(db)
            try Schema.migrate(db, path: path)
        }
        return queue
    }

    /// - Throws: ``SQLiteBackendError`` when the file is somebody else's, and was left as it is.
    private func refuseOthers() throws {
        // This process has used it already. If it shows no mark any more, it was damaged since.
        if let known = status.withLock({ $0.identity }), known == FileSystem.Identity(path: path) { return }
        switch try FileOwner(path: path) {
        case .nobody, .perennial: return
        case .others: throw SQLiteBackendError.foreign(path: path)
        case .unmarked:
            // Without tables it is nobody's, or another process of Perennial's is about to make them.
            let hasLog = FileSystem.size(of: FileSystem.target(of: path) + "-wal") > 0
            let queue = try DatabaseQueue(
                path: hasLog ? path : FileSystem.immutableURI(of: path), configuration: configuration(.reader))
            try queue.inDatabase { db in _ = try Schema.check(db, path: path) }
            try queue.close()
        }
    }

    /// Where several processes turn a new file's log on at once, SQLite calls all but one of them busy without asking
    /// the busy handler, which it fears to be a deadlock: they try again.
    private static func enterWAL(_ db: Database) throws {
        for tries in 0... {
            do {
                return try db.execute(sql: "PRAGMA journal_mode = WAL")
            } catch let error as DatabaseError where error.resultCode == .SQLITE_BUSY && tries < 200 {
                usleep(5_000)
            }
        }
    }

    /// Does something with the writer's connection, which waits no longer than this for other processes meanwhile.
    func waiting<Result>(_ patience: Duration, _ body: () throws -> Result) rethrows -> Result {
        let before = writersPatience.exchange(Int(patience / .milliseconds(1)), ordering: .relaxed)
        defer { writersPatience.store(before, ordering: .relaxed) }
        return try body()
    }

    private func openReader(_ role: Role) throws -> DatabaseQueue {
        // It was moved aside or deleted, and no writer has made the next one yet.
        if FileSystem.Identity(path: path) == nil { try openWriter().close() }
        do {
            return try checked(DatabaseQueue(path: path, configuration: configuration(role)))
        } catch let error as DatabaseError where error.isAboutAccess && FileSystem.Identity(path: path) != nil {
            // On a read-only medium SQLite can't make the side files that readers share. If no writer left a log
            // behind, the file is complete without them.
            if FileSystem.size(of: FileSystem.target(of: path) + "-wal") > 0 { throw error }
            let folder = FileSystem.folder(of: path)
            guard access(folder.isEmpty ? "." : folder, W_OK) != 0 else { throw error }
            return try checked(openUnchanging(role))
        }
    }

    /// Reads the file without its side files, which SQLite does not make then either: right while nobody writes.
    private func openUnchanging(_ role: Role) throws -> DatabaseQueue {
        try DatabaseQueue(path: FileSystem.immutableURI(of: path), configuration: configuration(role))
    }

    /// Whoever has the file open has its log beside it; without a log it is a copy, or nobody uses it.
    private func openForLooking(_ role: Role) throws -> DatabaseQueue {
        if role == .writer { throw SQLiteBackendError.readOnly(path: path) }
        let isInUse = FileSystem.Identity(path: FileSystem.target(of: path) + "-wal") != nil
        let queue =
            try isInUse ? DatabaseQueue(path: path, configuration: configuration(role)) : openUnchanging(role)
        guard try queue.inDatabase({ db in try Schema.check(db, path: path) }) > 0 else {
            throw SQLiteBackendError.cannotOpen(path: path, "there is nothing in it yet")
        }
        return queue
    }

    /// - Returns: the connection, once the file has its tables: another process may be about to make them.
    private func checked(_ queue: DatabaseQueue) throws -> DatabaseQueue {
        // An older file is read as it is: it may be one that can't be written to.
        if try queue.inDatabase({ db in try Schema.check(db, path: path) }) == 0 { try openWriter().close() }
        return queue
    }

    private func configuration(_ role: Role) -> Configuration {
        var configuration = Configuration()
        configuration.label = "perennial.sqlite.\(role)"
        configuration.readonly = role != .writer
        configuration.foreignKeysEnabled = false
        // A failed rollback is met by closing the connection, not by GRDB's precondition.
        configuration.allowsUnsafeTransactions = true
        // Another process may be writing: look again soon, since its transactions are short.
        let usual = Int(lockPatience.timeout / .milliseconds(1))
        let began = Mutex(ContinuousClock.now)
        configuration.busyMode =
            role == .direct
            ? .immediateError
            : .callback { [self] tries in
                if tries == 0 { began.withLock { $0 = .now } }
                let patience = role == .writer ? writersPatience.load(ordering: .relaxed) : usual
                if .now - began.withLock({ $0 }) >= .milliseconds(patience) { return false }
                usleep(tries < 20 ? 500 : 5_000)
                return true
            }
        let (maximumPageCount, logSize) = (maximumPageCount, logSize)
        configuration.prepareDatabase { db in
            // Together with WAL: a crash of this process loses nothing; a crash of the machine may lose the last
            // moments before it, but never damages the file.
            try db.execute(sql: "PRAGMA synchronous = NORMAL")
            // It is a cache: deleted values need not be overwritten with zeros.
            try db.execute(sql: "PRAGMA secure_delete = OFF")
            // No mapping: a file that is cut short would end the process (SIGBUS) instead of being an error, and
            // mapped pages would count as this process's memory.
            try db.execute(sql: "PRAGMA mmap_size = 0")
            // In KiB when negative.
            try db.execute(sql: "PRAGMA cache_size = \(role == .writer ? -16_000 : -2_000)")
            try db.execute(sql: "PRAGMA temp_store = MEMORY")
            if role == .writer {
                // In pages of 4 KiB: seldom enough that syncing to the disk costs little, often enough that opening
                // after a crash, which reads the whole log, stays quick.
                try db.execute(sql: "PRAGMA wal_autocheckpoint = \(logSize / 4_096)")
                try db.execute(sql: "PRAGMA journal_size_limit = \(logSize)")
                if let maximumPageCount { try db.execute(sql: "PRAGMA max_page_count = \(maximumPageCount)") }
            }
        }
        return configuration
    }

    // MARK: Size

    /// What the file and its side files take, in bytes.
    var diskBytes: Int {
        let path = FileSystem.target(of: path)
        return FileSystem.sideFiles.reduce(0) { $0 + FileSystem.size(of: path + $1) }
    }

    /// Folds the log into the file when SQLite has not come to it by itself: it begins anew only when no reader is at
    /// it, which may not be for long when it is written without pause. Tried after each commit, it does not wait.
    func keepLogShort(_ db: Database) {
        guard FileSystem.size(of: FileSystem.target(of: path) + "-wal") > logSize * 3 / 2 else { return }
        // Not done: the next commit tries again.
        waiting(.zero) { _ = try? db.checkpoint(.truncate) }
    }

    // MARK: Health

    /// Says once when other users may read the file.
    private func warnIfExposed() {
        guard let mode = FileSystem.mode(of: path), mode & 0o077 != 0 else { return }
        let isNew = status.withLock { status in
            defer { status.isExposed = true }
            return !status.isExposed
        }
        if !isNew { return }
        logger.warning(
            """
            \(path) has mode \(String(mode, radix: 8)), so other users of this machine can use what is cached in it; \
            unless that is meant: chmod 600 \(FileSystem.sideFiles.map { path + $0 }.joined(separator: " "))
            """)
    }

    /// Moves a damaged file aside and lets every connection be opened anew.
    /// - Parameter epoch: when the connection that found the damage was opened.
    /// - Throws: ``SQLiteBackendError`` when it may be somebody else's: this process has not used it, and it has no mark.
    func replaceDamaged(epoch: Int, error: any Error) throws {
        try change { status in
            if status.epoch != epoch { return }
            guard let identity = status.identity ?? FileSystem.Identity(path: path) else { return }
            if try status.identity == nil && FileOwner(path: path) != .perennial {
                throw SQLiteBackendError.foreign(path: path)
            }
            guard startsAnewWhenDamaged else { throw SQLiteBackendError.damaged(path: path, error) }
            if let aside = try FileSystem.moveAside(FileSystem.target(of: path), ifStill: identity) {
                logger.error(
                    "\(path) is damaged (\(error)); it was moved to \(aside) and the cache starts empty")
            }
            status.epoch += 1
            status.identity = nil
        }
    }

    /// Notices that the file of this name is another one, or gone: moved aside by another process, or deleted.
    func noticeReplacement() {
        let now = FileSystem.Identity(path: path)
        let replaced: Bool = change { status in
            guard let identity = status.identity, identity != now, !status.isClosed else { return false }
            status.epoch += 1
            status.identity = nil
            return true
        }
        if replaced { logger.warning("\(path) was replaced or deleted; opening it anew") }
    }

    /// Says once that writing fails.
    func writingFailed(_ error: any Error) {
        let isReadOnly =
            (error as? DatabaseError)?.isAboutAccess ?? (error as? SQLiteBackendError).map { $0.reason != .locked }
            ?? false
        let isNew = change { status in
            status.isReadOnly = isReadOnly
            defer { status.trouble = String(describing: error) }
            return status.trouble == nil
        }
        if isNew { logger.error("nothing can be saved in \(path) for now: \(error)") }
    }

    /// Says once that writing works again.
    func writingWorked() {
        let healed = change { status in
            guard status.trouble != nil else { return false }
            status.trouble = nil
            status.isReadOnly = false
            // Readers may have been opened for a medium that never changes.
            status.epoch += 1
            return true
        }
        if healed { logger.notice("\(path) can be written to again") }
    }
}

/// How long work waits for a lock on the file that another program has.
struct LockPatience: Sendable {
    /// The first time; as long as for a server that does not answer.
    var timeout = Duration.seconds(1)
    /// While the file is known to be locked, work fails at once, but for one piece after each pause, which waits little.
    var pause = Duration.seconds(1)

    static let whileLocked = Duration.milliseconds(10)
}

extension DatabaseError {
    /// The file is not what SQLite wrote.
    var isDamage: Bool {
        let code = resultCode.primaryResultCode
        return code == .SQLITE_CORRUPT || code == .SQLITE_NOTADB
    }

    /// The file or its folder can't be used as they should be; a new connection may do better.
    var isAboutAccess: Bool {
        [
            .SQLITE_READONLY, .SQLITE_CANTOPEN, .SQLITE_PERM, .SQLITE_IOERR, .SQLITE_AUTH, .SQLITE_PROTOCOL,
            .SQLITE_NOLFS,
        ]
        .contains(resultCode.primaryResultCode)
    }
}
