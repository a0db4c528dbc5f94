internal import AsyncHTTPClient
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Perennial
internal import PerennialHTTP

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// The origin answered that it can't answer now, or refused what it gave before. With nothing else to serve, this answer
/// goes to the client.
struct OriginRefusal: OriginError, CustomStringConvertible {
    /// The origin's answer; its body is empty when it was larger than anyone needs in an error.
    let response: StoredResponse
    let retryAfter: Duration?
    var isPermanent: Bool { false }
    /// A 5xx is the address's. What else is refused was asked for: the origin works.
    var scope: OriginFailureScope { response.status >= 500 ? .address : .request }

    init(_ response: StoredResponse, now: Timestamp) {
        self.response = response
        retryAfter = response.fields.first("Retry-After").flatMap { parseRetryAfter($0, now: now) }
    }

    var description: String { "the origin answered \(response.status)" }
}

/// The origin could not be reached, or what came was no whole answer.
struct OriginBroken: OriginError, CustomStringConvertible {
    enum Kind: Sendable {
        case unreachable, timedOut, incomplete
        /// The request can't be sent: it isn't a valid one.
        case unsendable
    }

    let kind: Kind
    /// Whether no connection was made.
    private let isOfConnecting: Bool
    var retryAfter: Duration? { nil }
    var isPermanent: Bool { kind == .unsendable }
    /// What can't be connected to can't be for any address.
    var scope: OriginFailureScope { isOfConnecting ? .origin : .address }

    var description: String {
        switch kind {
        case .unreachable: "the origin can't be reached"
        case .timedOut: "the origin did not answer in time"
        case .incomplete: "the origin's answer broke off or was not valid HTTP"
        case .unsendable: "the request can't be sent to the origin as it is"
        }
    }

    /// What an error of the client library means here.
    init(_ error: any Error) {
        switch error {
        case let error as HTTPClientError:
            kind =
                switch error {
                case .connectTimeout, .readTimeout, .writeTimeout, .deadlineExceeded, .getConnectionFromPoolTimeout,
                    .tlsHandshakeTimeout:
                    .timedOut
                case .invalidURL, .emptyHost, .bodyLengthMismatch, .traceRequestWithBody:
                    .unsendable
                default: .incomplete
                }
        case is HTTPParserError, is ResponseProblem: kind = .incomplete
        case let error as IOError where error.errnoCode == ECONNRESET || error.errnoCode == EPIPE:
            kind = .incomplete
        case is ChannelError: kind = .incomplete
        default: kind = .unreachable
        }
        let known = error as? HTTPClientError
        isOfConnecting = kind == .unreachable || known == .connectTimeout || known == .tlsHandshakeTimeout
    }

    init(_ kind: Kind) {
        self.kind = kind
        isOfConnecting = kind == .unreachable
    }
}

/// `Retry-After`: seconds, or a date (RFC 9110 §10.2.3).
func parseRetryAfter(_ text: String, now: Timestamp) -> Duration? {
    if let seconds = Int64(text), seconds >= 0 { return .seconds(min(seconds, 1 << 31)) }
    return HTTPDate.parse(text).map { max(.zero, $0 - now) }
}
