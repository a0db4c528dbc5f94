/// One thing that every store, queue or backend must do.
///
/// A test target runs them all:
/// ```swift
/// @Test(arguments: StoreConformance.checks)
/// func `is a store`(_ check: StoreConformance.Check) async throws {
///     try await check.run { try MyStore(sizeLimit: check.sizeLimit) }
/// }
/// ```
public struct ConformanceCheck<Subject: Sendable>: Sendable, CustomStringConvertible {
    /// What must hold, as a sentence.
    public let name: String
    /// The size limit in bytes that the subject must be made with; `nil`: none.
    public let sizeLimit: Int?
    private let body: @Sendable (Subject) async throws -> Void

    init(_ name: String, sizeLimit: Int? = nil, _ body: @escaping @Sendable (Subject) async throws -> Void) {
        self.name = name
        self.sizeLimit = sizeLimit
        self.body = body
    }

    public var description: String { name }

    /// - Parameter make: makes an empty subject, with the limit of ``sizeLimit``.
    /// - Throws: ``ConformanceFailure`` when the check fails, and whatever the subject throws.
    public func run(_ make: () async throws -> Subject) async throws {
        try await body(make())
    }
}

/// What a conformance check found wrong, and where in the suite.
public struct ConformanceFailure: Error, CustomStringConvertible {
    public let description: String
}

/// Fails the check unless `condition` holds.
func require(_ condition: Bool, _ message: String, file: StaticString = #fileID, line: Int = #line) throws {
    if !condition { throw ConformanceFailure(description: "\(message) (\(file):\(line))") }
}

/// Fails the check unless both values are equal.
func requireEqual<Value: Equatable>(
    _ found: Value, _ wanted: Value, _ what: String, file: StaticString = #fileID, line: Int = #line
) throws {
    try require(found == wanted, "\(what) is \(found), should be \(wanted)", file: file, line: line)
}

/// Fails the check instead of hanging for ever when something doesn't come. Says nothing about speed.
func withinAMinute<Value: Sendable>(
    _ what: String, _ body: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    try await withThrowingTaskGroup(of: Value.self) { group in
        group.addTask { try await body() }
        group.addTask {
            try await Task.sleep(for: .seconds(60))
            throw ConformanceFailure(description: "\(what): nothing came within a minute")
        }
        defer { group.cancelAll() }
        return try await group.next()!
    }
}
