/// The protections of a shared cache that an operator has lifted by name. Default: none.
///
/// Each of them can show one user's answer to another. Lift one only where the origin is known to answer everybody
/// alike.
public struct Allowances: OptionSet, Hashable, Sendable {
    public let rawValue: Int

    public init(rawValue: Int) {
        self.rawValue = rawValue
    }

    /// `private`: store responses marked `private`.
    public static let onlyPrivate = Allowances(rawValue: 1)
    /// `no-store`: store responses although they, or their requests, are marked `no-store`.
    public static let noStore = Allowances(rawValue: 2)
    /// `authorization`: answer requests with `Authorization` or another credential from the cache, and store their
    /// responses.
    public static let authorization = Allowances(rawValue: 4)
    /// `cookies`: answer requests with `Cookie` from the cache, and store their responses.
    public static let cookies = Allowances(rawValue: 8)
    /// `set-cookie`: store responses with `Set-Cookie`, cookies included.
    public static let setCookie = Allowances(rawValue: 16)
    /// `refused`: keep serving what is stored when the origin answers 401, 403 or 407.
    public static let refused = Allowances(rawValue: 32)
    /// `no-cache`: where the operator's limits rule, they do so for responses, too, that say not to be served without
    /// asking the origin.
    public static let noCache = Allowances(rawValue: 64)

    /// - Parameter names: for example `["private", "set-cookie"]`; each may itself be a list, `"private,set-cookie"`.
    /// - Throws: ``AllowanceError`` for a name that is none.
    public init(names: some Sequence<String>) throws(AllowanceError) {
        self = []
        for name in names.flatMap({ $0.split(separator: ",") }).map({ $0.trimmed.lowercasedASCII }) {
            guard let allowance = Self.named[name] else { throw AllowanceError(name: name) }
            insert(allowance)
        }
    }

    /// The names that are set, in alphabetical order.
    public var names: [String] {
        Self.named.filter { contains($0.value) }.keys.sorted()
    }

    fileprivate static let named: [String: Allowances] = [
        "private": .onlyPrivate, "no-store": .noStore, "authorization": .authorization, "cookies": .cookies,
        "set-cookie": .setCookie, "refused": .refused, "no-cache": .noCache,
    ]
}

/// A name that is no allowance.
public struct AllowanceError: Error, Hashable, CustomStringConvertible {
    public let name: String

    public var description: String {
        "\"\(name)\" can't be allowed; use one of \(Allowances.named.keys.sorted().joined(separator: ", "))"
    }
}
