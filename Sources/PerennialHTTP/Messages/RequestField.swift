/// What a request field is to the gateway, told by its name: the one list that the parser, the rules of caching, keys
/// and forwarding all go by.
///
/// Letter case does not matter, and `_` counts as `-`, as it does for an origin behind CGI or WSGI: `X_Api_Key` is
/// `X-Api-Key`.
public enum RequestFieldClass: Hashable, Sendable, CaseIterable {
    /// Nothing that the gateway knows of, or nothing that it has to act on.
    case ordinary
    /// `Host`.
    case host
    /// `Content-Length` and `Transfer-Encoding`, which say where the message ends.
    case framing
    /// One of those with a `_` in it. Not sent on: some servers read it as the other.
    case disguisedFraming
    /// `Connection`.
    case connection
    /// Another field for one connection alone (RFC 9110 §7.6.1).
    case hopByHop
    /// `Upgrade`.
    case upgrade
    /// `Expect`.
    case expectation
    /// `If-Match` and `If-Unmodified-Since`, which are for the origin alone (RFC 9111 §4.3.2).
    case precondition
    /// `If-None-Match` and `If-Modified-Since`.
    case validation
    /// `Range` and `If-Range`.
    case range
    /// `Cache-Control` and `Pragma`.
    case cacheDirective
    /// `Cookie`.
    case cookie
    /// `Authorization`, and other names under which secrets are sent: those that are known, and those that end in a
    /// word such as `key`, `token`, `secret` or `session`. Part of no key, job, stored entry or trailer.
    case credential
    /// `Proxy-Authorization`: a credential for one connection alone.
    case proxyCredential
    /// Says that the method is another than the request's own. A GET which has one may be something else to the origin.
    case methodOverride
    /// Says what only a server before this one could know: who the client is, which host, scheme or address was really
    /// asked for. Origins act on such fields, caches don't tell requests apart by them, and nobody vouches for them
    /// here: not sent on.
    case claim
    /// `Referer` and `From`: where this client comes from.
    case referrer

    public init(_ name: String) {
        var name = name
        self = name.withUTF8 { RequestFieldClass($0.span, at: 0..<$0.count) }
    }

    /// As ``init(_:)``, of a name as it lies among received bytes. Copies nothing.
    package init(_ bytes: Span<UInt8>, at name: Range<Int>) {
        self = RequestFieldTable.shared.find(bytes, name)
    }

    /// Whether a field must not be part of a key, a job, a stored entry or a trailer.
    public var isSecret: Bool { self == .credential || self == .proxyCredential || self == .cookie }

    /// Whether a GET that has such a field needs a closer look before it is answered from the cache. What the gateway
    /// leaves out when it asks can't matter to the answer.
    package var isRemarkable: Bool {
        switch self {
        case .ordinary, .host, .disguisedFraming, .connection, .hopByHop, .proxyCredential, .claim, .referrer: false
        case .framing, .upgrade, .expectation, .precondition, .validation, .range, .cacheDirective, .cookie,
            .credential, .methodOverride:
            true
        }
    }
}

