public import Logging
internal import NIOConcurrencyHelpers
internal import NIOCore
internal import NIOPosix
internal import NIOSSL
public import Perennial
internal import PerennialHTTP

/// The data plane: listens, answers from the cache, asks the origin for the rest.
///
/// ```swift
/// let gateway = try Gateway(configuration: .init(origin: OriginURL("https://api.example.com")))
/// let address = try await gateway.start()
/// …
/// await gateway.shutdown()
/// ```
///
/// A gateway that was made must be shut down, whether it was started or not.
public final class Gateway: Sendable {
    /// The cache and everything behind it.
    public let responses: ResponseCache

    private let configuration: GatewayConfiguration
    private let group: MultiThreadedEventLoopGroup
    private let service: GatewayService
    /// `nil`: plain text.
    private let tls: ServerTLS?
    private let loops: [(eventLoop: any EventLoop, counters: LoopCounters, state: NIOLoopBoundBox<LoopState>)]
    private let listener = NIOLockedValueBox<(any Channel)?>(nil)
    private let certificateWatch = NIOLockedValueBox<CertificateWatch?>(nil)
    private let ending = NIOLockedValueBox<Task<Void, Never>?>(nil)

    /// - Parameters:
    ///   - backend: where responses and refresh jobs are kept. Default: in memory.
    ///   - observer: is told what the cache does; must be quick.
    /// - Throws: ``RoutingError`` and ``Perennial/PolicyError`` when settings contradict each other;
    ///   ``CertificateError`` when certificates can't be used.
    public init(
        configuration: GatewayConfiguration,
        backend: any Backend = InMemoryBackend(),
        time: any TimeSource = SystemTime(),
        logger: Logger? = nil,
        observer: (@Sendable (CacheEvent) -> Void)? = nil
    ) throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: max(1, configuration.threads))
        do {
            tls =
                configuration.certificates.isEmpty
                ? nil
                : try ServerTLS(configuration.certificates, clientAuthorities: configuration.clientAuthorities)
            responses = try ResponseCache(
                configuration: configuration, backend: backend, group: group, time: time, logger: logger,
                observer: observer)
        } catch {
            group.shutdownGracefully { _ in }
            throw error
        }
        self.configuration = configuration
        self.group = group
        service = GatewayService(
            configuration,
            Responder(
                responses: responses,
                logger: logger ?? Logger(label: "perennial.gateway") { _ in SwiftLogNoOpLogHandler() },
                purgers: configuration.purgeFrom))
        let routes = responses.routing.now
        let memory = responses.memory
        loops = group.makeIterator().map { eventLoop in
            let counters = LoopCounters()
            let state = NIOLoopBoundBox.makeBoxSendingValue(
                LoopState(eventLoop: eventLoop, counters: counters, routes: routes, memory: memory),
                eventLoop: eventLoop)
            return (eventLoop, counters, state)
        }
    }

    /// Starts to listen, once the memory tier is warm (``Perennial/Cache/warmUp(for:)``).
    /// - Returns: the address, with the port that was picked if none was named.
    /// - Throws: the system's error when the address can't be listened on; ``shutdown(deadline:)`` is due then too.
    public func start() async throws -> ListenAddress {
        await responses.cache.warmUp()
        let stateByLoop = Dictionary(uniqueKeysWithValues: loops.map { (ObjectIdentifier($0.eventLoop), $0.state) })
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelInitializer { [pause = AcceptPause(logger: service.responder.logger)] channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(pause.handler())
                }
            }
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { [service, tls] channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let state = stateByLoop[ObjectIdentifier(channel.eventLoop)] else { return }
                    let pipeline = channel.pipeline.syncOperations
                    if let tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls.context)) }
                    try pipeline.addHandler(
                        ProtocolDetector(service: service, loop: state.value, isSecure: tls != nil))
                }
            }
        let channel: any Channel
        if let path = configuration.socketPath {
            channel = try await bootstrap.withBoundSocket(try listeningSocket(path: path)).get()
        } else {
            // A Unix socket has no such option.
            channel = try await bootstrap.childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
                .bind(host: configuration.host, port: configuration.port).get()
        }
        listener.withLockedValue { $0 = channel }
        if let tls {
            let watch = CertificateWatch(
                tls, every: TimeAmount(configuration.certificateInterval), on: group.next(),
                logger: service.responder.logger)
            certificateWatch.withLockedValue { $0 = watch }
        }
        if let path = configuration.socketPath { return ListenAddress(socketPath: path) }
        return ListenAddress(host: configuration.host, port: channel.localAddress?.port ?? configuration.port)
    }

    /// Other routes from now on. What is being answered goes on by the old ones; no connection is closed.
    /// - Throws: as ``init(configuration:backend:time:logger:observer:)``; then nothing has changed.
    public func reload(_ routes: [Route]) async throws {
        try responses.reload(routes)
        for loop in loops {
            // What holds when the loop gets to it: of two calls at one time the later one's.
            let taken = loop.eventLoop.submit { [responses] in loop.state.value.routes = responses.routing.now }
            try? await taken.get()
        }
    }

    /// What the gateway has done so far.
    public var metrics: GatewayMetrics {
        var metrics = GatewayMetrics()
        for loop in loops { loop.counters.add(to: &metrics) }
        return metrics
    }

    /// Stops to listen, finishes what is being answered, then stops the workers and closes everything.
    ///
    /// With ``GatewayConfiguration/drain`` it listens for that long first, and closes each connection behind its next
    /// answer. An answer without a length, like a stream of events, is broken off when nothing has come of it for a
    /// second.
    /// - Parameter deadline: what takes longer, from when it stops to listen, is cut off. Of several calls the first
    ///   one's counts; all return at the end.
    public func shutdown(deadline: Duration = .seconds(10)) async {
        let ending = ending.withLockedValue { ending in
            if let ending { return ending }
            let task = Task { await self.end(deadline: deadline) }
            ending = task
            return task
        }
        await ending.value
    }

    private func end(deadline: Duration) async {
        if configuration.drain > .zero {
            for loop in loops { loop.eventLoop.execute { loop.state.value.leave() } }
            try? await group.next().scheduleTask(in: TimeAmount(configuration.drain)) {}.futureResult.get()
        }
        let began = ContinuousClock.now
        certificateWatch.withLockedValue { $0.take() }?.stop()
        if let channel = listener.withLockedValue({ $0.take() }) {
            try? await channel.close()
            if let path = configuration.socketPath { removeSocket(path: path) }
        }
        let cut = loops.map { loop in
            loop.eventLoop.scheduleTask(in: TimeAmount(deadline)) { loop.state.value.closeAll() }
        }
        for loop in loops {
            let drained = loop.eventLoop.flatSubmit { loop.state.value.drain() }
            try? await drained.get()
        }
        for task in cut { task.cancel() }
        let left = max(.milliseconds(100), deadline - (ContinuousClock.now - began))
        await responses.shutdown(deadline: left)
        try? await group.shutdownGracefully()
    }
}

