/// Why a request is not taken.
public struct RequestComplaint: Error, Hashable, Sendable {
    /// 400, 417 or 501.
    public let status: Int
    /// What is wrong and what to do, in one sentence.
    public let text: String
}

/// What must be right about a request's fields before anybody acts on it: one way to find its end (RFC 9112 §6.3), one host
/// (§3.2), and nothing expected that can't be done (RFC 9110 §10.1.1).
///
/// The parser of bytes before this refuses what is no line, no name, no number. This looks at what several fields mean together
/// and at what a parser may let through, so that no two servers can understand a request in two ways. Show it each field line
/// with ``see(name:value:)``; that allocates nothing.
public struct RequestCheck: Sendable {
    private let isOldVersion: Bool
    private var hosts = 0
    private var lengths = 0
    private var codings = 0
    private var first: Problem?
    /// The announced size of the body in bytes; `nil`: none is announced.
    public private(set) var contentLength: Int64?

    fileprivate enum Problem {
        case hosts, host, lengths, length, both, coding, unknownCoding, oldCoding, expectation
    }

    /// - Parameter isOldVersion: HTTP/1.0: needs no `Host`, knows neither transfer codings nor expectations.
    public init(isOldVersion: Bool) {
        self.isOldVersion = isOldVersion
    }

    /// Takes the next field line into account.
    public mutating func see(name: String, value: String) {
        // The lengths of the four names; hardly any other field of a usual request has one of them.
        switch name.utf8.count {
        case 4 where name.equalsIgnoringCase("host"):
            hosts += 1
            if hosts > 1 { note(.hosts) } else if !isHost(value.trimmed) { note(.host) }
        case 6 where !isOldVersion && name.equalsIgnoringCase("expect"):
            if !listMembers(value).allSatisfy({ $0.equalsIgnoringCase("100-continue") }) { note(.expectation) }
        case 14 where name.equalsIgnoringCase("content-length"):
            lengths += 1
            contentLength = bodyLength(value)
            if lengths > 1 { note(.lengths) } else if contentLength == nil { note(.length) }
        case 17 where name.equalsIgnoringCase("transfer-encoding"):
            codings += 1
            if isOldVersion { note(.oldCoding) } else if codings > 1 { note(.coding) } else { check(coding: value) }
        default: break
        }
    }

    /// What is wrong, once all fields have been seen; `nil`: nothing.
    public var complaint: RequestComplaint? {
        if let first { return first.complaint }
        if lengths > 0 && codings > 0 { return Problem.both.complaint }
        return hosts == 0 && !isOldVersion ? Problem.hosts.complaint : nil
    }

    private mutating func note(_ problem: Problem) {
        first = first ?? problem
    }

    /// "chunked" alone is understood. What ends otherwise has no known end (RFC 9112 §6.3, 400); what has another coding before
    /// it could be understood by somebody else (§6.1, 501).
    private mutating func check(coding value: String) {
        if value.trimmed.equalsIgnoringCase("chunked") { return }
        let members = listMembers(value)
        let isChunkedLast = members.last?.equalsIgnoringCase("chunked") == true
        let chunked = members.count { $0.equalsIgnoringCase("chunked") }
        note(isChunkedLast && chunked == 1 && members.count > 1 ? .unknownCoding : .coding)
    }
}

extension RequestCheck.Problem {
    fileprivate var complaint: RequestComplaint {
        switch self {
        case .hosts: RequestComplaint(status: 400, text: "The request must have one Host field.")
        case .host: RequestComplaint(status: 400, text: "The request's Host is not a host and port.")
        case .lengths: RequestComplaint(status: 400, text: "The request has more than one Content-Length.")
        case .length: RequestComplaint(status: 400, text: "The request's Content-Length is not a number of bytes.")
        case .both:
            RequestComplaint(
                status: 400, text: "The request has both Content-Length and Transfer-Encoding; send one of them.")
        case .coding:
            RequestComplaint(status: 400, text: "The request's Transfer-Encoding is not \"chunked\", and once.")
        case .unknownCoding:
            RequestComplaint(
                status: 501, text: "This gateway knows no transfer coding but \"chunked\"; use Content-Encoding.")
        case .oldCoding:
            RequestComplaint(status: 400, text: "HTTP/1.0 has no Transfer-Encoding; send Content-Length.")
        case .expectation:
            RequestComplaint(status: 417, text: "This gateway meets no expectation but \"100-continue\".")
        }
    }
}

/// The value of `Content-Length`: digits alone (RFC 9110 §8.6), and no more than fits.
/// - Returns: `nil` when it is anything else, a sign, a list or an overflowing number among it.
public func bodyLength(_ value: String) -> Int64? {
    var length: Int64 = 0
    let digits = value.trimmed.utf8
    for byte in digits {
        guard byte.isDigit else { return nil }
        let (times, overflow) = length.multipliedReportingOverflow(by: 10)
        let (plus, more) = times.addingReportingOverflow(Int64(byte - UInt8(ascii: "0")))
        if overflow || more { return nil }
        length = plus
    }
    return digits.isEmpty ? nil : length
}

/// Whether `text` has the letters of a host and port and of nothing else (RFC 9110 §7.2; RFC 3986 §3.2.2). Empty is allowed.
private func isHost(_ text: Substring) -> Bool {
    text.utf8.allSatisfy { byte in
        byte.isLetter || byte.isDigit || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "-")
            || byte == UInt8(ascii: ":") || "_~[]%!$&'()*+,;=".utf8.contains(byte)
    }
}
