/// Why the origin is asked.
public enum FetchReason: Sendable, Hashable {
    /// A reader waits; there is no entry.
    case missing
    /// A reader waits; there is an expired entry.
    case expired
    /// A reader waits who did not accept the entry, though it has not expired.
    case notAccepted
    /// Nobody waits. Attempts count from 1.
    case refresh(attempt: Int)
}

/// What a fetch is told.
public struct FetchContext<Value: Sendable>: Sendable {
    public let reason: FetchReason
    /// What was there before, with its validator and age; also when it has expired.
    public let previous: Entry<Value>?
    /// The hard time-out: the fetch's task is cancelled then.
    public let deadline: Timestamp
    private let noteAnswer: @Sendable () -> Void

    /// For tests of a fetch.
    public init(reason: FetchReason, previous: Entry<Value>?, deadline: Timestamp) {
        self.init(reason: reason, previous: previous, deadline: deadline, noteAnswer: {})
    }

    init(
        reason: FetchReason, previous: Entry<Value>?, deadline: Timestamp, noteAnswer: @escaping @Sendable () -> Void
    ) {
        self.reason = reason
        self.previous = previous
        self.deadline = deadline
        self.noteAnswer = noteAnswer
    }

    /// Tells that the origin has begun to answer: readers wait for the rest beyond ``Policy/readerTimeout``.
    public func answerBegan() { noteAnswer() }
}

/// What a fetch may answer.
public struct Fetched<Value: Sendable>: Sendable {
    enum Kind: Sendable {
        case value(Value)
        case notModified
        case absent
        case notStored(Value?, keepsPrevious: Bool)
    }

    let kind: Kind
    var limits: Limits?
    var tags: [String]?
    var validator: Validator?
    var age: Duration = .zero
    /// Lives at least until the value has been saved.
    package private(set) var retained: (any Sendable)?

    /// A value.
    /// - Parameters:
    ///   - limits: its own limits; default: the policy's.
    ///   - tags: names to mark stale or remove it by, together with others.
    ///   - validator: what to ask with next time; comes back in ``FetchContext/previous``.
    ///   - age: how long ago the origin's own source confirmed it, when it answered. The time that the fetch took is
    ///     added.
    public static func value(
        _ value: Value, limits: Limits? = nil, tags: [String] = [], validator: Validator? = nil, age: Duration = .zero
    ) -> Fetched {
        Fetched(kind: .value(value), limits: limits, tags: tags, validator: validator, age: age)
    }

    /// The previous value is still the right one. Limits, tags and validator stay as they were unless given.
    public static func notModified(
        limits: Limits? = nil, tags: [String]? = nil, validator: Validator? = nil, age: Duration = .zero
    ) -> Fetched {
        Fetched(kind: .notModified, limits: limits, tags: tags, validator: validator, age: age)
    }

    /// There is no such thing. Remembered, by default with the policy's `absentLimits`.
    public static func absent(limits: Limits? = nil, tags: [String] = []) -> Fetched {
        Fetched(kind: .absent, limits: limits, tags: tags)
    }

    /// What came may be neither kept nor shared: it is for the reader whose call asked.
    ///
    /// With a value, readers who joined this fetch ask again, each by itself. Without one (the closure has passed what
    /// came on in another way) they get an answer with ``Answer/isShared`` `false`.
    /// - Parameter keepsPrevious: whether an entry that is there stays as it is, for other readers: what came says
    ///   nothing of it. Default: `false`, it is removed.
    public static func notStored(_ value: Value? = nil, keepsPrevious: Bool = false) -> Fetched {
        Fetched(kind: .notStored(value, keepsPrevious: keepsPrevious))
    }

    /// How long ago the origin's own source confirmed it, now: the time since the origin was asked counts, for that is
    /// when its answer may have been made (RFC 9111 §4.2.3).
    func age(askedAt: Timestamp, now: Timestamp) -> Duration {
        max(.zero, age) + max(.zero, now - askedAt)
    }

    /// The same, with an object that is kept alive until the store has taken the value or refused it: for example a
    /// reservation of the memory that the value takes meanwhile.
    package func retaining(_ object: any Sendable) -> Fetched {
        var fetched = self
        fetched.retained = object
        return fetched
    }
}

/// Asks the origin for one key.
public typealias Fetch<Key, Value: Sendable> = @Sendable (Key, FetchContext<Value>) async throws -> Fetched<Value>

/// Asks the origin for several keys at once. A key that is not in the result is absent.
public typealias BatchFetch<Key: Hashable, Value: Sendable> =
    @Sendable ([Key], _ deadline: Timestamp) async throws -> [Key: Fetched<Value>]

/// What a failure is about. The origin guard leaves alone what fails, and no more than that (``OriginGuard/Breaker``).
public enum OriginFailureScope: String, Hashable, Sendable, Codable {
    /// This one request: the origin works, and has answered. `Retry-After` is obeyed for the address.
    case request
    /// What was asked for: other addresses may work.
    case address
    /// The origin as a whole: it could not be connected to.
    case origin
    /// Nothing of the origin: it was not asked, since something was lacking on this side.
    case none
}

/// A failure that says more than others: when to come back, whether trying again can help, and what it is about. Any
/// other error that a fetch throws counts as one that may pass, and is about the address.
public struct OriginFailure: Error, Sendable, CustomStringConvertible {
    public var description: String
    /// The origin asked to be left alone for this long (RFC 9110 §10.2.3).
    public var retryAfter: Duration?
    /// Trying again will not help: a refresh becomes a dead letter at once.
    public var isPermanent: Bool
    /// What it is about.
    public var scope: OriginFailureScope

    /// - Parameter scope: default: the address.
    public init(
        _ description: String, retryAfter: Duration? = nil, isPermanent: Bool = false,
        scope: OriginFailureScope = .address
    ) {
        self.description = description
        self.retryAfter = retryAfter
        self.isPermanent = isPermanent
        self.scope = scope
    }
}

/// An error type of one's own may say what ``OriginFailure`` says.
public protocol OriginError: Error {
    /// The origin asked to be left alone for this long (RFC 9110 §10.2.3). What is left alone: what `scope` names, and
    /// the whole origin when several endpoints say so.
    var retryAfter: Duration? { get }
    /// Trying again will not help.
    var isPermanent: Bool { get }
    /// What the failure is about. Default: the address.
    var scope: OriginFailureScope { get }
}

extension OriginError {
    public var scope: OriginFailureScope { .address }
}

extension OriginFailure: OriginError {}

/// The origin is not asked now, or not for this address: it said `Retry-After`, or too many requests have failed.
public struct OriginUnavailable: Error, Sendable, CustomStringConvertible {
    /// When it will be asked again.
    public let retryAt: Timestamp
    public let description: String
}

/// The hard time-out passed.
public struct FetchTimeout: Error, Sendable, Hashable, CustomStringConvertible {
    public let timeout: Duration
    public var description: String { "the origin did not answer within \(timeout)" }
}

/// The origin says that there is no such thing.
public struct Absent: Error, Sendable, Hashable, CustomStringConvertible {
    public let key: EntryKey
    public var description: String { "the origin has no \(key)" }
}
