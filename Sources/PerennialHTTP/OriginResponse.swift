public import Perennial

/// What the origin answered, without the body: all that the caching rules look at.
public struct OriginResponse: Hashable, Sendable {
    /// The status code.
    public var status: Int
    /// The fields as they were received. Decide before removing any: `Connection` must not be able to hide a
    /// `no-store`.
    public var fields: HeaderFields
    /// When the request was sent (RFC 9111 §4.2.3, request_time).
    public var requestedAt: Timestamp
    /// When the response's head arrived (RFC 9111 §4.2.3, response_time).
    public var receivedAt: Timestamp
    /// Whether the whole body arrived; `false` after a broken connection or a body over the limit.
    public var isComplete: Bool

    public init(
        status: Int, fields: HeaderFields, requestedAt: Timestamp, receivedAt: Timestamp, isComplete: Bool = true
    ) {
        self.status = status
        self.fields = fields
        self.requestedAt = requestedAt
        self.receivedAt = receivedAt
        self.isComplete = isComplete
    }
}
