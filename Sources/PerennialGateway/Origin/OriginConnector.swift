internal import NIOCore
internal import NIOPosix
internal import NIOSSL
internal import NIOTLS
internal import PerennialHTTP

/// Makes connections to an origin: looks its name up anew for each, tries its addresses side by side (RFC 8305), and
/// agrees on TLS and on what is spoken.
struct OriginConnector: Sendable {
    let origin: OriginURL
    /// How long a connection may take, TLS included.
    let connectTimeout: TimeAmount
    /// How long a step of an exchange may take.
    let timeout: TimeAmount
    private let tls: NIOSSLContext?
    /// The same without HTTP/2.
    private let tlsOfHTTP1: NIOSSLContext?

    /// - Throws: ``CertificateError`` when the settings can't be used.
    init(_ origin: Origin) throws(CertificateError) {
        self.origin = origin.url
        connectTimeout = TimeAmount(min(origin.connectTimeout, origin.timeout))
        timeout = TimeAmount(origin.timeout)
        guard origin.url.scheme == "https" else {
            (tls, tlsOfHTTP1) = (nil, nil)
            return
        }
        var settings = TLSConfiguration.makeClientConfiguration()
        settings.minimumTLSVersion = .tlsv12
        settings.applicationProtocols = ["h2", "http/1.1"]
        if let authorities = origin.authorities { settings.trustRoots = .certificates(authorities.certificates) }
        if let certificate = origin.certificate {
            settings.certificateChain = certificate.chain.map { .certificate($0) }
            settings.privateKey = .privateKey(certificate.key)
        }
        do {
            tls = try NIOSSLContext(configuration: settings)
            settings.applicationProtocols = ["http/1.1"]
            tlsOfHTTP1 = try NIOSSLContext(configuration: settings)
        } catch {
            throw CertificateError(.unfit, "the certificates for \(origin.url) can't be used: \(error)")
        }
    }

    /// - Parameter onlyHTTP1: HTTP/2 is not offered.
    /// - Returns: a connection with its handlers, on the pool's event loop.
    func connect(
        _ pool: NIOLoopBound<OriginPool>, onlyHTTP1: Bool = false
    ) -> EventLoopFuture<NIOLoopBound<OriginConnection>> {
        let eventLoop = pool.value.eventLoop
        let ready = eventLoop.makePromise(of: NIOLoopBound<OriginConnection>.self)
        let host = origin.host.hasPrefix("[") ? String(origin.host.dropFirst().dropLast()) : origin.host
        let channel = ClientBootstrap(group: eventLoop)
            .connectTimeout(connectTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .connect(host: host, port: origin.port)
        // Of several addresses only the one that answered first comes to this.
        channel.assumeIsolated().whenComplete { result in
            switch result {
            case .failure(let error): ready.fail(error)
            case .success(let channel):
                do {
                    try self.setUp(channel, onlyHTTP1 ? self.tlsOfHTTP1 : self.tls, pool.value, ready)
                } catch {
                    ready.fail(error)
                    channel.close(promise: nil)
                }
            }
        }
        return ready.futureResult
    }

    private func setUp(
        _ channel: any Channel, _ tls: NIOSSLContext?, _ pool: OriginPool,
        _ ready: EventLoopPromise<NIOLoopBound<OriginConnection>>
    ) throws {
        guard let tls else {
            return ready.succeed(NIOLoopBound(try addHTTP1(to: channel, pool), eventLoop: channel.eventLoop))
        }
        // The handshake must not take for ever.
        let late = channel.eventLoop.scheduleTask(in: connectTimeout) {
            ready.fail(OriginBroken(.connectionTimeout, seen: "no TLS handshake in time"))
            channel.close(promise: nil)
        }
        ready.futureResult.whenComplete { _ in late.cancel() }
        let pipeline = channel.pipeline.syncOperations
        let handshake = OriginHandshake(pool, ready)
        try pipeline.addHandler(handshake)
        // Begins at once.
        try pipeline.addHandler(
            NIOSSLClientHandler(context: tls, serverHostname: serverName), position: .before(handshake))
    }

    /// For SNI, which has no addresses (RFC 6066 §3).
    private var serverName: String? {
        if origin.host.hasPrefix("[") { return nil }
        let isAddress = origin.host.utf8.allSatisfy { $0.isDigitOrDot }
        return isAddress ? nil : origin.host
    }
}

private func addHTTP1(to channel: any Channel, _ pool: OriginPool) throws -> OriginConnection {
    let connection = HTTP1OriginConnection(pool: pool)
    try channel.pipeline.syncOperations.addHandler(connection)
    return .http1(connection)
}

/// Waits until the TLS handshake says what the origin speaks, sets up the handlers for that, and goes.
private final class OriginHandshake: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private let pool: OriginPool
    private let ready: EventLoopPromise<NIOLoopBound<OriginConnection>>

    init(_ pool: OriginPool, _ ready: EventLoopPromise<NIOLoopBound<OriginConnection>>) {
        self.pool = pool
        self.ready = ready
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .some(.handshakeCompleted(let negotiated)) = event as? TLSUserEvent else {
            return context.fireUserInboundEventTriggered(event)
        }
        let connection: OriginConnection
        do {
            connection =
                negotiated == "h2"
                ? .http2(try HTTP2OriginConnection.add(to: context.channel, pool: pool))
                : try addHTTP1(to: context.channel, pool)
        } catch {
            ready.fail(error)
            return context.close(promise: nil)
        }
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        ready.succeed(NIOLoopBound(connection, eventLoop: pool.eventLoop))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        ready.fail(error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        ready.fail(OriginBroken(.tlsProtocolError, seen: "the connection ended during the handshake"))
        context.fireChannelInactive()
    }
}

extension UInt8 {
    fileprivate var isDigitOrDot: Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) || self == UInt8(ascii: ".")
    }
}
