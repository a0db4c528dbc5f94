/// The fields of a 206 made from a stored 200 (RFC 9110 §15.3.7): all of them, but for those that are about the message's own
/// content, which is another now.
///
/// - Parameter boundary: of several parts; `nil`: there is one.
public func partialFields(of stored: HeaderFields, boundary: String?) -> HeaderFields {
    var fields = stored.removing(["content-length", "content-range", "content-digest", "content-md5"])
    if let boundary { fields.set("Content-Type", to: "multipart/byteranges; boundary=\(boundary)") }
    return fields
}

/// The fields of a 416 for a stored 200 of this size (RFC 9110 §15.5.17).
public func unsatisfiableFields(size: Int) -> HeaderFields {
    ["Content-Range": "bytes */\(size)", "Accept-Ranges": "bytes"]
}

/// The value of `Content-Range` for a part (RFC 9110 §14.4).
public func contentRange(_ part: Range<Int>, size: Int) -> String {
    "bytes \(part.lowerBound)-\(part.upperBound - 1)/\(size)"
}

/// What stands before each part of a `multipart/byteranges`, and behind the last one (RFC 9110 §14.6, RFC 2046 §5.1).
public struct PartDelimiters: Hashable, Sendable {
    /// One a part.
    public var heads: [String]
    public var end: String

    /// - Parameters:
    ///   - contentType: of the whole; `nil`: it says none.
    ///   - boundary: must not be in the body, so it must be one that nobody could foresee.
    public init(_ parts: [Range<Int>], size: Int, contentType: String?, boundary: String) {
        let type = contentType.map { "Content-Type: \($0)\r\n" } ?? ""
        heads = parts.enumerated().map { index, part in
            let lineEnd = index == 0 ? "" : "\r\n"
            return "\(lineEnd)--\(boundary)\r\n\(type)Content-Range: \(contentRange(part, size: size))\r\n\r\n"
        }
        end = "\r\n--\(boundary)--\r\n"
    }
}
