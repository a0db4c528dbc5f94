/// A response as the gateway keeps it: the value of an entry.
public struct StoredResponse: Hashable, Sendable {
    public var status: Int
    /// As ``fieldsToStore(of:receivedAt:)`` gives them.
    public var fields: HeaderFields
    /// As the origin sent it, content coding included.
    public var body: [UInt8]
    /// What a refresh must send so that the origin chooses the same representation: ``refreshFields(of:vary:)``.
    public var requestFields: HeaderFields
    /// The names in `Vary` when the response was stored: lower case, sorted.
    public var vary: [String]

    public init(
        status: Int, fields: HeaderFields, body: [UInt8], requestFields: HeaderFields = [:], vary: [String] = []
    ) {
        self.status = status
        self.fields = fields
        self.body = body
        self.requestFields = requestFields
        self.vary = vary
    }

    /// Whether this response was made for requests like `request` (RFC 9111 §4.1).
    ///
    /// One that its origin did not encode is also for those who take other codings than the client it was made for, if
    /// that takes gzip or more than they.
    public func isSelected(by request: HeaderFields) -> Bool {
        let vary = Vary(names: vary)
        let (mine, theirs) = (vary.selectingFields(of: requestFields), vary.selectingFields(of: request))
        if mine == theirs { return true }
        let name = "accept-encoding"
        guard vary.names.contains(name), !fields.contains("Content-Encoding") else { return false }
        return AcceptedCodings(mine[name]).coverPlain(AcceptedCodings(theirs[name]))
            && mine.removing([name]) == theirs.removing([name])
    }
}

/// The fields of a request that its refreshes repeat (RFC 9111 §4.3.1): those the response was chosen by, the
/// three that negotiate its form, and `User-Agent`, by which some origins choose without saying so. Never credentials.
/// Of `Accept-Encoding` what ``withNormalisedCodings(_:)`` makes.
public func refreshFields(of request: HeaderFields, vary: Vary) -> HeaderFields {
    let names = Set(vary.names).union(["accept", "accept-encoding", "accept-language", "user-agent"])
        .filter { !RequestFieldClass($0).isSecret }.sorted()
    return HeaderFields(
        zip(names, withNormalisedCodings(request).values(ofEach: names)).compactMap { name, value in
            value.map { (name, $0) }
        })
}
