import PerennialConnections
import Yams

/// A mapping in the configuration file, its values as text, each with its line.
struct FileSection: Sendable {
    /// Where it is, like `perennial.yaml:12`.
    let place: String
    /// What it is, like `route “users”`; empty: the file itself.
    var title: String
    /// As the keys are written; lists joined by commas.
    let texts: [String: (text: String, line: Int)]
    /// Values that are mappings, or lists of mappings.
    let sections: [String: [FileSection]]
    /// In the file's order.
    let keys: [String]
    private let path: String

    /// - Parameters:
    ///   - path: the file's, for messages.
    ///   - isNested: which of the keys may have mappings in them.
    ///   - problems: is told of what makes no sense, which is left out.
    init(
        _ mapping: Node.Mapping, path: String, line: Int, title: String, problems: Problems,
        isNested: (String, Node) -> Bool
    ) {
        self.path = path
        self.title = title
        place = "\(path):\(line)"
        var texts: [String: (text: String, line: Int)] = [:]
        var sections: [String: [FileSection]] = [:]
        var keys: [String] = []
        for (keyNode, valueNode) in mapping {
            let line = keyNode.mark?.line ?? line
            guard let key = keyNode.scalar?.string else {
                problems.note(Failure(.configuration, "a key in \(path):\(line) is no text"))
                continue
            }
            keys.append(key)
            let title = "“\(key)”\(title.isEmpty ? "" : " of \(title)")"
            let name = "\(title) in \(path):\(line)"
            if isNested(key, valueNode) {
                sections[key] = Self.sections(valueNode, path: path, title: title, name: name, problems)
            } else if let scalar = valueNode.scalar {
                texts[key] = (scalar.string, line)
            } else if let items = valueNode.sequence?.compactMap(\.scalar?.string),
                items.count == valueNode.sequence?.count
            {
                texts[key] = (items.joined(separator: ","), line)
            } else {
                problems.note(
                    Failure(.configuration, "\(name) must be one value or a list of values, not a mapping"))
            }
        }
        self.texts = texts
        self.sections = sections
        self.keys = keys
    }

    private static func sections(
        _ node: Node, path: String, title: String, name: String, _ problems: Problems
    ) -> [FileSection] {
        let items = node.sequence.map { Array($0) } ?? [node]
        var sections: [FileSection] = []
        for item in items {
            guard let mapping = item.mapping else {
                problems.note(
                    Failure(.configuration, "\(name) must be a mapping, with lines like “name: value”"))
                continue
            }
            sections.append(
                FileSection(mapping, path: path, line: item.mark?.line ?? 1, title: title, problems: problems) {
                    $1.mapping != nil
                })
        }
        return sections
    }

    /// Notes the keys that are none of these, each with the nearest that is.
    /// - Parameter elsewhere: where a key belongs that is known in another place.
    func check(
        keys known: [String], hint: String, elsewhere: (String) -> String? = { _ in nil }, _ problems: Problems
    ) {
        for key in keys where !known.contains(key) {
            let nearest = nearest(to: key, in: known).map { "did you mean “\($0)”?" }
            let line = texts[key].map { "\(path):\($0.line)" } ?? sections[key]?.first?.place ?? place
            problems.note(
                Failure(.configuration, "unknown key “\(key)” in \(line); \(elsewhere(key) ?? nearest ?? hint)"))
        }
    }

    func has(_ key: String) -> Bool { keys.contains(key) }

    /// How messages call one of its values.
    func name(of key: String) -> String {
        let line = texts[key].map { "\(path):\($0.line)" } ?? sections[key]?.first?.place ?? place
        return "“\(key)”\(title.isEmpty ? "" : " of \(title)") in \(line)"
    }

    /// A value, read; `nil`: it is not there.
    func find<Value>(
        _ key: String, read: (String) throws(Unreadable) -> Value
    ) throws(Failure) -> Found<Value>? {
        if sections[key] != nil { throw Failure(.configuration, "\(name(of: key)) must be one value, not a mapping") }
        guard let text = texts[key]?.text else { return nil }
        // Read as "not there", it would mean the opposite of what it seems to say.
        guard !text.isEmpty else {
            throw Failure(.configuration, "\(name(of: key)) is empty; give it a value, or leave it out")
        }
        do throws(Unreadable) {
            return Found(value: try read(text), place: .file(path), name: name(of: key))
        } catch {
            throw Failure(.configuration, "\(name(of: key)): \(error)")
        }
    }

    func find<Value>(_ setting: Setting<Value>) throws(Failure) -> Found<Value>? {
        try find(setting.name, read: setting.read)
    }

    /// A mapping in it that is one of its keys; `nil`: it is not there.
    func section(_ key: String) throws(Failure) -> FileSection? {
        if texts[key].map({ !$0.text.isEmpty }) == true {
            throw Failure(.configuration, "\(name(of: key)) must be a mapping, with lines like “name: value”")
        }
        guard let found = sections[key] else { return nil }
        guard found.count == 1 else { throw Failure(.configuration, "\(name(of: key)) must be one mapping") }
        return found.first
    }
}
