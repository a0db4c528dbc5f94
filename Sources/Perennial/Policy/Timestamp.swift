/// A point in time: whole milliseconds since 1970-01-01T00:00:00Z.
///
/// Entries outlive processes and are shared between machines, so their times are wall-clock times.
/// Arithmetic saturates instead of trapping: a limit of `Duration` years is "never", not a crash.
public struct Timestamp: Hashable, Comparable, Sendable, Codable {
    /// Milliseconds since the Unix epoch.
    public var milliseconds: Int64

    @inlinable
    public init(milliseconds: Int64) {
        self.milliseconds = milliseconds
    }

    /// Earlier than every other timestamp.
    public static let distantPast = Timestamp(milliseconds: .min)
    /// Later than every other timestamp.
    public static let distantFuture = Timestamp(milliseconds: .max)

    @inlinable
    public static func < (left: Timestamp, right: Timestamp) -> Bool {
        left.milliseconds < right.milliseconds
    }

    @inlinable
    public static func + (left: Timestamp, right: Duration) -> Timestamp {
        Timestamp(milliseconds: left.milliseconds.addingSaturated(right.milliseconds))
    }

    @inlinable
    public static func - (left: Timestamp, right: Duration) -> Timestamp {
        Timestamp(milliseconds: left.milliseconds.subtractingSaturated(right.milliseconds))
    }

    /// The time from `right` to `left`; negative when `left` is earlier.
    @inlinable
    public static func - (left: Timestamp, right: Timestamp) -> Duration {
        .milliseconds(left.milliseconds.subtractingSaturated(right.milliseconds))
    }

    // One number in JSON, not an object of one field.
    public init(from decoder: any Decoder) throws {
        milliseconds = try decoder.singleValueContainer().decode(Int64.self)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(milliseconds)
    }
}

extension Int64 {
    @inlinable
    func addingSaturated(_ other: Int64) -> Int64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? (other > 0 ? .max : .min) : sum
    }

    @inlinable
    func subtractingSaturated(_ other: Int64) -> Int64 {
        let (difference, overflow) = subtractingReportingOverflow(other)
        return overflow ? (other < 0 ? .max : .min) : difference
    }
}

extension Duration {
    /// This duration in whole milliseconds, rounded towards zero; saturates beyond ±292 million years.
    @inlinable
    public var milliseconds: Int64 {
        let (seconds, attoseconds) = components
        let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1000)
        if overflow { return seconds > 0 ? .max : .min }
        return whole.addingSaturated(attoseconds / 1_000_000_000_000_000)
    }

    /// `minutes` times 60 seconds.
    public static func minutes(_ minutes: Int64) -> Duration { .seconds(minutes.multipliedSaturated(by: 60)) }
    /// `hours` times 3,600 seconds.
    public static func hours(_ hours: Int64) -> Duration { .seconds(hours.multipliedSaturated(by: 3600)) }
    /// `days` times 86,400 seconds.
    public static func days(_ days: Int64) -> Duration { .seconds(days.multipliedSaturated(by: 86_400)) }

    /// Longer than any age: a limit that is never reached.
    public static let forever = Duration.milliseconds(Int64.max)
}

extension Int64 {
    func multipliedSaturated(by other: Int64) -> Int64 {
        let (product, overflow) = multipliedReportingOverflow(by: other)
        return overflow ? ((self > 0) == (other > 0) ? .max : .min) : product
    }
}
