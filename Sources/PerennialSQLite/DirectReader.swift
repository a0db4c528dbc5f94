import Dispatch
import Foundation
import GRDB
import Perennial
import Synchronization

/// A connection that is read on its callers' threads, by one at a time, for as long as nobody would have to wait: neither for
/// another caller, nor for another process, nor for the disk.
///
/// It mends nothing. Whoever gets no answer asks the reading lane, which meets the same trouble and deals with it.
final class DirectReader: Sendable {
    enum Found {
        case records([StoreRecord])
        /// Somebody else is reading.
        case busy
        /// Not now.
        case unable
    }

    /// What is larger, in bytes, is for others to read: it takes long.
    static let largest = 64 << 10

    private struct State {
        var connection: DatabaseQueue?
        var epoch = 0
        var pace = ReadPace()
        var isOpening = false
    }

    private let file: DatabaseFile
    private let state = Mutex(State())
    private let opening = DispatchQueue(label: "perennial.sqlite.direct", qos: .userInitiated)

    init(_ file: DatabaseFile) {
        self.file = file
    }

    func records(_ keys: [EntryKey], unreadable: (EntryKey) -> Void) -> Found {
        state.withLockIfAvailable { state in
            let began = ContinuousClock.now
            guard state.pace.allows(at: began) else { return .unable }
            guard let connection = connection(&state) else { return .unable }
            let waits = threadWaits()
            func hasWaited() -> Bool { waits == nil || threadWaits() != waits }
            var records: [StoreRecord] = []
            records.reserveCapacity(keys.count)
            do {
                try connection.inDatabase { db in
                    try db.run("BEGIN")
                    defer { _ = try? db.run("COMMIT") }
                    let transaction = try Transaction(db)
                    for key in keys where state.pace.note(since: began, at: .now, hasWaited: hasWaited()) {
                        guard let record = try transaction.record(key, upTo: Self.largest, unreadable: unreadable)
                        else { break }
                        records.append(record)
                    }
                }
                _ = state.pace.note(since: began, at: .now, hasWaited: hasWaited())
            } catch {
                state.connection = nil
                state.pace.rest(from: .now)
            }
            return records.count == keys.count ? .records(records) : .unable
        } ?? .busy
    }

    func close() async {
        await withCheckedContinuation { continuation in
            opening.async {
                self.state.withLock { $0.connection = nil }
                continuation.resume()
            }
        }
    }

    /// Closes a connection that may not stay open, also where nobody reads.
    func tidy() {
        state.withLockIfAvailable { state in
            if !mayKeep(state.epoch) { state.connection = nil }
        }
    }

    /// See there: to a file that can't be written, no connection may stay open.
    private func mayKeep(_ epoch: Int) -> Bool { !file.isReadOnly && epoch == file.epoch }

    /// The connection, if it is open and the file still the same; else it is opened meanwhile, since that takes long.
    private func connection(_ state: inout State) -> DatabaseQueue? {
        let epoch = file.epoch
        if !mayKeep(state.epoch) { state.connection = nil }
        if state.connection == nil, !state.isOpening, !file.isReadOnly {
            state.isOpening = true
            opening.async { [self] in
                let opened = try? file.open(.direct)
                self.state.withLock { state in
                    (state.connection, state.epoch, state.isOpening) = (opened, epoch, false)
                    if !mayKeep(state.epoch) { state.connection = nil }
                    // Not again and again where it fails.
                    if state.connection == nil { state.pace.rest(from: .now) }
                }
            }
        }
        return state.connection
    }
}

/// Whether reading on a caller's thread is quick. Where it was not, the file is not in the system's memory, and callers are not
/// kept waiting for the next second.
struct ReadPace {
    /// How long reads that go together may take. A read out of the system's memory takes some microseconds, one from a disk
    /// up to some milliseconds.
    static let limit = Duration.milliseconds(3)
    static let pause = Duration.seconds(1)

    private var restingUntil: ContinuousClock.Instant?

    func allows(at now: ContinuousClock.Instant) -> Bool {
        restingUntil.map { now >= $0 } ?? true
    }

    /// - Parameter hasWaited: whether the thread waited for something meanwhile. One that was only made to stand back for others did
    ///   not, and it would fare no better elsewhere.
    /// - Returns: whether to go on.
    mutating func note(
        since began: ContinuousClock.Instant, at now: ContinuousClock.Instant, hasWaited: @autoclosure () -> Bool
    ) -> Bool {
        if now - began <= Self.limit || !hasWaited() { return true }
        rest(from: now)
        return false
    }

    mutating func rest(from now: ContinuousClock.Instant) {
        restingUntil = now + Self.pause
    }
}

/// How often the calling thread has waited: for a disk, a lock, a time; `nil` where the system does not say.
private func threadWaits() -> Int? {
    #if os(Linux)
        var usage = rusage()
        // RUSAGE_THREAD, which the headers hide from Swift.
        if getrusage(1, &usage) == 0 { return usage.ru_nvcsw }
    #endif
    return nil
}
