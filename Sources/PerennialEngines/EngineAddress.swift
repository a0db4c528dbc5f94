package import PerennialConnections

/// Where entries or jobs live, as it is written in settings: `sqlite:PATH`, `redis://HOST`, `memory:`.
///
/// Its description has no password.
package enum EngineAddress: Hashable, Sendable, CustomStringConvertible {
    case memory
    case sqlite(path: String)
    case server(EngineURL)

    /// The forms there are, for help and errors.
    package static let forms = ["sqlite:PATH", "redis://…", "postgres://…", "mongodb://…", "memory:"]

    /// - Throws: ``EngineURLError``, which names no password.
    package init(_ text: String) throws(EngineURLError) {
        if text == "memory:" {
            self = .memory
        } else if text.hasPrefix("sqlite:"), text.count > "sqlite:".count {
            let path = String(text.dropFirst("sqlite:".count))
            guard !path.contains("?") else {
                throw EngineURLError("“\(text)”: a file has no options; write sqlite:PATH, and nothing with a ?")
            }
            self = .sqlite(path: path)
        } else if text.contains("://") {
            let url = try EngineURL(text)
            guard Engine(scheme: url.scheme) != nil else {
                throw EngineURLError("“\(url.scheme)” is no engine; write \(Self.alternatives)")
            }
            try checkAddress(url)
            self = .server(url)
        } else {
            throw EngineURLError("“\(text)” is not a place to keep things; write \(Self.alternatives)")
        }
    }

    private static var alternatives: String { forms.dropLast().joined(separator: ", ") + " or " + forms.last! }

    package var description: String {
        switch self {
        case .memory: "memory:"
        case .sqlite(let path): "sqlite:\(path)"
        case .server(let url): url.description
        }
    }
}

/// The engines that have servers.
enum Engine {
    case redis, postgres, mongoDB, celery

    init?(scheme: String) {
        switch scheme {
        case "redis", "rediss": self = .redis
        case "postgres", "postgresql": self = .postgres
        case "mongodb", "mongodb+srv": self = .mongoDB
        case "celery+redis", "celery+rediss": self = .celery
        default: return nil
        }
    }
}
