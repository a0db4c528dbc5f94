import Configuration
import Yams

/// The YAML file: a mapping whose keys are the options' names, and `origins` and `routes`.
struct OptionFile: Sendable {
    /// The options' values.
    let options: InMemoryProvider
    /// The whole file.
    let section: FileSection

    static let origins = "origins"
    static let routes = "routes"
    /// What only one of ``origins`` can have.
    static let ofOrigins = ["url", "fields"]
    /// What only one of ``routes`` can have.
    static let ofRoutes = ["name", "host", "path", "strip-path", "query", "vary"]

    /// Reads a file's text.
    /// - Parameters:
    ///   - path: for messages.
    ///   - known: the options that it may have.
    ///   - problems: is told of mistakes, with the line, the key and what to do.
    /// - Throws: ``Failure`` for what is no YAML file of options at all.
    init(_ text: String, path: String, known: [String], _ problems: Problems) throws(Failure) {
        let known = known + [Self.origins, Self.routes]
        section = FileSection(
            try Self.mapping(text, path: path), path: path, line: 1, title: "", problems: problems
        ) { key, node in
            key == Self.origins || key == Self.routes || !known.contains(key) && node.mapping != nil
        }
        section.check(
            keys: known, hint: "the keys are the names of the options of perennial serve, “origins” and “routes”",
            elsewhere: { key in
                switch key {
                case _ where Self.ofOrigins.contains(key): "it belongs to one of “origins”"
                case _ where Self.ofRoutes.contains(key): "it belongs to one of “routes”"
                default: nil
                }
            }, problems)
        options = InMemoryProvider(
            name: path,
            values: Dictionary(
                uniqueKeysWithValues: section.texts.map { key, value in
                    (AbsoluteConfigKey([key]), ConfigValue(.string(value.text), isSecret: false))
                }))
    }

    private static func mapping(_ text: String, path: String) throws(Failure) -> Node.Mapping {
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
        guard let node, node != Node("") else { return Node.Mapping([]) }
        guard let mapping = node.mapping else {
            throw Failure(.configuration, "\(path) must be a mapping, with lines like “refresh-after: 1h”")
        }
        return mapping
    }
}
