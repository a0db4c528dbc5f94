import Foundation
import GRDB
public import Logging
public import Perennial
import Synchronization

/// Entries and refresh jobs in one SQLite file, which several processes may share.
///
/// ```swift
/// let backend = try SQLiteBackend(path: "cache.sqlite", sizeLimit: 1_000_000_000)
/// ```
///
/// **What it promises.** What was saved survives the end of this process, however it ends. After a crash of the whole
/// machine the file is undamaged, but may lack the last moments before it (`synchronous=NORMAL` with a write-ahead
/// log).
///
/// **Damage.** A file of Perennial's that is no sound database any more is moved to `NAME.damaged-TIME`, with one line
/// in the log, and the cache starts empty. A file that has no mark of Perennial's is refused, and left as it is. While
/// the disk is full or the file can't be written to, writing throws and reading goes on; it heals by itself.
///
/// **Locks.** Another program that keeps the file locked costs work that writes one second, once; then it throws at
/// once until the lock is free again, which is looked at once a second. Reading goes on.
///
/// **Threads.** Work runs on three threads of its own, one a connection: writing, reading, and looking through. Only
/// ``readNow(_:)`` reads on its caller's thread, on connections that are for that alone, and only while the file is in
/// the system's memory, so that nobody waits for a disk.
public final class SQLiteBackend: Sendable {
    private let file: DatabaseFile
    private let writer: Lane
    private let reader: Lane
    private let browser: Lane
    /// For reading on callers' threads: as many as can at once.
    private let direct: [DirectReader]
    private let watch: Watch
    private let watching: Task<Void, Never>
    private let sizeLimit: Int?
    private let time: any TimeSource
    private let logger: Logger
    private let unreadable = Atomic(0)
    private let seenRings = Atomic(0)
    private let served = Mutex(Set<String>())
    private let leaseCursor = Mutex(EntryKey?.none)

    /// Opens the file; creates it, readable and writable only by its owner, and its folder, if they are missing.
    /// - Parameters:
    ///   - path: the file's path.
    ///   - sizeLimit: the bytes above which the least recently used entries make room, whenever something is written;
    ///     default: none. An entry counts with its value, its texts and 256 bytes, a removed key with 48. The file
    ///     takes up to a tenth and 4 MB more; the log beside it an eighth of the limit, at least 4 MB and at most 64
    ///     MB, and twice that for moments.
    ///   - startsAnewWhenDamaged: whether a damaged file is moved aside, with an error in the log, and an empty one
    ///     takes its place; else using it is an error. Default: `true`.
    ///   - isForLooking: whether the file, which must be there, is only looked at: nothing of it is changed, nothing is
    ///     left beside it, and writing throws. Default: `false`.
    ///   - time: what waiting for jobs waits on.
    ///   - logger: told when the file's health changes.
    /// - Throws: ``SQLiteBackendError`` when the file is not Perennial's, newer than this program, or can't be opened.
    public convenience init(
        path: String, sizeLimit: Int? = nil, startsAnewWhenDamaged: Bool = true, isForLooking: Bool = false,
        time: any TimeSource = SystemTime(), logger: Logger = Logger(label: "perennial.sqlite")
    ) throws {
        try self.init(
            path: path, sizeLimit: sizeLimit, maximumPageCount: nil, startsAnewWhenDamaged: startsAnewWhenDamaged,
            isForLooking: isForLooking, time: time, logger: logger)
    }

    /// - Parameter maximumPageCount: how large SQLite may make the file: a full disk, for tests.
    init(
        path: String, sizeLimit: Int?, maximumPageCount: Int?, startsAnewWhenDamaged: Bool = true,
        isForLooking: Bool = false, lockPatience: LockPatience = LockPatience(), time: any TimeSource, logger: Logger
    ) throws {
        let file = DatabaseFile(
            path: path, sizeLimit: sizeLimit, maximumPageCount: maximumPageCount,
            startsAnewWhenDamaged: startsAnewWhenDamaged, isForLooking: isForLooking, lockPatience: lockPatience,
            logger: logger)
        let watch = Watch()
        self.file = file
        self.watch = watch
        self.sizeLimit = sizeLimit
        self.time = time
        self.logger = logger
        writer = Lane(file, .writer, sizeLimit: sizeLimit, willCommit: watch.willCommit, didCommit: watch.didCommit)
        reader = Lane(file, .reader)
        direct = (0..<min(ProcessInfo.processInfo.activeProcessorCount, 8)).map { _ in DirectReader(file) }
        let browser = Lane(file, .browser)
        self.browser = browser
        do {
            watch.begin(try (isForLooking ? browser : writer).performNow(\.ledger), epoch: file.epoch)
        } catch {
            let error = SQLiteBackendError(opening: path, error)
            guard [.readOnly, .cannotOpen, .locked].contains(error.reason),
                let ledger = try? browser.performNow(\.ledger)
            else { throw error }
            file.writingFailed(error)
            watch.begin(ledger, epoch: file.epoch)
        }
        watching = Task.detached { [direct] in
            var looks = 0
            while (try? await Task.sleep(for: .milliseconds(50))) != nil {
                looks += 1
                if looks % 20 == 0 { file.noticeReplacement() }
                for reader in direct { reader.tidy() }
                let epoch = file.epoch
                try? await browser.perform { try watch.look($0, epoch: epoch) }
            }
        }
    }

