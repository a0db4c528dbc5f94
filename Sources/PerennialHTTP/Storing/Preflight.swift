internal import Perennial

/// A browser's question whether a page may send a request (Fetch §3.3, "CORS-preflight request"), whose answer may be
/// kept for others that ask the same.
///
/// A preflight has no credentials. What it asks is in four fields, and nothing else should matter to its answer.
public struct Preflight: Hashable, Sendable {
    /// In lower case, sorted.
    private static let names = [
        "access-control-request-headers", "access-control-request-method", "access-control-request-private-network",
        "origin",
    ]
    /// Tells keys of preflights from those of variants, whose first word has no capitals.
    private static let mark = "OPTIONS"
    /// No browser keeps an answer for longer, in seconds.
    private static let longest: Int64 = 86_400
    /// What browsers take for the lifetime of an answer that says nothing of it, in seconds (Fetch §4.8).
    private static let usual: Int64 = 5

    private let fields: HeaderFields

    /// - Returns: `nil` for what is no preflight, or has anything in it that matters to a cache.
    public init?(method: String, fields: HeaderFields) {
        guard method == "OPTIONS", fields.contains("Origin"), fields.contains("Access-Control-Request-Method"),
            !fields.contains("Max-Forwards"), !fields.connectionNamesOthers,
            !fields.contains(where: { RequestFieldClass($0.name).isRemarkable })
        else { return nil }
        self.fields = fields
    }

    /// The key of its answer.
    /// - Parameter primary: that of the address.
    public func key(primary: String) -> String {
        var asked = fields
        if let headers = fields["Access-Control-Request-Headers"] {
            asked["Access-Control-Request-Headers"] = listMembers(headers.lowercasedASCII).sorted().joined(
                separator: ",")
        }
        return "\(primary) \(Self.mark) \(Vary(names: Self.names).variantKey(for: asked))"
    }

    /// What follows the address and what marks a preflight in a key; `nil`: it is the key of something else.
    public static func variant(ofKey key: String) -> Substring? {
        guard let space = key.bytes.firstIndex(of: UInt8(ascii: " ")) else { return nil }
        let rest = key[key.index(after: space)...]
        return rest.hasPrefix(mark + " ") ? rest.dropFirst(mark.utf8.count + 1) : nil
    }

    /// For how long an answer may be kept: as `Access-Control-Max-Age` says, at most a day, and 5 seconds where it says
    /// nothing.
    /// - Returns: `nil` for one that may not: it refuses, is for one client alone, or was chosen by something else.
    public static func lifetime(status: Int, fields: HeaderFields) -> Duration? {
        let directives = RulingDirectives(of: fields).directives
        let vary = Vary(fields)
        // Bodies are not kept, so it does not matter how they are encoded.
        let isKnown = !vary.isAny && vary.names.allSatisfy { names.contains($0) || $0 == "accept-encoding" }
        guard 200...299 ~= status, isKnown, !directives.noStore, directives.onlyPrivate != .everything,
            !fields.contains("Set-Cookie")
        else { return nil }
        guard let age = fields["Access-Control-Max-Age"] else { return .seconds(usual) }
        guard let seconds = bodyLength(age), seconds > 0 else { return nil }
        return .seconds(min(seconds, longest))
    }
}
