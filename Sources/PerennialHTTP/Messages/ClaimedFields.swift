/// Whether a request field says something that only a server before this one could know: who the client is, which host or
/// address was really asked for. Origins act on such fields ("X-Forwarded-Host" in links, "X-Original-URL" in routing), caches
/// don't tell requests apart by them, and nobody vouches for them here: they are not sent on.
///
/// `_` counts as `-`, as it does for an origin behind CGI or WSGI; so also names there that would be read as framing.
public func isClaim(_ name: String) -> Bool {
    let name = foldedName(name)
    return claimPrefixes.contains { name.hasPrefix($0) } || claims.contains(name)
}

/// A field's name as an origin behind CGI or WSGI sees it: in lower case, `_` as `-`.
public func foldedName(_ name: String) -> String {
    String(decoding: name.bytes.map { $0 == UInt8(ascii: "_") ? UInt8(ascii: "-") : $0.lowercasedASCII }, as: UTF8.self)
}

private let claimPrefixes = ["x-forwarded-", "x-original-", "x-rewrite-"]

private let claims: Set<String> = [
    "forwarded", "x-forwarded", "x-forwarder-for", "forwarded-for",
    // The client.
    "x-real-ip", "x-client-ip", "client-ip", "true-client-ip", "x-true-client-ip", "x-cluster-client-ip",
    "x-remote-ip", "x-remote-addr", "x-originating-ip", "x-proxyuser-ip", "cf-connecting-ip", "fastly-client-ip",
    // The host, the scheme and the address.
    "x-host", "x-http-host-override", "x-http-destinationurl", "x-url-scheme", "x-scheme", "front-end-https",
    "x-envoy-original-path", "x-waws-unencoded-url", "base-url", "destination-url", "request-uri", "x-proxy-url",
]

/// Whether a request field's name is that of a field which says how the message itself is to be read, but for `_` in the place of
/// `-`. Such a field is not sent on: some servers read it as the other.
public func isDisguisedFraming(_ name: String) -> Bool {
    guard name.bytes.contains(UInt8(ascii: "_")) else { return false }
    return ["content-length", "transfer-encoding"].contains { framing in
        name.utf8.count == framing.utf8.count
            && zip(name.utf8, framing.utf8).allSatisfy {
                $0.lowercasedASCII == $1 || $0 == UInt8(ascii: "_") && $1 == UInt8(ascii: "-")
            }
    }
}

/// Whether a field says that the method is another than the request's own. A GET which has one may be something else to the origin, so
/// it can't be answered from the cache.
func overridesMethod(_ name: String) -> Bool {
    ["x-http-method-override", "x-http-method", "x-method-override"].contains { name.equalsIgnoringCase($0) }
}