    deinit {
        watching.cancel()
        watch.feed.finish()
    }

    /// Finishes what was begun and closes the file. Afterwards every method throws.
    public func close() async {
        watching.cancel()
        file.close()
        watch.feed.finish()
        watch.bell.ring()
        await reader.close()
        for reader in direct { await reader.close() }
        await browser.close()
        // Last, so that it folds the log into the file.
        await writer.close()
    }

    /// How many times something was read that made no sense, and was taken for missing.
    public var unreadableCount: Int { unreadable.load(ordering: .relaxed) }

    private func noteUnreadable(_ key: EntryKey) {
        if unreadable.add(1, ordering: .relaxed).oldValue == 0 {
            logger.warning("\(key) in \(file.path) makes no sense and is taken for missing; more will only be counted")
        }
    }
}

extension SQLiteBackendError {
    init(opening path: String, _ error: any Error) {
        if (error as? DatabaseError)?.resultCode == .SQLITE_BUSY {
            self = .locked(path: path, for: LockPatience().timeout)
        } else {
            self = error as? SQLiteBackendError ?? .cannotOpen(path: path, String(describing: error))
        }
    }
}

extension SQLiteBackend: Backend {
    public var store: any Store { self }
    public var queue: any RefreshQueue { self }

    public func claimRefresh(
        _ job: RefreshJob, leaseUntil: Timestamp, now: Timestamp
    ) async throws -> ClaimOutcome {
        try await writer.perform { [self] transaction in
            try transaction.claim(job, leaseUntil: leaseUntil, now: now)
                ?? .newer(transaction.record(job.key, unreadable: noteUnreadable))
        }
    }
}

extension SQLiteBackend: Store {
    public func read(_ keys: [EntryKey]) async throws -> [StoreRecord] {
        try await reader.perform { [self] transaction in
            try keys.map { try transaction.record($0, unreadable: noteUnreadable) }
        }
    }

    public func readNow(_ keys: [EntryKey]) -> [StoreRecord]? {
        if keys.count > 256 { return nil }
        for reader in direct {
            switch reader.records(keys, unreadable: noteUnreadable) {
            case .records(let records): return records
            case .busy: continue
            case .unable: return nil
            }
        }
        return nil
    }

    public func save(_ entry: StoredEntry, fence: Generation?, releasing: LeaseToken?) async throws -> SaveOutcome {
        try await writer.perform(weight: entry.bytes.count) {
            try $0.save(entry, fence: fence, releasing: releasing)
        }
    }

    public func confirm(
        _ metadata: EntryMetadata, fence: Generation?, releasing: LeaseToken?
    ) async throws -> SaveOutcome {
        try await writer.perform { try $0.confirm(metadata, fence: fence, releasing: releasing) }
    }

    public func lease(
        _ keys: [EntryKey], token: LeaseToken, until: Timestamp, now: Timestamp
    ) async throws -> [LeaseOutcome] {
        try await writer.perform { [self] transaction in
            try keys.map { key in
                let held = try transaction.takeLease(key, token: token, until: until, now: now)
                let record = try transaction.record(key, unreadable: noteUnreadable)
                return held.map { .held(until: $0, record) } ?? .granted(record)
            }
        }
    }

    public func extendLease(
        _ key: EntryKey, token: LeaseToken, until: Timestamp, now: Timestamp
    ) async throws -> Bool {
        try await writer.perform { try $0.takeLease(key, token: token, until: until, now: now) == nil && until > now }
    }

    public func releaseLease(_ key: EntryKey, token: LeaseToken) async throws {
        try await writer.perform { try $0.releaseLease(key, token: token) }
    }

    public func markStale(_ selection: Selection, now: Timestamp) async throws -> Int {
        try await writer.perform { try $0.markStale(selection, now: now) }
    }

    public func remove(_ selection: Selection, now: Timestamp) async throws -> Int {
        try await writer.perform { try $0.remove(selection, now: now) }
    }

    public func list(cache: String?, tag: String?, after: EntryKey?, limit: Int) async throws -> [EntryMetadata] {
        try await browser.perform { try $0.list(cache: cache, tag: tag, after: after, limit: limit) }
    }

