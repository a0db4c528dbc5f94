/// Why a response of an origin can't be what was asked for; neither stored nor passed on.
public enum ResponseProblem: String, Error, Hashable, Sendable {
    /// Below 200, where the final answer was awaited, or above 599 (RFC 9110 §15).
    case status
    /// Two ways to find the end, or one that is no number (RFC 9112 §6.3).
    case length
    /// A transfer coding other than "chunked" alone, or any in HTTP/1.0 (§6.1): where it ends and what it holds can't
    /// be told.
    case coding
    /// The bytes are no response (RFC 9112 §2 to §7).
    case syntax
    /// A head, or the fields behind the body, larger than any response needs.
    case tooLarge = "too-large"
}

/// Whether the end of a response could be understood in two ways, or its body not at all.
///
/// - Parameters:
///   - isOldVersion: the origin speaks HTTP/1.0.
/// - Returns: `nil` when all is well.
public func responseProblem(status: Int, fields: HeaderFields, isOldVersion: Bool) -> ResponseProblem? {
    if !(200...599).contains(status) { return .status }
    let lengths = fields.values(of: "Content-Length")
    if lengths.count > 1 || lengths.contains(where: { bodyLength($0) == nil }) { return .length }
    let codings = fields.values(of: "Transfer-Encoding")
    if codings.isEmpty { return nil }
    if !lengths.isEmpty { return .length }
    return isOldVersion || codings.count > 1 || !codings[0].trimmed.equalsIgnoringCase("chunked") ? .coding : nil
}