extension RequestFieldClass {
    /// The names of each class that has some, in lower case, with `-`.
    package static let names: [(class: RequestFieldClass, names: [StaticString])] = [
        (.host, ["host"]),
        (.framing, ["content-length", "transfer-encoding"]),
        (.connection, ["connection"]),
        (
            .hopByHop,
            [
                "keep-alive", "proxy-authenticate", "proxy-authentication-info", "proxy-connection", "te", "trailer",
                "http2-settings",
            ]
        ),
        (.upgrade, ["upgrade"]),
        (.expectation, ["expect"]),
        (.precondition, ["if-match", "if-unmodified-since"]),
        (.validation, ["if-none-match", "if-modified-since"]),
        (.range, ["range", "if-range"]),
        (.cacheDirective, ["cache-control", "pragma"]),
        (.cookie, ["cookie", "cookie2"]),
        (.proxyCredential, ["proxy-authorization"]),
        (.methodOverride, ["x-http-method-override", "x-http-method", "x-method-override"]),
        (.referrer, ["referer", "from"]),
        // These end in no word that secrets end in.
        (.credential, ["dpop", "signature-input"]),
        // These do, and are none.
        (
            .ordinary,
            ["idempotency-key", "x-idempotency-key", "sec-websocket-key", "surrogate-key", "accept-signature"]
        ),
        (
            .claim,
            [
                "forwarded", "x-forwarded", "x-forwarder-for", "forwarded-for",
                // The client.
                "x-real-ip", "x-client-ip", "client-ip", "true-client-ip", "x-true-client-ip", "x-cluster-client-ip",
                "x-remote-ip", "x-remote-addr", "x-originating-ip", "x-proxyuser-ip", "cf-connecting-ip",
                "fastly-client-ip", "remote-user", "x-remote-user", "client-cert", "client-cert-chain",
                "x-client-cert", "x-arr-clientcert",
                // The host, the scheme and the address; "Proxy" becomes HTTP_PROXY in CGI, which programs take for
                // their own.
                "x-host", "x-http-host-override", "x-http-destinationurl", "x-url-scheme", "x-scheme",
                "front-end-https", "https", "x-arr-ssl", "cloudfront-forwarded-proto", "cf-visitor", "proxy",
                "x-envoy-original-path", "x-waws-unencoded-url", "base-url", "destination-url", "request-uri",
                "x-proxy-url", "x-override-url", "x-now-route-matches",
            ]
        ),
    ]

    /// What the names of claims begin with.
    package static let claimPrefixes: [StaticString] = [
        "x-forwarded-", "x-forward-", "x-original-", "x-rewrite-", "x-auth-request-", "x-ssl-client-", "ssl-client-",
        "x-middleware-", "x-azure-",
    ]

    /// What the names of credentials end in, or consist of: the last word, or the last two.
    package static let secretEndings: [StaticString] = [
        "key", "apikey", "token", "secret", "password", "passwd", "passphrase", "auth", "session", "session-id",
        "sessionid", "signature", "credential", "credentials", "authorization", "jwt",
    ]
}

/// The names by their lengths, for a quick look: of nearly all fields of a usual request three letters and the length
/// say that they are in no list.
///
/// `@unchecked`: never changed once it is made, and never given back. Memory of its own instead of arrays, so that the
/// hits of all threads don't count the same references.
private struct RequestFieldTable: @unchecked Sendable {
    static let shared = RequestFieldTable()

    private let entries: UnsafeMutableBufferPointer<(name: StaticString, class: RequestFieldClass)>
    /// Where the names of each length begin among the entries; of the length that is one more, where they end.
    private let starts: UnsafeMutableBufferPointer<Int>
    /// What the names of each length begin with: a bit for each letter.
    private let firstLetters: UnsafeMutableBufferPointer<UInt32>
    private let prefixes: UnsafeMutableBufferPointer<StaticString>
    /// For each letter that a prefix begins with, which letters may follow it.
    private let prefixLetters: UnsafeMutableBufferPointer<UInt32>
    private let endings: UnsafeMutableBufferPointer<StaticString>
    /// For each letter that an ending may end with, which letters may come before it.
    private let lastLetters: UnsafeMutableBufferPointer<UInt32>

