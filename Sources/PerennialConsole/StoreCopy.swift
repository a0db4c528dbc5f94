public import Perennial

/// Brings the entries of one store into another, of any engine. What is already there, as new or newer, is left as it is: so it
/// may be stopped and begun again, and readers may use both stores meanwhile.
public struct StoreCopy: Sendable {
    /// How far it has come.
    public struct Progress: Hashable, Sendable, Codable {
        /// Written to the other store.
        public var copied = 0
        /// Left out: the other store has it as new or newer.
        public var kept = 0
        /// Left out: dead, removed meanwhile, of no sense, or nothing that the other store can keep.
        public var dropped = 0
        /// Bytes of the values that were copied.
        public var bytes = 0

        public init() {}

        /// All that has been looked at.
        public var seen: Int { copied + kept + dropped }
    }

    private enum Ending: Sendable {
        case copied(bytes: Int)
        /// Somebody has written a newer one just now.
        case kept
        case dropped
    }

    private let source: any Store
    private let target: any Store
    private let time: any TimeSource

    public init(from source: any Store, to target: any Store, time: any TimeSource = SystemTime()) {
        self.source = source
        self.target = target
        self.time = time
    }

    /// - Parameters:
    ///   - cache: only this cache's entries; `nil`: all.
    ///   - report: called now and then.
    /// - Throws: what either store throws; what was copied until then stays.
    @discardableResult
    public func run(cache: String? = nil, report: (Progress) -> Void = { _ in }) async throws -> Progress {
        var progress = Progress()
        var last: EntryKey?
        while true {
            let page = try await source.list(cache: cache, tag: nil, after: last, limit: 200)
            guard let end = page.last?.key else { return progress }
            last = end
            try await copy(page, &progress)
            report(progress)
        }
    }

    private func copy(_ page: [EntryMetadata], _ progress: inout Progress) async throws {
        let now = time.now
        let keys = page.filter { $0.deadAt > now }.map(\.key)
        progress.dropped += page.count - keys.count
        let (records, known) = (try await source.read(keys), try await target.read(keys))
        try await withThrowingTaskGroup(of: Ending.self) { group in
            for (record, known) in zip(records, known) {
                guard let entry = record.entry else {
                    progress.dropped += 1
                    continue
                }
                if let there = known.entry?.metadata, there.confirmedAt >= entry.metadata.confirmedAt {
                    progress.kept += 1
                    continue
                }
                group.addTask { [target] in
                    do {
                        switch try await target.save(entry, fence: known.fence, releasing: nil) {
                        case .saved: return .copied(bytes: entry.bytes.count)
                        case .superseded: return .kept
                        case .notKept: return .dropped
                        }
                    } catch is NotStorable {
                        return .dropped
                    }
                }
            }
            for try await ending in group {
                switch ending {
                case .copied(let bytes):
                    progress.copied += 1
                    progress.bytes += bytes
                case .kept: progress.kept += 1
                case .dropped: progress.dropped += 1
                }
            }
        }
    }
}
