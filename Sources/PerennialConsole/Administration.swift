public import Perennial
public import PerennialHTTP

/// What an operator can see and do, over any store and queue: the one implementation behind the command line
/// and the admin API.
public struct Administration: Sendable {
    let store: any Store
    private let queue: any RefreshQueue
    let cache: String
    private let origin: OriginURL?
    let time: any TimeSource

    /// - Parameters:
    ///   - cache: the cache whose entries are looked at; the gateway's is `http`.
    ///   - origin: completes a path that is given alone, for example `https://api.example.com`; `nil`: taken from
    ///     the entries, when they are all of one origin.
    public init(
        store: any Store, queue: any RefreshQueue, cache: String = "http", origin: OriginURL? = nil,
        time: any TimeSource = SystemTime()
    ) {
        self.store = store
        self.queue = queue
        self.cache = cache
        self.origin = origin
        self.time = time
    }

    // MARK: Looking

    /// Entries in the order of their addresses.
    /// - Parameters:
    ///   - prefix: only those whose address begins with this; a path alone is completed with the origin.
    ///   - tag: only those with this tag.
    ///   - after: a `next` of an earlier page; `nil`: from the start.
    ///   - limit: at most this many.
    public func entries(
        prefix: String? = nil, tag: String? = nil, after: String? = nil, limit: Int
    ) async throws -> Page<EntryReport> {
        let prefix = try await absolute(prefix)
        let now = time.now
        // One more than asked for tells whether there is a next page.
        let found = try await page(prefix: prefix, tag: tag, after: after, limit: limit + 1)
        let items = found.prefix(limit)
        return Page(
            items: items.map { EntryReport($0, now: now) }, next: found.count > limit ? items.last?.key.key : nil)
    }

    /// - Parameter prefix: the beginning of the keys; empty: all.
    func page(prefix: String, tag: String?, after: String?, limit: Int) async throws -> [EntryMetadata] {
        var found: [EntryMetadata] = []
        if after == nil, !prefix.isEmpty, let exact = try await read(prefix)?.metadata,
            tag.map(exact.tags.contains) ?? true
        {
            found.append(exact)
        }
        let start = max(after ?? "", prefix)
        let rest = try await store.list(
            cache: cache, tag: tag, after: start.isEmpty ? nil : EntryKey(cache: cache, key: start), limit: limit)
        found += rest.prefix { $0.key.key.hasPrefix(prefix) }
        return found
    }

    /// Everything about the entries of one address: one, or one a variant.
    /// - Throws: ``AdministrationError`` when nothing is saved for it.
    public func details(of url: String) async throws -> [EntryDetail] {
        let primary = try await primaryKey(url)
        let keys = try await keys(of: primary)
        let now = time.now
        let jobs = try await jobs(of: Set(keys))
        let details = try await store.read(keys).compactMap(\.entry).map { entry in
            EntryDetail(
                entry: EntryReport(entry.metadata, now: now), response: ResponseReport(entry),
                job: jobs[entry.metadata.key].map { JobReport($0, now: now) })
        }
        guard !details.isEmpty else { throw await nothingSaved(for: primary) }
        return details
    }

    /// Refresh jobs in the order of their ids.
    public func jobs(state: JobState? = nil, after: String? = nil, limit: Int) async throws -> Page<JobReport> {
        let found = try await queue.jobs(state: state, after: after, limit: limit + 1)
        let items = found.prefix(limit)
        let now = time.now
        return Page(items: items.map { JobReport($0, now: now) }, next: found.count > limit ? items.last?.id : nil)
    }

    /// How much is in the store and the queue.
    public func statistics() async throws -> StatisticsReport {
        let counts = try await queue.counts()
        return StatisticsReport(
            store: try await store.statistics(),
            jobs: .init(
                queued: counts[.queued, default: 0], running: counts[.running, default: 0],
                dead: counts[.dead, default: 0]))
    }

    // MARK: Doing

    /// Queues a dead letter again; `nil`: all of them.
    /// - Returns: how many.
    /// - Throws: ``AdministrationError`` when there is no dead letter of this id.
    public func replay(_ id: JobID?) async throws -> Int {
        let count = try await queue.replay(id, now: time.now)
        if let id, count == 0 {
            throw AdministrationError(.notFound, "there is no dead letter \(id); list them with: perennial jobs --dead")
        }
        return count
    }

