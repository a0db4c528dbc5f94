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

/// The most parameters of one member that are read; RFC 9651 §3.1.2 asks for 256 at least. The library that reads them
/// compares each with all before it.
private let mostParameters = 256

/// The members of a dictionary (RFC 9651 §4.2.2), without their parameters; of a repeated key the last counts.
/// - Returns: `nil` when it can't be parsed, or when a member has more than 256 parameters.
func structuredDictionary(_ value: String) -> [(key: String, value: StructuredValue)]? {
    guard let texts = structuredMembers(value) else { return nil }
    var members: [(key: String, value: StructuredValue)] = []
    var places: [String: Int] = [:]
    // One by one: the library looks for each key among all those before it.
    for text in texts {
        var parser = StructuredFieldValueParser(text)
        guard let parsed = try? parser.parseDictionaryFieldValue(), parsed.count == 1, let member = parsed.first
        else { return nil }
        let value = StructuredValue(member.1)
        if let place = places[member.0] {
            members[place].value = value
        } else {
            places[member.0] = members.count
            members.append((member.0, value))
        }
    }
    return members
}

/// The members of a list of strings (RFC 9651 §4.2.1), without their parameters.
/// - Returns: `nil` when it can't be parsed, when a member is no string, or has more than 256 parameters.
func structuredStrings(_ value: String) -> [String]? {
    guard let texts = structuredMembers(value) else { return nil }
    var strings: [String] = []
    for text in texts {
        var parser = StructuredFieldValueParser(text)
        guard let parsed = try? parser.parseListFieldValue(), parsed.count == 1,
            case .string(let string) = StructuredValue(parsed[0])
        else { return nil }
        strings.append(string)
    }
    return strings
}

/// The members of a dictionary or list, each still to be parsed: what is between the commas that are in no string. Tabs
/// and spaces around the commas are left out.
/// - Returns: `nil` when one is empty or has too many parameters; nothing for an empty value.
private func structuredMembers(_ value: String) -> [CountedBytes<ArraySlice<UInt8>>]? {
    let bytes = CountedBytes(Array(value.bytes))
    var members: [CountedBytes<ArraySlice<UInt8>>] = []
    var start = bytes.startIndex
    var (isInString, knowsEscapes, isEscaped, parameters) = (false, true, false, 0)
    var before: UInt8 = 0
    for index in bytes.indices {
        let byte = bytes[index]
        defer { before = byte }
        if isInString {
            if isEscaped {
                isEscaped = false
            } else {
                isEscaped = knowsEscapes && byte == UInt8(ascii: "\\")
                isInString = byte != UInt8(ascii: "\"")
            }
        } else if byte == UInt8(ascii: ",") {
            members.append(bytes[start..<index])
            (start, parameters) = (index + 1, 0)
        } else if byte == UInt8(ascii: ";") {
            parameters += 1
            if parameters > mostParameters { return nil }
        } else if byte == UInt8(ascii: "\"") {
            isInString = true
            // In a display string (§3.3.8) a backslash stands for itself.
            knowsEscapes = before != UInt8(ascii: "%")
        }
    }
    members.append(bytes[start...])
    let trimmed = members.map(\.trimmed)
    if trimmed.count == 1 && trimmed[0].isEmpty { return [] }
    return trimmed.contains(where: \.isEmpty) ? nil : trimmed
}

extension CountedBytes<ArraySlice<UInt8>> {
    fileprivate var trimmed: Self {
        guard let first = firstIndex(where: { !$0.isOptionalWhiteSpace }),
            let last = lastIndex(where: { !$0.isOptionalWhiteSpace })
        else { return self[endIndex...] }
        return self[first...last]
    }
}
