/// Why a request is not taken.
public struct RequestComplaint: Error, Hashable, Sendable {
    /// 400 or 417.
    public let status: Int
    /// What is wrong and what to do, in one sentence.
    public let text: String
}

/// What must be right about a request's fields before anybody acts on it: one host (RFC 9112 §3.2) that is one (RFC
/// 9110 §7.2), and nothing expected that can't be done (RFC 9110 §10.1.1). Where the request ends has been settled by
/// whoever read its bytes (``RequestHead``).
///
/// - Parameter isOldVersion: HTTP/1.0: needs no `Host`, and knows no expectations.
public func complaint(
    aboutFields fields: some Sequence<(name: String, value: String)>, isOldVersion: Bool
) -> RequestComplaint? {
    var hosts = 0
    for (name, value) in fields {
        // Hardly any other field of a usual request has a name as long as these.
        switch name.utf8.count {
        case 4 where name.equalsIgnoringCase("host"):
            hosts += 1
            if !isHostAndPort(value) {
                return RequestComplaint(status: 400, text: "The request's Host is not a host and port.")
            }
        case 6 where !isOldVersion && name.equalsIgnoringCase("expect"):
            if !listMembers(value).allSatisfy({ $0.equalsIgnoringCase("100-continue") }) {
                return RequestComplaint(status: 417, text: "This gateway meets no expectation but \"100-continue\".")
            }
        default: break
        }
    }
    guard hosts == 1 || hosts == 0 && isOldVersion else {
        return RequestComplaint(status: 400, text: "The request has \(hosts) Host fields; it must have one.")
    }
    return nil
}

/// The value of `Content-Length`: digits alone (RFC 9110 §8.6), and no more than fits.
/// - Returns: `nil` when it is anything else, a sign, a list or an overflowing number among it.
public func bodyLength(_ value: String) -> Int64? {
    var length: Int64 = 0
    let digits = value.trimmed.bytes
    for byte in digits {
        guard byte.isDigit else { return nil }
        let (times, overflow) = length.multipliedReportingOverflow(by: 10)
        let (plus, more) = times.addingReportingOverflow(Int64(byte - UInt8(ascii: "0")))
        if overflow || more { return nil }
        length = plus
    }
    return digits.isEmpty ? nil : length
}
