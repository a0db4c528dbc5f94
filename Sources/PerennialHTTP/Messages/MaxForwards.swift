/// What `Max-Forwards` says about an OPTIONS or TRACE request (RFC 9110 §7.6.2); in other requests it means nothing.
public enum MaxForwards: Hashable, Sendable {
    /// It is not there: no limit.
    case unlimited
    /// This is the last who may see the request, and has to answer it.
    case exhausted
    /// It may go on with this number.
    case goOn(Int64)
    /// It is not a number: nobody can tell how far the request may go.
    case invalid

    public init(_ fields: HeaderFields) {
        let values = fields.values(of: "Max-Forwards")
        guard let value = values.first else {
            self = .unlimited
            return
        }
        switch values.count == 1 ? bodyLength(value) : nil {
        case nil: self = .invalid
        case 0: self = .exhausted
        case let count?: self = .goOn(count - 1)
        }
    }
}