    // MARK: Finding

    /// The key of the address itself, whether or not it is there, and those of its variants.
    private func keys(of primary: String) async throws -> [EntryKey] {
        var keys = [EntryKey(cache: cache, key: primary)]
        while true {
            let page = try await store.list(cache: cache, tag: nil, after: keys.last, limit: 100)
            let own = page.map(\.key).prefix { $0.key.hasPrefix(primary + " ") }
            keys += own
            if own.count < 100 { return keys }
        }
    }

    /// The key without a variant for what somebody typed.
    func primaryKey(_ url: String) async throws -> String {
        if url.hasPrefix("/") {
            let origin = try await soleOrigin()
            return try valid { () throws(AddressError) in try origin.key(forInput: url) }
        }
        return try valid { () throws(AddressError) in try OriginURL(ofAddress: url).key(forInput: url) }
    }

    /// The beginning of addresses, or a pattern of them: what was typed, or behind the origin when it is a path.
    /// - Throws: ``AdministrationError`` for what no address begins with.
    func absolute(_ text: String?) async throws -> String {
        guard let text else { return "" }
        if text.hasPrefix("/") { return "\(try await soleOrigin())\(text)" }
        let start = text.prefix { $0 != "*" }
        guard ["http://", "https://"].contains(where: { $0.hasPrefix(start) || start.hasPrefix($0) }) else {
            throw AdministrationError(
                .invalid, "no address begins with “\(text)”; write a path, like /\(text), or the whole address")
        }
        return text
    }

    private func valid<Result>(_ make: () throws(AddressError) -> Result) throws(AdministrationError) -> Result {
        do {
            return try make()
        } catch {
            throw AdministrationError(.invalid, error.description)
        }
    }

    private func soleOrigin() async throws -> OriginURL {
        if let origin { return origin }
        guard let first = try await store.list(cache: cache, tag: nil, after: nil, limit: 1).first,
            let origin = try? OriginURL(ofAddress: KeyParts(first.key.key).url)
        else {
            throw AdministrationError(.notFound, "the store is empty, so a path alone names nothing")
        }
        // "0" follows "/": this looks right behind the last address of that origin.
        let behind = EntryKey(cache: cache, key: "\(origin)0")
        if let other = try await store.list(cache: cache, tag: nil, after: behind, limit: 1).first {
            throw AdministrationError(
                .invalid,
                "the store has entries of several origins (\(origin), and that of \(KeyParts(other.key.key).url)); "
                    + "give the whole address, or --origin")
        }
        return origin
    }

    private func read(_ key: String) async throws -> StoredEntry? {
        try await store.read([EntryKey(cache: cache, key: key)]).first?.entry
    }

    /// Queues are asked by id, not by key, so this looks through the jobs, and gives up behind 20,000 of them.
    private func jobs(of keys: Set<EntryKey>) async throws -> [EntryKey: JobRecord] {
        var found: [EntryKey: JobRecord] = [:]
        var last: JobID?
        for _ in 0..<20 where found.count < keys.count {
            let page = try await queue.jobs(state: nil, after: last, limit: 1000)
            for job in page where keys.contains(job.key) { found[job.key] = job }
            guard page.count == 1000 else { break }
            last = page.last?.id
        }
        return found
    }

    func nothingSaved(for address: String) async -> AdministrationError {
        var text = "nothing is saved for \(address)"
        // Perhaps it is the gateway's own address.
        if let origin = try? await soleOrigin(), let other = try? OriginURL(ofAddress: address),
            "\(other)" != "\(origin)", !address.hasPrefix("\(origin)/")
        {
            let path = address.dropFirst("\(other)".utf8.count)
            text += "; the entries have their addresses at the origin, \(origin), not at the gateway: try \(path)"
        }
        return AdministrationError(.notFound, text)
    }
}

/// Why an operator's wish can't be granted, in one line.
public struct AdministrationError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Kind: Hashable, Sendable {
        /// What was named is not there.
        case notFound
        /// What was asked makes no sense.
        case invalid
        /// What was sent is larger than what is kept.
        case tooLarge
    }

    public let kind: Kind
    public let description: String

    public init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }
}
