/// The header fields of one message: an ordered list of names and values, looked up without regard to case.
///
/// Two values are equal when they hold the same fields, written the same way, in the same order.
public struct HeaderFields: Hashable, Sendable {
    /// One field line.
    public struct Field: Hashable, Sendable {
        public var name: String
        /// The bytes of the value as text: UTF-8 as it is; each byte that is none as a scalar from U+10FF80 to
        /// U+10FFFF, which is U+10FF00 and the byte.
        public var value: String

        public init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    private var fields: [Field] = []

    public init() {}

    public init(_ fields: some Sequence<(String, String)>) {
        self.fields = fields.map { Field(name: $0.0, value: $0.1) }
    }

    public init(_ fields: some Sequence<(name: String, value: String)>) {
        self.fields = fields.map { Field(name: $0.name, value: $0.value) }
    }

    /// All values of the fields called `name`, joined by `", "` (RFC 9110 §5.3); `nil` when there is none.
    ///
    /// Setting it replaces every field of that name by one, or by none for `nil`.
    public subscript(name: String) -> String? {
        get {
            var found: String?
            for field in fields where field.name.equalsIgnoringCase(name) {
                if found == nil {
                    found = field.value
                } else {
                    found?.append(", ")
                    found?.append(field.value)
                }
            }
            return found
        }
        set {
            if let newValue { set(name, to: newValue) } else { remove(name) }
        }
    }

    /// The values of the fields called `name`, one a field line, in order.
    public func values(of name: String) -> [String] {
        fields.compactMap { $0.name.equalsIgnoringCase(name) ? $0.value : nil }
    }

    /// The value of the first field called `name`.
    public func first(_ name: String) -> String? {
        fields.first { $0.name.equalsIgnoringCase(name) }?.value
    }

    /// Whether there is a field called `name`.
    public func contains(_ name: String) -> Bool {
        fields.contains { $0.name.equalsIgnoringCase(name) }
    }

    /// Adds a field at the end, beside those of the same name.
    public mutating func add(_ name: String, _ value: String) {
        fields.append(Field(name: name, value: value))
    }

    /// Replaces the fields called `name` by one: in the place of the first of them, or at the end.
    public mutating func set(_ name: String, to value: String) {
        guard let place = fields.firstIndex(where: { $0.name.equalsIgnoringCase(name) }) else {
            return add(name, value)
        }
        fields[place].value = value
        var rest = fields[(place + 1)...]
        rest.removeAll { $0.name.equalsIgnoringCase(name) }
        fields.replaceSubrange((place + 1)..., with: rest)
    }

    /// Removes every field called `name`.
    public mutating func remove(_ name: String) {
        fields.removeAll { $0.name.equalsIgnoringCase(name) }
    }

    /// These fields without those whose names are in `names`.
    public func removing(_ names: some Collection<String>) -> HeaderFields {
        if names.count <= 16 { return removing { field in names.contains { $0.equalsIgnoringCase(field.name) } } }
        let unwanted = Set(names.map(\.lowercasedASCII))
        return removing { unwanted.contains($0.name.lowercasedASCII) }
    }

    /// These fields without those for which `isUnwanted` is true.
    package func removing(where isUnwanted: (Field) -> Bool) -> HeaderFields {
        var kept = self
        kept.fields.removeAll(where: isUnwanted)
        return kept
    }

    /// For each of `names` all values of the fields that an origin may take for it, joined by `", "`: `_` counts as
    /// `-`.
    func values(ofEach names: [String]) -> [String?] {
        func join(_ value: String, to joined: inout String?) {
            if joined == nil {
                joined = value
            } else {
                joined?.append(", ")
                joined?.append(value)
            }
        }
        if names.count <= 16 {
            return names.map { name in
                var joined: String?
                for field in fields where field.name.equalsFolded(name) { join(field.value, to: &joined) }
                return joined
            }
        }
        var values: [String: String] = [:]
        for field in fields { join(field.value, to: &values[foldedName(field.name)]) }
        return names.map { values[foldedName($0)] }
    }
}

extension HeaderFields: RandomAccessCollection {
    public var startIndex: Int { 0 }
    public var endIndex: Int { fields.count }
    public subscript(position: Int) -> Field { fields[position] }
}

extension HeaderFields: ExpressibleByDictionaryLiteral {
    /// Keeps the order and the repeats of the literal.
    public init(dictionaryLiteral elements: (String, String)...) {
        self.init(elements)
    }
}

extension HeaderFields: CustomStringConvertible {
    public var description: String {
        fields.map { "\($0.name): \($0.value)" }.joined(separator: "\n")
    }
}
