import Foundation

/// The address of a database server, like `redis://user:secret@host:6379/0?prefix=app`.
///
/// Its description has nothing of what stands before the last `@`, so that it can be logged.
package struct EngineURL: Hashable, Sendable, CustomStringConvertible {
    /// In lower case, without `://`.
    package let scheme: String
    package let user: String?
    package let password: String?
    /// As written: one host or several with commas, each with or without its port.
    package let hosts: String
    /// What is between the hosts and `?`, without the first `/`, decoded.
    package let path: String
    /// The options behind `?`, decoded, in their order.
    package let options: [Option]

    package struct Option: Hashable, Sendable {
        package let name: String
        package let value: String

        package init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    /// - Throws: ``EngineURLError`` which names no password.
    package init(_ text: String) throws(EngineURLError) {
        guard let separator = text.range(of: "://"), separator.lowerBound > text.startIndex else {
            throw EngineURLError("this is no address of a server; write SCHEME://HOST")
        }
        scheme = text[..<separator.lowerBound].lowercased()
        guard !text.unicodeScalars.contains(where: { $0.value <= 32 || $0.value == 127 }) else {
            throw EngineURLError("the address has spaces or control characters in it; write them as %20 and the like")
        }
        let rest = text[separator.upperBound...]
        let question = rest.firstIndex(of: "?") ?? rest.endIndex
        // A password that goes on behind the ?, or an option with an @: nobody can tell, and a part of the one would be shown.
        guard !rest[question...].contains("@") else {
            throw EngineURLError(
                "the address has an @ behind a ?; write a ? in the user name or password as %3F, an @ in an option as %40"
            )
        }
        let beforeOptions = rest[..<question]
        // A password may have a slash in it, though it should be written as %2F: what is before the last @ is no path.
        let at = beforeOptions.lastIndex(of: "@")
        let afterUser = at.map { beforeOptions[beforeOptions.index(after: $0)...] } ?? beforeOptions
        let slash = afterUser.firstIndex(of: "/") ?? afterUser.endIndex
        hosts = String(afterUser[..<slash])
        path = try Self.decode(afterUser[slash...].dropFirst(), "path")
        if let at {
            let parts = beforeOptions[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            let name = try Self.decode(parts[0], "user name")
            user = name.isEmpty ? nil : name
            password = parts.count > 1 ? try Self.decode(parts[1], "password") : nil
        } else {
            user = nil
            password = nil
        }
        var options: [Option] = []
        for pair in rest[question...].dropFirst().split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let value = parts.count > 1 ? try Self.decode(parts[1], "options") : ""
            options.append(Option(name: try Self.decode(parts[0], "options"), value: value))
        }
        self.options = options
    }

    private init(_ other: EngineURL, scheme: String? = nil, options: [Option]) {
        self.scheme = scheme ?? other.scheme
        user = other.user
        password = other.password
        hosts = other.hosts
        path = other.path
        self.options = options
    }

    private static func decode(_ text: Substring, _ what: String) throws(EngineURLError) -> String {
        guard let decoded = text.removingPercentEncoding else {
            throw EngineURLError("the \(what) of the address has a % that is not followed by two hexadecimal digits")
        }
        return decoded
    }

    /// The last value of an option.
    package func option(_ name: String) -> String? {
        options.last { $0.name == name }?.value
    }

    /// - Parameter known: the options there are.
    /// - Throws: ``EngineURLError`` for one that is none of these, with the one that may have been meant.
    package func checkOptions(_ known: [String]) throws(EngineURLError) {
        for option in options where !known.contains(option.name) {
            let hint =
                nearest(to: option.name, in: known).map { "did you mean “\($0)”?" }
                ?? "there are \(known.joined(separator: ", "))"
            throw EngineURLError("\(self): there is no option “\(option.name)”; \(hint)")
        }
    }

    /// The same address without some of its options: those that are not for the server's own client.
    package func without(options names: Set<String>) -> EngineURL {
        EngineURL(self, options: options.filter { !names.contains($0.name) })
    }

    package func lowercasingOptionNames() -> EngineURL {
        EngineURL(self, options: options.map { Option(name: $0.name.lowercased(), value: $0.value) })
    }

    package func with(scheme: String) -> EngineURL {
        EngineURL(self, scheme: scheme, options: options)
    }

    /// The one host and its port.
    /// - Throws: ``EngineURLError`` when there are several hosts, or the port is none.
    package func hostAndPort(defaultPort: Int) throws(EngineURLError) -> (host: String, port: Int) {
        guard !hosts.contains(",") else {
            throw EngineURLError("\(self): name one host")
        }
        var host = Substring(hosts)
        var port = defaultPort
        let afterBracket = host.lastIndex(of: "]").map { host.index(after: $0) } ?? host.startIndex
        if let colon = host[afterBracket...].firstIndex(of: ":") {
            guard let number = UInt16(host[host.index(after: colon)...]), number > 0 else {
                throw EngineURLError("\(self): the port is no number from 1 to 65535")
            }
            port = Int(number)
            host = host[..<colon]
        }
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        return (host.isEmpty ? "127.0.0.1" : String(host), port)
    }

    /// The whole address, with its password: for the server's own client, and nobody else.
    package var unredacted: String { text { Self.encode($0) } }

    /// The user is not shown, either: a password that has a `:`, or none before it, looks like one.
    package var description: String { text { _ in "***" } }

    private func text(secret: (String) -> String) -> String {
        var text = "\(scheme)://"
        if user != nil || password != nil {
            text += user.map(secret) ?? ""
            if let password { text += ":" + secret(password) }
            text += "@"
        }
        text += hosts
        if !path.isEmpty { text += "/" + Self.encode(path, allowing: "/") }
        for (index, option) in options.enumerated() {
            let isSecret = option.name.lowercased().contains("password")
            text += (index == 0 ? "?" : "&") + Self.encode(option.name) + "="
            text += isSecret ? secret(option.value) : Self.encode(option.value, allowing: "/,:")
        }
        return text
    }

    private static let unreserved = CharacterSet(
        charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

    private static func encode(_ text: String, allowing more: String = "") -> String {
        text.addingPercentEncoding(withAllowedCharacters: unreserved.union(CharacterSet(charactersIn: more))) ?? ""
    }
}

/// What is wrong with an address. Names no password.
package struct EngineURLError: Error, Hashable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}

extension EngineURL {
    /// The value of an option that is a time in seconds, such as `0.5`; `nil`: not given.
    /// - Throws: ``EngineURLError`` when it is no number from 0.001 to 86,400.
    package func seconds(_ name: String) throws(EngineURLError) -> Duration? {
        guard let text = option(name) else { return nil }
        guard let number = Double(text), number >= 0.001, number <= 86_400 else {
            throw EngineURLError("\(self): \(name) is “\(text)”; write seconds, from 0.001 to 86400")
        }
        return .milliseconds(Int64(number * 1000))
    }
}
