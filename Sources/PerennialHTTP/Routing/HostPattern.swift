/// Which hosts a route is for: `api.example.com`, or `*.example.com` for every host below it. Ports don't count.
public struct HostPattern: Hashable, Sendable, CustomStringConvertible {
    /// In lower case; of a wild one what follows the asterisk.
    private let text: [UInt8]
    private let isWild: Bool

    /// - Throws: ``AddressError`` in one line for whoever wrote it.
    public init(_ text: String) throws(AddressError) {
        isWild = text.hasPrefix("*.")
        var name = isWild ? text.dropFirst(2) : text[...]
        // The dot that may end a name.
        if name.hasSuffix(".") { name.removeLast() }
        let what = "host \(shown(text))"
        guard !name.isEmpty else { throw AddressError("\(what) has no name; write it like api.example.com") }
        guard !name.contains("*") else {
            throw AddressError("\(what) has an asterisk that is not at its beginning; write it like *.example.com")
        }
        let host = try Authority(name, scheme: "http", what: what)
        guard host.port == defaultPort(of: "http"), !name.hasSuffix(":"), !name.hasSuffix(":80") else {
            throw AddressError("\(what) has a port, which does not count; leave it out")
        }
        self.text = Array((isWild ? "." + host.host : host.host).utf8)
    }

    public var description: String { (isWild ? "*" : "") + String(decoding: text, as: UTF8.self) }

    public func matches(_ host: String) -> Bool {
        let bytes = Array(host.bytes)
        return matches(bytes.span, at: bytes.indices)
    }

    /// - Parameter range: a value of `Host`, in any case, with or without a port.
    func matches(_ bytes: Span<UInt8>, at range: Range<Int>) -> Bool {
        let end = bytes.endOfHost(in: range)
        let count = end - range.lowerBound
        guard isWild ? count > text.count : count == text.count else { return false }
        var index = end
        for byte in text.reversed() {
            index -= 1
            if bytes[index].lowercased != byte { return false }
        }
        return true
    }

    /// Whether every host that `other` is for is this one's, too.
    func covers(_ other: HostPattern) -> Bool {
        if self == other { return true }
        return isWild && other.text.count >= text.count && other.text.suffix(text.count).elementsEqual(text)
            && (other.isWild || other.text.count > text.count)
    }
}

extension Span<UInt8> {
    /// Where the name ends in a value of `Host`: before the port, and before the dot that may end a name.
    fileprivate func endOfHost(in range: Range<Int>) -> Int {
        var end = range.upperBound
        var index = end
        while index > range.lowerBound, self[index - 1].isDigit { index -= 1 }
        if index > range.lowerBound, self[index - 1] == UInt8(ascii: ":") { end = index - 1 }
        if end > range.lowerBound, self[end - 1] == UInt8(ascii: ".") { end -= 1 }
        return end
    }
}

extension UInt8 {
    /// In lower case, if it is an ASCII letter.
    fileprivate var lowercased: UInt8 { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(self) ? self | 0x20 : self }
}
