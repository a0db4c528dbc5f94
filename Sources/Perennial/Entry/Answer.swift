/// What a reader got, and how.
public struct Answer<Value: Sendable>: Sendable {
    /// The state in which the key was found.
    public let state: State
    /// Where the value came from.
    public let source: Source
    /// Why an expired value is served, if one is.
    public let note: Note?
    /// Whether this reader joined another reader's fetch.
    public let isCollapsed: Bool
    /// When the answer was made.
    public let answeredAt: Timestamp
    @usableFromInline
    let entry: Entry<Value>?

    @inlinable
    init(
        _ entry: Entry<Value>?, state: State, source: Source, note: Note? = nil, isCollapsed: Bool = false,
        isRefreshing: Bool = false, at now: Timestamp
    ) {
        self.entry = entry
        self.state = state
        self.source = source
        self.note = note
        self.isCollapsed = isCollapsed
        self.isRefreshing = isRefreshing
        self.answeredAt = now
    }

    /// Where an answer's value came from.
    public enum Source: String, Sendable, Hashable, Codable {
        case memory, store, origin
    }

    /// Why an expired value is served.
    public enum Note: Sendable {
        /// The origin failed, and the entry is younger than `staleIfError`.
        case originFailed(any Error)
        /// The soft time-out passed; the fetch goes on by itself.
        case originSlow
    }

    /// The value; `nil` when the origin said "no such thing" or the answer is not shared.
    @inlinable
    public var value: Value? { entry?.value }

    /// Whether the origin said "no such thing".
    @inlinable
    public var isAbsent: Bool { entry.map { $0.value == nil } ?? false }

    /// `false`: the fetch said that what it got may be neither kept nor shared. Whoever's closure ran has got it
    /// through that closure; everybody else asks by themselves.
    @inlinable
    public var isShared: Bool { entry != nil }

    /// The age when the answer was made.
    public var age: Duration { entry?.age(at: answeredAt) ?? .zero }

    /// When the entry changes state; `nil` when the answer is not shared.
    @inlinable
    public var freshness: Freshness? { entry?.freshness }

    /// Whether a refresh is queued or running, as far as this process knows.
    public let isRefreshing: Bool

    public var limits: Limits? { entry?.limits }
    public var tags: [String] { entry?.tags ?? [] }
    public var validator: Validator? { entry?.validator }
    /// The write that made the entry; zero: it is in memory only.
    public var generation: Generation { entry?.generation ?? .zero }
    /// When this value was first saved.
    public var savedAt: Timestamp? { entry?.savedAt }
}

extension Answer: CustomStringConvertible {
    /// The value, then where it came from, for example `Ada (stale, from memory, 4000.0 seconds old)`.
    public var description: String {
        guard isShared else { return "not shared (from \(source))" }
        let subject = value.map { String(describing: $0) } ?? "absent"
        return "\(subject) (\(state), from \(source), \(age) old)"
    }
}
