import Configuration

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Finds a setting's value: on the command line, else in the environment, else in the file, else its default.
struct Settings: Sendable {
    private let environment: EnvironmentVariablesProvider
    private let file: OptionFile?
    private let filePath: String
    /// Of the configuration file, when it was read.
    let fileVersion: FileVersion?
    private let variables: [String: String]

    /// - Parameters:
    ///   - config: `--config`, if given; else the environment's `PERENNIAL_CONFIG` names the file, if there is one.
    ///   - problems: is told of mistakes in the file. Default: they are thrown, all at once.
    init(
        config: String?, environment variables: [String: String] = ProcessInfo.processInfo.environment,
        problems: Problems? = nil
    ) throws(Failure) {
        environment = EnvironmentVariablesProvider(environmentVariables: variables)
        self.variables = variables
        guard let path = config ?? Self.text("perennial.config", in: environment) else {
            file = nil
            filePath = ""
            fileVersion = nil
            return
        }
        filePath = path
        fileVersion = FileVersion(path)
        if let reason = whyUnreadable(path) {
            throw Failure(.noInput, "can't read the configuration file \(path): \(reason)")
        }
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            throw Failure(.configuration, "the configuration file \(path) is not UTF-8 text")
        }
        let found = problems ?? Problems()
        file = try OptionFile(text, path: path, known: Known.fileKeys, found)
        if problems == nil { try found.check() }
    }

    /// The value and where it came from; `nil` when it is nowhere and has no default.
    /// - Parameter given: what the command line says.
    func find<Value>(_ setting: Setting<Value>, _ given: String?) throws(Failure) -> Found<Value>? {
        let place: Place
        let text: String
        var name: String?
        if let given {
            (place, text) = (.commandLine, given)
        } else if let variable = Self.text("perennial.\(setting.name)", in: environment) {
            (place, text) = (.environment, variable)
        } else if let file, let line = Self.text(setting.name, in: file.options) {
            (place, text) = (.file(filePath), line)
            name = file.section.name(of: setting.name)
        } else if let fallback = setting.fallback {
            (place, text) = (.fallback, fallback)
        } else {
            return nil
        }
        do throws(Unreadable) {
            return Found(value: try setting.read(text), place: place, name: name ?? place.name(of: setting))
        } catch {
            throw Failure(place.code, "\(name ?? place.name(of: setting)): \(error)")
        }
    }

    /// The value in a section of the file, else as ``find(_:_:)``.
    func find<Value>(
        _ setting: Setting<Value>, _ given: String?, in section: FileSection?
    ) throws(Failure) -> Found<Value>? {
        if let found = try section?.find(setting) { return found }
        return try find(setting, given)
    }

    /// The configuration file's sections of a kind, `origins` or `routes`.
    func sections(_ kind: String) -> [FileSection] { file?.section.sections[kind] ?? [] }

    /// How messages call one of the file's keys; `nil`: it is not there.
    func name(ofFileKey key: String) -> String? {
        file.flatMap { $0.section.has(key) ? $0.section.name(of: key) : nil }
    }

    /// The path of the configuration file; `nil`: there is none.
    var path: String? { file == nil ? nil : filePath }

    /// What the environment says; `nil`: nothing, or empty text.
    func environmentVariable(_ name: String) -> String? {
        variables[name].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// The same with the file as it is now. The command line and the environment of a process don't change.
    /// - Parameter problems: as for ``init(config:environment:problems:)``.
    func readAgain(_ problems: Problems? = nil) throws(Failure) -> Settings {
        try Settings(config: path, environment: variables, problems: problems)
    }

    /// Which of these settings the file has otherwise than another time.
    func differing(from other: Settings, in names: [String]) -> [String] {
        names.filter { file?.section.texts[$0]?.text != other.file?.section.texts[$0]?.text }
    }

    /// The value of a setting that has a default.
    func value<Value>(_ setting: Setting<Value>, _ given: String?) throws(Failure) -> Value {
        try require(setting, given).value
    }

    /// The value of a setting that must be given.
    func require<Value>(_ setting: Setting<Value>, _ given: String?) throws(Failure) -> Found<Value> {
        if let found = try find(setting, given) { return found }
        throw Failure(
            .usage, "--\(setting.name) \(setting.form) is missing; give it, or set \(setting.environmentName)")
    }

    private static func text(_ dottedKey: String, in provider: some ConfigProvider) -> String? {
        let key = AbsoluteConfigKey(dottedKey.split(separator: ".").map(String.init))
        guard case .string(let text)? = try? provider.value(forKey: key, type: .string).value?.content else {
            return nil
        }
        return text.isEmpty ? nil : text
    }
}

/// A value and where it came from.
struct Found<Value: Sendable>: Sendable {
    let value: Value
    let place: Place
    /// How the place calls it, for messages.
    let name: String
}

/// Where a value was set.
enum Place: Hashable, Sendable {
    case commandLine, environment, fallback
    case file(String)

    /// What a wrong value there is: wrong usage, or wrong configuration.
    var code: Failure.Code { self == .commandLine ? .usage : .configuration }

    func name<Value>(of setting: Setting<Value>) -> String {
        switch self {
        case .commandLine: "--\(setting.name)"
        case .environment: setting.environmentName
        case .file(let path): "“\(setting.name)” in \(path)"
        case .fallback: "the default of --\(setting.name)"
        }
    }
}
