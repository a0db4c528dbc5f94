internal import AsyncHTTPClient
internal import NIOConcurrencyHelpers
internal import NIOCore
internal import NIOHTTP1
internal import NIOSSL
internal import PerennialHTTP

/// Sends requests to an origin. Bytes go through as they are: redirects aren't followed, nothing is decompressed.
///
/// Its connections close when nobody has it any more.
final class OriginClient: Sendable {
    /// What came back, its body still on the way.
    struct Response: Sendable {
        var status: Int
        var fields: HeaderFields
        var body: OriginBody
    }

    private let client: HTTPClient
    private let timeout: TimeAmount
    private let endings: Endings
    private let exchanges: OriginExchanges

    /// - Parameter endings: is told of the connections' end.
    init(_ origin: Origin, idleTimeout: Duration, group: any EventLoopGroup, endings: Endings) {
        let timeout = TimeAmount(origin.timeout)
        var settings = HTTPClient.Configuration(
            redirectConfiguration: .disallow,
            timeout: .init(
                connect: TimeAmount(min(origin.connectTimeout, origin.timeout)), read: timeout,
                write: max(timeout, TimeAmount(idleTimeout))),
            decompression: .disabled)
        // Streams that pass through hold their connections for long; they must not make fetches wait.
        settings.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 1024
        // A dead origin is an answer too: the old response is served, and the guard decides when to ask again.
        settings.connectionPool.retryConnectionEstablishment = false
        let exchanges = OriginExchanges()
        settings.http1_1ConnectionDebugInitializer = { OriginChannelHandler.add(toConnection: $0, exchanges) }
        settings.http2StreamChannelDebugInitializer = { OriginChannelHandler.add(toStream: $0, exchanges) }
        self.exchanges = exchanges
        if let authorities = origin.authorities {
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.trustRoots = .certificates(authorities.certificates)
            settings.tlsConfiguration = tls
        }
        client = HTTPClient(eventLoopGroupProvider: .shared(group), configuration: settings)
        self.timeout = timeout
        self.endings = endings
    }

    /// Asks and waits for the head of the response.
    /// - Parameters:
    ///   - body: with one, the origin may take as long as the client takes to send it.
    ///   - extras: what comes with request and answer beside heads and bodies; default: it is dropped.
    /// - Throws: ``OriginBroken``; `CancellationError` when the task is cancelled.
    func send(
        _ method: HTTPMethod, _ url: String, _ fields: HeaderFields, body: HTTPClientRequest.Body? = nil,
        extras: MessageExtras? = nil
    ) async throws -> Response {
        var request = HTTPClientRequest(url: url)
        request.method = method
        var headers = HTTPHeaders(fields.map { ($0.name, $0.value) })
        request.body = body
        do {
            return try await exchanges.with(extras, &headers) { headers in
                request.headers = headers
                do {
                    return try await execute(request)
                } catch let error as HTTPClientError
                    where error == .remoteConnectionClosed && body == nil && method.isIdempotent
                {
                    // Most likely a kept connection that the origin closed while it was idle (RFC 9112 §9.3.1).
                    return try await execute(request)
                }
            }
        } catch {
            if Task.isCancelled { throw CancellationError() }
            throw OriginBroken(error)
        }
    }

    private func execute(_ request: HTTPClientRequest) async throws -> Response {
        let deadline = request.body == nil ? NIODeadline.now() + timeout : .distantFuture
        let response = try await client.execute(request, deadline: deadline)
        let (status, fields) = (Int(response.status.code), HeaderFields(response.headers))
        let isOldVersion = response.version.major == 1 && response.version.minor == 0
        if let problem = responseProblem(status: status, fields: fields, isOldVersion: isOldVersion) { throw problem }
        return Response(status: status, fields: fields, body: OriginBody(response.body, of: self))
    }

    func shutdown() async {
        // It may have been: that is all the same.
        try? await client.shutdown()
    }

    deinit {
        endings.begin { [client] in try? await client.shutdown() }
    }
}

/// What is being ended and nobody waits for but the end of everything.
final class Endings: Sendable {
    private let tasks = NIOLockedValueBox<[Task<Void, Never>]>([])

    func begin(_ end: @escaping @Sendable () async -> Void) {
        tasks.withLockedValue { $0.append(Task { await end() }) }
    }

    func wait() async {
        for task in tasks.withLockedValue({ $0 }) { await task.value }
    }
}

extension HeaderFields {
    init(_ headers: HTTPHeaders) {
        self.init(headers.lazy.map { ($0.name, $0.value) })
    }
}

extension HTTPMethod {
    fileprivate var isIdempotent: Bool {
        [.GET, .HEAD, .OPTIONS, .TRACE, .PUT, .DELETE].contains(self)
    }
}
