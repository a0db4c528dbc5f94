import Configuration
import Yams

/// The YAML file: a flat mapping whose keys are the options' names.
enum OptionFile {
    /// Reads a file's text.
    /// - Parameters:
    ///   - path: for messages.
    ///   - known: the keys it may have.
    /// - Throws: ``Failure`` naming the line, the key and what to do.
    static func read(_ text: String, path: String, known: [String]) throws(Failure) -> InMemoryProvider {
        var values: [AbsoluteConfigKey: ConfigValue] = [:]
        for (keyNode, valueNode) in try mapping(text, path: path) {
            let place = "\(path):\(keyNode.mark?.line ?? 1)"
            guard let key = keyNode.scalar?.string, known.contains(key) else {
                let key = keyNode.scalar?.string ?? "?"
                let nearest = nearest(to: key, in: known).map { "did you mean “\($0)”?" }
                throw Failure(
                    .configuration,
                    "unknown key “\(key)” in \(place); \(nearest ?? "the keys are the names of the options of perennial serve")"
                )
            }
            if let scalar = valueNode.scalar {
                values[AbsoluteConfigKey([key])] = ConfigValue(.string(scalar.string), isSecret: false)
            } else if let items = valueNode.sequence?.compactMap(\.scalar?.string),
                items.count == valueNode.sequence?.count
            {
                values[AbsoluteConfigKey([key])] = ConfigValue(.string(items.joined(separator: ",")), isSecret: false)
            } else {
                throw Failure(.configuration, "“\(key)” in \(place) must be one value, not a mapping")
            }
        }
        return InMemoryProvider(name: path, values: values)
    }

    private static func mapping(_ text: String, path: String) throws(Failure) -> [(key: Node, value: Node)] {
        let node: Node?
        do {
            node = try Yams.compose(yaml: text)
        } catch YamlError.scanner(_, let problem, let mark, _), YamlError.parser(_, let problem, let mark, _),
            YamlError.composer(_, let problem, let mark, _)
        {
            throw Failure(.configuration, "\(path):\(mark.line) is not YAML: \(problem)")
        } catch YamlError.duplicatedKeysInMapping(let keys, _) {
            throw Failure(.configuration, "\(path) has a key twice: \(keys.map { "\($0)" }.joined(separator: ", "))")
        } catch {
            throw Failure(.configuration, "\(path) is not YAML: \(error)")
        }
        guard let node, node != Node("") else { return [] }
        guard let mapping = node.mapping else {
            throw Failure(.configuration, "\(path) must be a mapping, with lines like “refresh-after: 1h”")
        }
        return mapping.map { ($0.key, $0.value) }
    }
}

/// The known name that is the fewest edits away, if it is near at all.
func nearest(to word: String, in known: [String]) -> String? {
    let simple = word.lowercased().filter(\.isLetter)
    let ranked = known.map { (name: $0, edits: edits(simple, $0.filter(\.isLetter))) }
    return ranked.min { $0.edits < $1.edits }.flatMap { $0.edits <= max(2, simple.count / 3) ? $0.name : nil }
}

/// The Levenshtein distance.
private func edits(_ left: String, _ right: String) -> Int {
    let right = Array(right)
    var row = Array(0...right.count)
    for (i, character) in left.enumerated() {
        var previous = row[0]
        row[0] = i + 1
        for j in right.indices {
            let cost = character == right[j] ? previous : min(previous, row[j], row[j + 1]) + 1
            previous = row[j + 1]
            row[j + 1] = cost
        }
    }
    return row[right.count]
}
