internal import Logging
internal import NIOConcurrencyHelpers
internal import NIOCore
internal import NIOHTTP1
internal import PerennialHTTP

/// Sends requests to an origin. Bytes go through as they are: redirects aren't followed, nothing is decompressed, no
/// address is read again.
///
/// Each event loop has connections of its own. They close when nobody has the client any more.
final class OriginClient: Sendable {
    /// What came back, its body still on the way.
    struct Response: Sendable {
        var status: Int
        var fields: HeaderFields
        var body: OriginBody
    }

    let origin: OriginURL
    let report: OriginFailureLog
    private let connector: OriginConnector
    private let places = OriginPlaces()
    private let timeout: TimeAmount
    private let idleTimeout: TimeAmount
    private let group: any EventLoopGroup
    private let pools = NIOLockedValueBox<[ObjectIdentifier: NIOLoopBoundBox<OriginPool>]>([:])

    /// - Parameter idleTimeout: for connections that carry nothing.
    /// - Throws: ``CertificateError`` when the origin's certificates can't be used.
    init(
        _ origin: Origin, idleTimeout: Duration, group: any EventLoopGroup, logger: Logger
    ) throws(CertificateError) {
        self.origin = origin.url
        self.group = group
        connector = try OriginConnector(origin)
        timeout = TimeAmount(origin.timeout)
        self.idleTimeout = TimeAmount(idleTimeout)
        report = OriginFailureLog(origin.url, logger: logger)
    }

    deinit { close() }

    /// Asks and waits for the head of the response.
    /// - Parameters:
    ///   - eventLoop: the one to do it on; `nil`: any.
    /// - Throws: ``OriginBroken``; ``RequestBroken`` when the client left; `CancellationError` when the task is
    ///   cancelled.
    func send(
        _ request: OriginRequest, rank: OriginRank, on eventLoop: (any EventLoop)? = nil
    ) async throws -> Response {
        do {
            let response = try await sendOnceMore(request, rank, eventLoop ?? group.next())
            report.succeeded()
            return response
        } catch let error as OriginBroken {
            report.failed(error)
            throw error
        } catch {
            throw Task.isCancelled ? CancellationError() : error
        }
    }

    /// A connection that was kept open may be closed by the origin just as a request goes out on it (RFC 9112 §9.3.1).
    /// Then a request that may be repeated is sent again, once.
    private func sendOnceMore(
        _ request: OriginRequest, _ rank: OriginRank, _ eventLoop: any EventLoop
    ) async throws -> Response {
        do {
            return try await exchange(request, rank, eventLoop, isFresh: false)
        } catch let error as OriginBroken where error.isStaleConnection && request.mayBeRepeated {
            return try await exchange(request, rank, eventLoop, isFresh: true)
        }
    }

    private func exchange(
        _ request: OriginRequest, _ rank: OriginRank, _ eventLoop: any EventLoop, isFresh: Bool
    ) async throws -> Response {
        let pool = pool(on: eventLoop)
        let response = eventLoop.makePromise(of: Response.self)
        let exchange = NIOLockedValueBox<NIOLoopBound<OriginExchange>?>(nil)
        eventLoop.execute { [places, timeout] in
            let new = OriginExchange(
                request, rank: rank, places: places, timeout: timeout, on: eventLoop, response: response)
            exchange.withLockedValue { $0 = NIOLoopBound(new, eventLoop: eventLoop) }
            new.enter { pool.value.start(new, isFresh: isFresh) }
        }
        return try await withTaskCancellationHandler {
            try await response.futureResult.get()
        } onCancel: {
            // It is behind the one above.
            eventLoop.execute { exchange.withLockedValue { $0 }?.value.cancel() }
        }
    }

    private func pool(on eventLoop: any EventLoop) -> NIOLoopBoundBox<OriginPool> {
        pools.withLockedValue { pools in
            let key = ObjectIdentifier(eventLoop)
            if let pool = pools[key] { return pool }
            let pool = NIOLoopBoundBox.makeBoxSendingValue(
                OriginPool(connector, idleTimeout: idleTimeout, on: eventLoop), eventLoop: eventLoop)
            pools[key] = pool
            return pool
        }
    }

    /// Closes what carries nothing, and the rest as it becomes so.
    func close() {
        let closed = pools.withLockedValue { pools in
            defer { pools = [:] }
            return pools.values
        }
        // Not when nobody has it any more, which may be when its event loops have ended.
        for pool in closed { pool.eventLoop.execute { pool.value.close() } }
    }
}

extension HeaderFields {
    init(_ headers: HTTPHeaders) {
        self.init(headers.lazy.map { ($0.name, $0.value) })
    }
}