    public func touch(_ keys: [EntryKey], now: Timestamp) async throws {
        if keys.isEmpty { return }
        try await writer.perform { transaction in
            for key in keys { try transaction.touch(key, now: now) }
        }
    }

    public func saveHotKeys(_ keys: [String], cache: String) async throws {
        try await writer.perform { try $0.saveHotKeys(keys, cache: cache) }
    }

    public func hotKeys(cache: String, page: Int) async throws -> [String] {
        try await browser.perform { try $0.hotKeys(cache: cache, page: page) }
    }

    public func identity() async throws -> String? {
        if let known = try await browser.perform({ try $0.identity() }) { return known }
        return try await writer.perform { try $0.makeIdentity() }
    }

    public func changes() -> AsyncStream<[StoreChange]> {
        watch.feed.subscribe()
    }

    public func maintain(now: Timestamp) async throws -> MaintenanceReport {
        let cursor = leaseCursor.withLock { $0 }
        let (report, next) = try await writer.perform { transaction in
            let next = try transaction.forgetLeases(now: now, after: cursor, batch: 1_000)
            return (try transaction.maintain(now: now, batch: 500), next)
        }
        leaseCursor.withLock { $0 = next }
        return report
    }

    public func statistics() async throws -> StoreStatistics {
        try await browser.perform { [sizeLimit, file] transaction in
            let ledger = transaction.ledger
            return StoreStatistics(
                entries: Int(ledger.entries), bytes: Int(ledger.counted), limit: sizeLimit,
                tombstones: Int(ledger.marks), diskBytes: file.diskBytes)
        }
    }
}

extension SQLiteBackend: RefreshQueue {
    public func enqueue(_ job: RefreshJob, notBefore: Timestamp, now: Timestamp) async throws -> Bool {
        try await writer.perform { try $0.enqueue(job, notBefore: notBefore) }
    }

    public func dequeue(
        caches: [String], limit: Int, worker: String, until: Timestamp, now: Timestamp
    ) async throws -> [Delivery] {
        seenRings.store(watch.bell.rings, ordering: .relaxed)
        served.withLock { $0.formUnion(caches) }
        return try await writer.perform {
            try $0.dequeue(caches: caches, limit: limit, worker: worker, until: until, now: now)
        }
    }

    public func extend(_ deliveries: [Delivery], until: Timestamp) async throws -> [Delivery] {
        try await writer.perform { transaction in
            try deliveries.filter { try transaction.extend($0, until: until) }
        }
    }

    public func complete(_ deliveries: [Delivery]) async throws {
        try await writer.perform { transaction in
            for delivery in deliveries { try transaction.complete(delivery) }
        }
    }

    public func retry(_ delivery: Delivery, at: Timestamp, error: String) async throws {
        try await writer.perform { try $0.retry(delivery, at: at, error: error) }
    }

    public func giveBack(_ delivery: Delivery, at: Timestamp) async throws {
        try await writer.perform { try $0.giveBack(delivery, at: at) }
    }

    public func bury(_ delivery: Delivery, error: String, now: Timestamp) async throws {
        try await writer.perform { try $0.bury(delivery, error: error, now: now) }
    }

    public func jobs(state: JobState?, after: JobID?, limit: Int) async throws -> [JobRecord] {
        try await browser.perform { try $0.jobs(state: state, after: after, limit: limit) }
    }

    public func replay(_ id: JobID?, now: Timestamp) async throws -> Int {
        try await writer.perform { try $0.replay(id, now: now) }
    }

    public func counts() async throws -> [JobState: Int] {
        try await browser.perform { transaction in
            let ledger = transaction.ledger
            return [.queued: Int(ledger.queued), .running: Int(ledger.running), .dead: Int(ledger.dead)]
        }
    }

    public func correctTimes(
        caches: [String], queuedAfter: Timestamp, dueAfter: Timestamp, heldAfter: Timestamp, now: Timestamp
    ) async throws -> Int {
        try await writer.perform { transaction in
            try caches.reduce(0) { count, cache in
                try count
                    + transaction.correctTimes(
                        cache: cache, queuedAfter: queuedAfter, dueAfter: dueAfter, heldAfter: heldAfter, now: now)
            }
        }
    }

    public func waitForJobs(timeout: Duration) async {
        let seen = seenRings.exchange(watch.bell.rings, ordering: .relaxed)
        let now = time.now
        let caches = served.withLock { $0 }
        let due = try? await browser.perform { try $0.nextDue(caches: caches, after: now) }
        await watch.bell.wait(after: seen, timeout: due.map { min(timeout, $0 - now) } ?? timeout, time: time)
    }
}
