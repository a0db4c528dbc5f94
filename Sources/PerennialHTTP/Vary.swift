/// Which request fields chose a response among those of its address (RFC 9111 §4.1, RFC 9110 §12.5.5).
public struct Vary: Hashable, Sendable {
    /// The selecting fields: lower case, sorted, without repeats.
    public let names: [String]
    /// `Vary: *`, or a value that names no fields: nothing will ever match.
    public let isAny: Bool

    /// - Parameter fields: a response's.
    public init(_ fields: HeaderFields) {
        let members = fields.values(of: "Vary").flatMap { listMembers($0) }.map(\.lowercasedASCII)
        isAny = !members.allSatisfy { $0 != "*" && $0.isToken }
        names = isAny ? [] : Set(members).sorted()
    }

    /// - Parameter names: in any order and case.
    public init(names: [String]) {
        isAny = false
        self.names = Set(names.map(\.lowercasedASCII)).sorted()
    }

    /// The selecting fields of `request`, in normal form; those it doesn't have are left out.
    public func selectingFields(of request: HeaderFields) -> HeaderFields {
        HeaderFields(
            zip(names, request.values(ofEach: names)).compactMap { name, value in
                value.flatMap { normalised($0, of: name) }.map { (name, $0) }
            })
    }

    /// Whether `request` chooses the response that was stored for `selecting` (RFC 9111 §4.1).
    /// A field that one has and the other lacks doesn't match.
    /// - Parameter selecting: what ``selectingFields(of:)`` gave for the request the response was stored for.
    public func matches(selecting: HeaderFields, request: HeaderFields) -> Bool {
        !isAny && selectingFields(of: request) == selecting
    }

    /// The selecting fields of `request` as one line of visible ASCII, to be part of a key: equal for two requests if
    /// and only if they choose the same response. Empty when the response doesn't vary.
    ///
    /// A field the request lacks is its name alone: `accept=text/html&accept-language`.
    /// - Precondition: ``credentials(in:)`` is empty; secrets don't belong in keys.
    public func variantKey(for request: HeaderFields) -> String {
        zip(names, request.values(ofEach: names)).map { name, value in
            value.flatMap { normalised($0, of: name) }.map { "\(name)=\(escaped($0))" } ?? name
        }.joined(separator: "&")
    }

    /// The selecting fields that carry credentials and that `request` has. A response that varies by them isn't kept.
    public func credentials(in request: HeaderFields) -> [String] {
        zip(names, request.values(ofEach: names)).filter { name, value in
            value != nil && RequestFieldClass(name).isSecret
        }.map(\.0)
    }
}

/// A field's value in a form that is the same for values that mean the same (RFC 9111 §4.1): white space around the
/// members of lists, and where the field's definition says so, case and order; of `Accept-Encoding` what an origin can
/// choose from (``AcceptedCodings``).
/// - Returns: `nil` for what means the same as no such field.
private func normalised(_ value: String, of name: String) -> String? {
    switch name {
    case "accept", "accept-charset", "prefer":
        members(value).joined(separator: ",")
    case "accept-language":
        members(value.lowercasedASCII).joined(separator: ",")
    case "accept-encoding":
        AcceptedCodings(value).fieldValue.nonEmpty
    default:
        String(value.trimmed)
    }
}

/// The members of a list, without white space around the semicolons of their parameters.
private func members(_ value: String) -> [String] {
    listMembers(value).map { member in
        guard member.bytes.contains(UInt8(ascii: ";")), !member.bytes.contains(UInt8(ascii: "\"")) else {
            return String(member)
        }
        return member.pieces(separatedBy: UInt8(ascii: ";"), keepingEmpty: true).map(\.trimmed).joined(separator: ";")
    }
}

extension String {
    fileprivate var nonEmpty: String? { isEmpty ? nil : self }
}

private func escaped(_ value: String) -> String {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(value.utf8.count)
    for byte in value.fieldBytes {
        if byte.isVisible && byte != UInt8(ascii: "%") && byte != UInt8(ascii: "&") {
            bytes.append(byte)
        } else {
            bytes += byte.percentEncoded
        }
    }
    return String(decoding: bytes, as: UTF8.self)
}
