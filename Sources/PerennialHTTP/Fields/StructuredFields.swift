// Structured fields (RFC 9651), as far as caching has them: read strictly, as a whole or not at all.

internal import RawStructuredFieldValues

/// What a member of a structured dictionary or list is worth here.
enum StructuredValue: Hashable {
    case flag(Bool)
    case integer(Int64)
    case string(String)
    case token(String)
    /// Of a type that no field of caching has: a decimal, a date, bytes, an inner list.
    case other

    fileprivate init(_ member: ItemOrInnerList) {
        guard case .item(let item) = member else {
            self = .other
            return
        }
        switch item.rfc9651BareItem {
        case .bool(let value): self = .flag(value)
        case .integer(let value): self = .integer(value)
        case .string(let value): self = .string(value)
        case .token(let value): self = .token(value)
        default: self = .other
        }
    }
}

/// The members of a dictionary (RFC 9651 §4.2.2), without their parameters; of a repeated key the last counts.
/// - Returns: `nil` when it can't be parsed.
func structuredDictionary(_ value: String) -> [(key: String, value: StructuredValue)]? {
    var parser = StructuredFieldValueParser(Array(value.utf8))
    guard let members = try? parser.parseDictionaryFieldValue() else { return nil }
    return members.map { ($0.0, StructuredValue($0.1)) }
}

/// The members of a list of strings (RFC 9651 §4.2.1), without their parameters.
/// - Returns: `nil` when it can't be parsed, or when a member is no string.
func structuredStrings(_ value: String) -> [String]? {
    var parser = StructuredFieldValueParser(Array(value.utf8))
    guard let members = try? parser.parseListFieldValue() else { return nil }
    var strings: [String] = []
    for member in members {
        guard case .string(let text) = StructuredValue(member) else { return nil }
        strings.append(text)
    }
    return strings
}
