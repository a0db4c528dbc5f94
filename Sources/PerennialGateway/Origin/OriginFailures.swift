internal import NIOCore
internal import NIOHTTP2
internal import NIOPosix
internal import NIOSSL
internal import Perennial
internal import PerennialHTTP

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// The origin answered that it can't answer now. With nothing else to serve, this answer goes to the client whose
/// request brought it.
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
    /// What went wrong, in the words of RFC 9209 §2.3. The raw value is fit for `Cache-Status`'s `detail`.
    enum Reason: String, Sendable, CaseIterable {
        /// The name could not be resolved.
        case dnsError = "dns_error"
        case connectionRefused = "connection_refused"
        /// No connection came about in time, TLS included.
        case connectionTimeout = "connection_timeout"
        case destinationUnroutable = "destination_ip_unroutable"
        /// The connection ended before there was an answer.
        case connectionTerminated = "connection_terminated"
        /// As many requests are on their way to the origin as there may be.
        case connectionLimit = "connection_limit_reached"
        /// The origin does not take the request.
        case writeTimeout = "connection_write_timeout"
        /// The answer's body paused for too long.
        case readTimeout = "connection_read_timeout"
        case tlsProtocolError = "tls_protocol_error"
        case tlsCertificateError = "tls_certificate_error"
        /// The answer's head did not come in time.
        case responseTimeout = "http_response_timeout"
        /// The answer broke off.
        case responseIncomplete = "http_response_incomplete"
        /// What came is no HTTP.
        case protocolError = "http_protocol_error"
        /// As many bodies are in memory as there may be.
        case memoryLimit = "memory_limit_reached"
    }

    let reason: Reason
    /// What exactly was seen, for the log: never for clients.
    let seen: String?
    /// Whether the request can be sent again: it went out on a connection that had been used before, and nothing came
    /// back.
    var isStaleConnection = false

    init(_ reason: Reason, seen: String? = nil) {
        self.reason = reason
        self.seen = seen
    }

    var retryAfter: Duration? { nil }
    var isPermanent: Bool { false }

    /// What can't be connected to can't be for any address. What is lacking here says nothing of the origin.
    var scope: OriginFailureScope {
        switch reason {
        case .connectionLimit, .memoryLimit: .none
        case .dnsError, .connectionRefused, .connectionTimeout, .destinationUnroutable, .tlsProtocolError,
            .tlsCertificateError:
            .origin
        default: .address
        }
    }

    var description: String {
        let text =
            switch reason {
            case .dnsError: "the origin's name can't be resolved"
            case .connectionRefused: "the origin refuses connections"
            case .connectionTimeout: "no connection to the origin came about in time"
            case .destinationUnroutable: "there is no way to the origin's address"
            case .connectionTerminated: "the origin closed the connection instead of answering"
            case .connectionLimit: "as many requests are on their way to the origin as there may be"
            case .writeTimeout: "the origin did not take the request in time"
            case .readTimeout: "the origin's answer paused for too long"
            case .tlsProtocolError: "TLS with the origin failed"
            case .tlsCertificateError: "the origin's certificate is not trusted"
            case .responseTimeout: "the origin did not answer in time"
            case .responseIncomplete: "the origin's answer broke off"
            case .protocolError: "the origin's answer is not valid HTTP"
            case .memoryLimit: "as many answers are in memory as there may be (--body-memory)"
            }
        return seen.map { "\(text): \($0)" } ?? text
    }
}

extension OriginBroken {
    /// What an error while connecting means.
    init(connecting error: any Error) {
        switch error {
        case let error as OriginBroken: self = error
        case let error as NIOConnectionError:
            if let single = error.connectionErrors.first {
                self.init(connecting: single.error)
            } else {
                let cause = error.dnsAError ?? error.dnsAAAAError
                self.init(.dnsError, seen: cause.map { String(describing: $0) })
            }
        case let error as IOError:
            switch error.errnoCode {
            case ECONNREFUSED: self.init(.connectionRefused)
            case EHOSTUNREACH, ENETUNREACH: self.init(.destinationUnroutable, seen: String(describing: error))
            case ETIMEDOUT: self.init(.connectionTimeout)
            default: self.init(.connectionTerminated, seen: String(describing: error))
            }
        case ChannelError.connectTimeout: self.init(.connectionTimeout)
        case is SocketAddressError: self.init(.dnsError, seen: String(describing: error))
        case let error as NIOSSLError: self.init(tls: String(describing: error))
        case let error as BoringSSLError: self.init(tls: String(describing: error))
        case let error as NIOSSLExtraError: self.init(.tlsCertificateError, seen: String(describing: error))
        default: self.init(.connectionTerminated, seen: String(describing: error))
        }
    }

    private init(tls seen: String) {
        let isAboutCertificate = seen.contains("CERTIFICATE") || seen.contains("ertificate")
        self.init(isAboutCertificate ? .tlsCertificateError : .tlsProtocolError, seen: seen)
    }

    /// What an error on a connection means whose request was on its way.
    init(answering error: any Error) {
        switch error {
        case let error as OriginBroken: self = error
        case let problem as ResponseProblem:
            self.init(problem == .length ? .responseIncomplete : .protocolError, seen: problem.rawValue)
        case is NIOHTTP2Errors.StreamClosed, is ChannelError: self.init(.responseIncomplete)
        case is any NIOHTTP2Error: self.init(.protocolError, seen: String(describing: error))
        default: self.init(.responseIncomplete, seen: String(describing: error))
        }
    }
}

/// `Retry-After`: seconds, or a date (RFC 9110 §10.2.3).
func parseRetryAfter(_ text: String, now: Timestamp) -> Duration? {
    if let seconds = Int64(text), seconds >= 0 { return .seconds(min(seconds, 1 << 31)) }
    return HTTPDate.parse(text).map { max(.zero, $0 - now) }
}
