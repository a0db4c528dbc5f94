/// An address that can't be used: the operator's origin, a client's target, or what somebody typed.
public struct AddressError: Error, Hashable, CustomStringConvertible {
    /// What kind of problem it is, and the status to answer a client with.
    public enum Kind: Int, Sendable {
        /// It isn't written as an address is.
        case malformed = 400
        /// It is longer than the limit.
        case tooLong = 414
        /// It is an address, but not at this origin.
        case elsewhere = 421
        /// No route is for it.
        case noRoute = 404
    }

    public let kind: Kind
    /// What is wrong and what to do, in one line.
    public let description: String

    init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }

    /// - Parameters: what a request names.
    public static func noRoute(host: String, path: String) -> AddressError {
        AddressError(.noRoute, "no route is for \(shown(path)) at \(shown(host))")
    }

    /// - Parameter host: what a request names.
    public static func elsewhere(host: String) -> AddressError {
        AddressError(.elsewhere, "\(shown(host)) is the name of another server here")
    }

    init(_ description: String) {
        self.init(.malformed, description)
    }
}

/// `text` fit for one line of an error: printable ASCII, not endless.
func shown(_ text: some StringProtocol) -> String {
    let bytes = text.utf8.prefix(80).map { (0x20...0x7E).contains($0) ? $0 : UInt8(ascii: "?") }
    return "\"\(String(decoding: bytes, as: UTF8.self))\(text.utf8.count > 80 ? "…" : "")\""
}
