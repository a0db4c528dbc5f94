internal import NIOCore
internal import Perennial
public import PerennialHTTP

/// Everything that can be set about a gateway, or about a worker that refreshes a gateway's entries.
public struct GatewayConfiguration: Sendable {
    /// Which requests go to which origin. Each goes to the first route that is for it.
    public var routes: [Route]

    /// The address to listen on. Default: `127.0.0.1`.
    public var host = "127.0.0.1"
    /// The port to listen on; 0 picks one. Default: 8080.
    public var port = 8080
    /// The path of a Unix socket to listen on in place of `host` and `port`. Only this user may connect to it. Default:
    /// none.
    public var socketPath: String?
    /// With one or more, the listener speaks TLS, and HTTP/2 with who wants it. Which of them a client is shown is chosen
    /// by the host it asks for (SNI); those who ask for another get the first. Default: none.
    public var certificates: [ServerCertificate] = []
    /// With TLS: clients must show a certificate that comes from these. Default: `nil`, they need none.
    public var clientAuthorities: TrustedAuthorities?
    /// How often to look whether the certificates' files have changed. Default: every 2 seconds.
    public var certificateInterval = Duration.seconds(2)
    /// Event loops, each a thread. Default: one a core.
    public var threads = System.coreCount

    /// The size of the memory tier in bytes. Default: 64 MiB.
    public var memory = 64 << 20
    /// What large bodies may take in memory besides the memory tier, all together, in bytes: on their way from the
    /// origins into the cache, each twice its size, and those that clients have not taken yet. What does not fit goes
    /// from the origin to its reader piece by piece and is not stored; requests for what only the store has wait; and
    /// the clients that have taken nothing for the longest are cut off. Default: 64 MiB.
    public var bodyMemory = 64 << 20
    /// Refresh workers in this process; 0: other processes do the refreshing. Default: 2.
    public var workers = 2
    /// For how long a response that may not be stored is remembered as such, so that its readers don't wait for one
    /// another. Default: 10 seconds.
    public var unstorableMemory = Duration.seconds(10)

    /// Whose PURGE removes what is stored for its address; a PURGE from elsewhere is a 403. Default: nobody's, and PURGE
    /// passes to the origin, as other methods do.
    public var purgeFrom: [AddressRange] = []

    /// How long a connection may be idle, or a client may neither send the rest of its request nor read its answer.
    /// Default: 75 seconds.
    public var idleTimeout = Duration.seconds(75)
    /// How long a request's line and fields may take from their first byte to their last; longer is a 408. Default: 30
    /// seconds.
    public var headTimeout = Duration.seconds(30)
    /// The largest body of a request, in bytes; more is a 413. Default: no limit.
    public var maxRequestBody: Int?
    /// Connections at a time; one more is answered with a 503, or closed where TLS would have to come first. Default:
    /// 10,000.
    public var maxConnections = 10_000
    /// Connections at a time from one client: an address of IPv4, or the first 64 bits of one of IPv6. One more is
    /// refused as one beyond ``maxConnections`` is. 0: no limit. Default: 0.
    public var maxConnectionsPerClient = 0
    /// How fast a client must send the body of a request, in bytes a second on average; for the first 10 seconds
    /// nothing is asked of it, and time that the origin takes does not count. Slower is a 408. 0: no limit. Default:
    /// 500.
    public var minUploadRate = 500
    /// For how long a gateway that is told to stop goes on to listen, closing each connection behind its next answer,
    /// so that who sends it clients can learn that it stops. Default: 0.
    public var drain = Duration.zero
    /// Request line and fields together, in bytes; more is a 431. Default: 64 KiB.
    public var maxHeader = 64 << 10
    /// Fields in a request; more is a 431. Default: 128.
    public var maxHeaderFields = 128
    /// The request's target in bytes; more is a 414. Default: 8 KiB.
    public var maxTarget = 8 << 10

    /// - Parameter routes: at least one.
    public init(routes: [Route]) {
        self.routes = routes
    }

    /// Takes every request to one origin.
    public init(origin: OriginURL) {
        self.init(routes: [Route(origin: Origin(origin))])
    }
}