    private init() {
        func copy<Element>(_ elements: [Element]) -> UnsafeMutableBufferPointer<Element> {
            let buffer = UnsafeMutableBufferPointer<Element>.allocate(capacity: elements.count)
            _ = buffer.initialize(from: elements)
            return buffer
        }
        let all = RequestFieldClass.names.flatMap { group in group.names.map { ($0, group.class) } }
            .sorted { $0.0.utf8CodeUnitCount < $1.0.utf8CodeUnitCount }
        let lengths = 0...(all.last?.0.utf8CodeUnitCount ?? 0) + 1
        entries = copy(all)
        starts = copy(lengths.map { length in all.count { $0.0.utf8CodeUnitCount < length } })
        firstLetters = copy(
            lengths.map { length in
                all.filter { $0.0.utf8CodeUnitCount == length }.reduce(0) { $0 | Self.bit($1.0.utf8Start[0]) }
            })
        prefixes = copy(RequestFieldClass.claimPrefixes)
        var second = [UInt32](repeating: 0, count: 32)
        for prefix in RequestFieldClass.claimPrefixes {
            // A dash may be written as an underscore.
            let bits = prefix.utf8Start[1] == UInt8(ascii: "-") ? Self.bit(UInt8(ascii: "_")) : 0
            second[Int(prefix.utf8Start[0] & 31)] |= Self.bit(prefix.utf8Start[1]) | bits
        }
        prefixLetters = copy(second)
        endings = copy(RequestFieldClass.secretEndings)
        var last = [UInt32](repeating: 0, count: 32)
        for ending in RequestFieldClass.secretEndings {
            let end = ending.utf8Start + ending.utf8CodeUnitCount
            last[Int(end[-1] & 31)] |= Self.bit(end[-2])
        }
        lastLetters = copy(last)
    }

    /// The same for both cases of a letter. Other characters share theirs with letters.
    @inline(__always)
    private static func bit(_ letter: UInt8) -> UInt32 { 1 << UInt32(letter & 31) }

    func find(_ bytes: Span<UInt8>, _ name: Range<Int>) -> RequestFieldClass {
        let count = name.count
        if count < 2 { return .ordinary }
        let first = Self.bit(bytes[name.lowerBound])
        if count < firstLetters.count, firstLetters[count] & first != 0 {
            for index in starts[count]..<starts[count + 1]
            where bytes.holdsFolded(entries[index].name, at: name.lowerBound) {
                let found = entries[index].class
                return found == .framing && bytes.hasUnderscore(name) ? .disguisedFraming : found
            }
        }
        if prefixLetters[Int(bytes[name.lowerBound] & 31)] & Self.bit(bytes[name.lowerBound + 1]) != 0 {
            for prefix in prefixes
            where prefix.utf8CodeUnitCount <= count && bytes.holdsFolded(prefix, at: name.lowerBound) {
                return .claim
            }
        }
        let last = lastLetters[Int(bytes[name.upperBound - 1] & 31)]
        guard last & Self.bit(bytes[name.upperBound - 2]) != 0 else { return .ordinary }
        for ending in endings where endsIn(ending, bytes, name) { return .credential }
        return .ordinary
    }

    /// Whether the last words are these.
    private func endsIn(_ ending: StaticString, _ bytes: Span<UInt8>, _ name: Range<Int>) -> Bool {
        let start = name.upperBound - ending.utf8CodeUnitCount
        guard start >= name.lowerBound, bytes.holdsFolded(ending, at: start) else { return false }
        return start == name.lowerBound || bytes[start - 1].folded == UInt8(ascii: "-")
    }
}

extension Span<UInt8> {
    /// Whether `text` lies at `start`, in any case and with `_` for `-`; the caller sees that there is room for it.
    fileprivate func holdsFolded(_ text: StaticString, at start: Int) -> Bool {
        for offset in 0..<text.utf8CodeUnitCount where self[start + offset].folded != text.utf8Start[offset] {
            return false
        }
        return true
    }

    fileprivate func hasUnderscore(_ range: Range<Int>) -> Bool {
        for index in range where self[index] == UInt8(ascii: "_") { return true }
        return false
    }
}

extension UInt8 {
    /// In lower case, `_` as `-`.
    var folded: UInt8 { self == UInt8(ascii: "_") ? UInt8(ascii: "-") : lowercasedASCII }
}

extension StringProtocol {
    /// Whether both are the same name to an origin behind CGI or WSGI: see ``foldedName(_:)``.
    func equalsFolded(_ other: some StringProtocol) -> Bool {
        Steps.take()
        guard utf8.count == other.utf8.count else { return false }
        return zip(bytes, other.utf8).allSatisfy { $0.folded == $1.folded }
    }
}

/// A field's name as an origin behind CGI or WSGI sees it: in lower case, `_` as `-`.
public func foldedName(_ name: String) -> String {
    String(decoding: name.bytes.map(\.folded), as: UTF8.self)
}