/// What all connections of a gateway share.
struct GatewayService: Sendable {
    /// Answers a request that the event loop could not.
    typealias Respond = @Sendable (ClientRequest, Plan, ResponseWriter) -> Task<Void, Never>

    let responder: Responder
    /// Begins the task that answers.
    let respond: Respond
    let idleTimeout: TimeAmount
    let headTimeout: TimeAmount
    let maxRequestBody: Int
    /// In bytes a second; 0: none.
    let minUploadRate: Int
    let connections: ConnectionCount
    let limits: HeadLimits
    /// Whether all connections have TLS.
    let isSecure: Bool

    /// - Parameter respond: default: the responder's own way.
    init(_ configuration: GatewayConfiguration, _ responder: Responder, respond: Respond? = nil) {
        self.responder = responder
        self.respond =
            respond ?? { request, plan, writer in
                Task { await responder.respond(to: request, plan: plan, through: writer) }
            }
        idleTimeout = TimeAmount(configuration.idleTimeout)
        headTimeout = TimeAmount(configuration.headTimeout)
        maxRequestBody = configuration.maxRequestBody ?? .max
        minUploadRate = configuration.minUploadRate
        connections = ConnectionCount(
            limit: configuration.maxConnections, clientLimit: configuration.maxConnectionsPerClient)
        isSecure = !configuration.certificates.isEmpty
        limits = HeadLimits(size: configuration.maxHeader, fields: configuration.maxHeaderFields)
    }
}
