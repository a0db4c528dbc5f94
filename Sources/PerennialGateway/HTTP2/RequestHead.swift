internal import NIOHPACK
internal import NIOHTTP1
internal import PerennialHTTP

extension HTTPRequestHead {
    /// A request of HTTP/2, as it would be in HTTP/1.1 (RFC 9113 §8.3.1).
    ///
    /// That pseudo-fields are there once and first, and that no field belongs to one connection or breaks a line, has
    /// been checked by the library, which has values as text: bytes that are no UTF-8 have become U+FFFD. What is
    /// refused in HTTP/1.1 is refused here, for the origin may be sent it in that form.
    /// - Parameter isWhole: there is no body.
    /// - Throws: what makes it no request.
    init(_ block: HPACKHeaders, isWhole: Bool, limits: HeadLimits) throws(RequestSyntaxError) {
        var method = ""
        var target = ""
        var authority: String?
        var cookie: String?
        var hasLength = false
        var size = 0
        var headers = HTTPHeaders()
        headers.reserveCapacity(block.count)
        for (name, value, _) in block {
            size += name.utf8.count + value.utf8.count
            if size > limits.size {
                throw RequestSyntaxError(
                    431, "The request's fields are longer than the \(limits.size) bytes that this gateway takes.")
            }
            switch name {
            case ":method": method = value
            case ":path": target = value
            case ":authority": authority = value
            case _ where name.utf8.first == UInt8(ascii: ":"): break
            // Clients may send each cookie by itself (RFC 9113 §8.2.3).
            case "cookie" where cookie == nil: cookie = value
            case "cookie":
                cookie?.append("; ")
                cookie?.append(value)
            default:
                if !value.utf8.allSatisfy(\.isFieldByte) { throw Self.controls }
                if name == "content-length" {
                    guard !hasLength, bodyLength(value) != nil else {
                        throw RequestSyntaxError(400, "The request's Content-Length is not one number of bytes.")
                    }
                    hasLength = true
                }
                headers.add(name: name, value: value.asFieldText)
            }
        }
        guard method.isToken else { throw RequestSyntaxError(400, "The request's method is not a token.") }
        guard target.isEmpty || target == "*" || target.utf8.first == UInt8(ascii: "/") else {
            throw RequestSyntaxError(400, "The request's :path is not a path.")
        }
        if let cookie {
            if !cookie.utf8.allSatisfy(\.isFieldByte) { throw Self.controls }
            headers.add(name: "cookie", value: cookie.asFieldText)
        }
        if let authority {
            // One of the two would be believed here, the other perhaps by the origin.
            guard headers["host"].allSatisfy({ $0.lowercased() == authority.lowercased() }) else {
                throw RequestSyntaxError(400, "The request's Host is not its :authority.")
            }
            headers.replaceOrAdd(name: "host", value: authority)
        }
        // How HTTP/1.1 says that a body of unknown length follows.
        if !isWhole && !hasLength { headers.add(name: "transfer-encoding", value: "chunked") }
        if headers.count > limits.fields {
            throw RequestSyntaxError(
                431, "The request has more fields than the \(limits.fields) that this gateway takes.")
        }
        self.init(
            version: HTTPVersion(major: 2, minor: 0), method: HTTPMethod(rawValue: method),
            uri: target.isEmpty ? authority ?? "" : target, headers: headers)
    }

    private static let controls = RequestSyntaxError(
        400, "A value of the request's fields has control characters in it.")
}
