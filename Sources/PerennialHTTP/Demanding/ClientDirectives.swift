/// Whether clients have a say in when the origin is asked and in what is too old.
public enum ClientDirectives: String, Sendable, CaseIterable {
    /// A request's `Cache-Control` is obeyed (RFC 9111 §5.2.1): any client can make the cache ask.
    case obey
    /// Only `no-store` and `only-if-cached` count, which make it ask nothing that it would not ask anyway.
    case ignore

    /// The rule where the operator names none: who lets the origin's fields rule goes by the RFC throughout, and who has set
    /// limits wants them kept.
    public init(for mode: FreshnessMode) {
        self = if case .origin = mode { .obey } else { .ignore }
    }

    /// What a request asks for that counts; `nil`: nothing.
    public func demand(of fields: HeaderFields) -> RequestDemand? {
        guard let demand = RequestDemand(fields) else { return nil }
        return self == .obey ? demand : demand.withoutDirections
    }
}
