internal import NIOCore
internal import Perennial
public import PerennialHTTP

/// Everything that can be set about a gateway, or about a worker that refreshes a gateway's entries.
public struct GatewayConfiguration: Sendable {
    /// The server behind the gateway.
    public var origin: OriginURL
    /// Fields sent with every request to the origin, in place of the client's fields of those names. This is where the
    /// origin's credentials belong: they are neither stored nor logged. Default: none.
    public var originFields: HeaderFields = [:]
    /// Who may have signed the certificate of an `https` origin, and nobody else. Default: those whom the system trusts.
    public var originAuthorities: TrustedAuthorities?

    /// The address to listen on. Default: `127.0.0.1`.
    public var host = "127.0.0.1"
    /// The port to listen on; 0 picks one. Default: 8080.
    public var port = 8080
    /// The path of a Unix socket to listen on in place of `host` and `port`. Only this user may connect to it. Default: none.
    public var socketPath: String?
    /// With one, the listener speaks TLS, and HTTP/2 with who wants it. Default: none.
    public var certificate: ServerCertificate?
    /// How often to look whether the certificate's files have changed. Default: every 2 seconds.
    public var certificateInterval = Duration.seconds(2)
    /// Event loops, each a thread. Default: one a core.
    public var threads = System.coreCount

    /// Who says how long responses are fresh. Default: the origin.
    public var freshness = FreshnessMode.origin()
    /// Whether a request's `Cache-Control` is obeyed. Default: it is where the origin says how long responses are fresh, and not
    /// where the operator does.
    public var clientDirectives: ClientDirectives?
    /// Protections of a shared cache that are lifted. Default: none.
    public var allowances: Allowances = []
    /// How long a reader of an expired response that is usable on error waits for the origin. Default: until `timeout`.
    public var softTimeout: Duration?
    /// How long the origin may take to answer; in a passed-through body, how long it may pause. Default: 30 seconds.
    public var timeout = Duration.seconds(30)
    /// How long connecting to the origin may take, at most `timeout`. Default: 10 seconds.
    public var connectTimeout = Duration.seconds(10)
    /// Fetches and refreshes running at the same time; requests that pass through don't count. Default: no limit.
    public var originConcurrency: Int?
    /// Fetches and refreshes a second, and how many may come at once. Default: no limit.
    public var originRate: (perSecond: Double, burst: Int)?

    /// The size of the memory tier in bytes. Default: 64 MiB.
    public var memory = 64 << 20
    /// Refresh workers in this process; 0: other processes do the refreshing. Default: 2.
    public var workers = 2
    /// The largest body that is stored, in bytes; larger ones stream through. Default: 16 MiB.
    public var maxBody = 16 << 20
    /// For how long a response that may not be stored is remembered as such, so that its readers don't wait for one
    /// another. Default: 10 seconds.
    public var unstorableMemory = Duration.seconds(10)

    /// How long a connection may be idle, or a client may neither send the rest of its request nor read its answer.
    /// Default: 75 seconds.
    public var idleTimeout = Duration.seconds(75)
    /// Request line and fields together, in bytes; more is a 431. Default: 64 KiB.
    public var maxHeader = 64 << 10
    /// Fields in a request; more is a 431. Default: 128.
    public var maxHeaderFields = 128
    /// The request's target in bytes; more is a 414. Default: 8 KiB.
    public var maxTarget = 8 << 10

    public init(origin: OriginURL) {
        self.origin = origin
    }

    var effectiveClientDirectives: ClientDirectives { clientDirectives ?? ClientDirectives(for: freshness) }

    /// The freshness mode with limits for "no such thing" filled in: never longer than ``Perennial/Limits/absent``
    /// unless given.
    var effectiveFreshness: FreshnessMode {
        guard case .policy(let limits, clientErrors: nil) = freshness else { return freshness }
        let shorter = Limits(
            raising: min(limits.refreshAfter, Limits.absent.refreshAfter),
            min(limits.expireAfter, Limits.absent.expireAfter),
            min(limits.staleIfError, Limits.absent.staleIfError))
        return .policy(limits, clientErrors: shorter)
    }

    func rate() throws(PolicyError) -> OriginGuard.Rate? {
        guard let (perSecond, burst) = originRate else { return nil }
        return try OriginGuard.Rate(perSecond: perSecond, burst: Double(burst))
    }

    /// The engine's policy. Limits always come with the response; these are for what has none.
    func policy() throws(PolicyError) -> Policy {
        guard case .policy(let limits, _) = freshness else {
            // What the origin said about its own response is kept to the second.
            return try Policy(jitter: 0, softTimeout: softTimeout, timeout: timeout)
        }
        return try Policy(limits: limits, softTimeout: softTimeout, timeout: timeout)
    }
}
