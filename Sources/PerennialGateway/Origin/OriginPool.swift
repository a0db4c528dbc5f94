internal import NIOCore
internal import PerennialHTTP

/// The connections of one event loop to one origin; touched on that loop only.
final class OriginPool {
    let eventLoop: any EventLoop
    private let connector: OriginConnector
    private let idleTimeout: TimeAmount

    /// Those of HTTP/1.1 that wait for an exchange; the one used last comes last.
    private var idle: [HTTP1OriginConnection] = []
    /// Those of HTTP/2. One is enough, but where the origin limits how much it carries, or where it has fallen silent.
    private var multiplexed: [HTTP2OriginConnection] = []
    /// Exchanges that wait for a connection which is being made and may turn out to carry many.
    private var waiting = CircularBuffer<OriginExchange>()
    private var connecting = 0
    /// Whether the origin has spoken HTTP/2 so far; `nil`: nobody knows.
    private var speaksHTTP2: Bool?
    private var sweep: Scheduled<Void>?
    private var isClosed = false

    init(_ connector: OriginConnector, idleTimeout: TimeAmount, on eventLoop: any EventLoop) {
        self.connector = connector
        self.idleTimeout = idleTimeout
        self.eventLoop = eventLoop
        if connector.origin.scheme == "http" { speaksHTTP2 = false }
    }

    var scheme: String { connector.origin.scheme }
    /// How long a step of an exchange may take.
    var timeout: TimeAmount { connector.timeout }

    /// Finds a connection for an exchange, or makes one.
    /// - Parameter isFresh: one that has not carried anything yet.
    func start(_ exchange: OriginExchange, isFresh: Bool) {
        if exchange.isOver { return }
        if exchange.request.tunnel != nil { return connectAlone(exchange) }
        if let connection = multiplexed.first(where: \.takesMore) { return connection.start(exchange) }
        if !isFresh, let connection = takeIdle(for: exchange) { return connection.start(exchange) }
        waiting.append(exchange)
        // One connection of HTTP/2 is enough for all that wait for it.
        let isEnough = speaksHTTP2 == false ? connecting >= waiting.count : connecting > 0
        if !isEnough { connect() }
    }

    /// A request that may not be sent twice goes out on a connection that is surely alive: the origin may be closing
    /// one that has been idle, and nobody could tell whether it has seen the request.
    private func takeIdle(for exchange: OriginExchange) -> HTTP1OriginConnection? {
        guard let last = idle.last else { return nil }
        if !exchange.request.mayBeRepeated, eventLoop.now - last.idleSince > .seconds(1) { return nil }
        return idle.removeLast()
    }

    private func connect() {
        connecting += 1
        let pool = NIOLoopBound(self, eventLoop: eventLoop)
        connector.connect(pool).assumeIsolated().whenComplete { result in
            self.connecting -= 1
            switch result {
            case .success(let connection): self.connected(connection.value)
            case .failure(let error): self.couldNotConnect(error)
            }
        }
    }

    /// Makes a connection of HTTP/1.1 for one exchange.
    private func connectAlone(_ exchange: OriginExchange) {
        let pool = NIOLoopBound(self, eventLoop: eventLoop)
        connector.connect(pool, onlyHTTP1: true).assumeIsolated().whenComplete { result in
            switch result {
            case .success(let connection):
                switch connection.value {
                case .http1(let connection):
                    if exchange.isOver { connection.close() } else { connection.start(exchange) }
                // It was not offered.
                case .http2(let connection):
                    connection.closeWhenIdle()
                    exchange.fail(OriginBroken(.protocolError, seen: "HTTP/2, which was not offered"))
                }
            case .failure(let error): exchange.fail(OriginBroken(connecting: error))
            }
        }
    }

    private func connected(_ connection: OriginConnection) {
        switch connection {
        case .http1(let connection):
            speaksHTTP2 = false
            if let exchange = nextWaiting() { connection.start(exchange) } else { isIdle(connection) }
            // They counted on one connection for all.
            while connecting < waiting.count { connect() }
        case .http2(let connection):
            speaksHTTP2 = true
            multiplexed.append(connection)
            let waited = waiting.count
            hasRoom(connection)
            startSweep()
            if !connection.isOpen { multiplexed.removeAll { $0 === connection } }
            guard !waiting.isEmpty, connecting == 0 else { break }
            // One that carries nothing is no connection: who waited first has waited in vain, and the others don't wait
            // for ever.
            if waiting.count == waited { nextWaiting()?.fail(OriginBroken(.connectionTerminated)) }
            if !waiting.isEmpty { connect() }
        }
        if isClosed { closeIdle() }
    }

    /// A connection of HTTP/2 can carry more.
    func hasRoom(_ connection: HTTP2OriginConnection) {
        while connection.takesMore, let exchange = nextWaiting() { connection.start(exchange) }
    }

    private func nextWaiting() -> OriginExchange? {
        while let exchange = waiting.popFirst() {
            if !exchange.isOver { return exchange }
        }
        return nil
    }

    private func couldNotConnect(_ error: any Error) {
        let broken = OriginBroken(connecting: error)
        guard speaksHTTP2 == false else {
            // All of them waited for this one.
            let failed = waiting
            waiting.removeAll()
            for exchange in failed { exchange.fail(broken) }
            return
        }
        nextWaiting()?.fail(broken)
    }

    /// A connection has carried an exchange to its end, and may carry another.
    func isIdle(_ connection: HTTP1OriginConnection) {
        if let exchange = nextWaiting() { return connection.start(exchange) }
        if isClosed { return connection.close() }
        idle.append(connection)
        startSweep()
    }

    func hasClosed(_ connection: HTTP1OriginConnection) {
        idle.removeAll { $0 === connection }
    }

    /// It takes no more exchanges; those that it carries may go on.
    func hasClosed(_ connection: HTTP2OriginConnection) {
        multiplexed.removeAll { $0 === connection }
    }

    /// No more exchanges: closes what is idle, and the rest as it becomes so.
    func close() {
        isClosed = true
        sweep?.cancel()
        sweep = nil
        closeIdle()
    }

    private func closeIdle() {
        let connections = idle
        idle = []
        for connection in connections { connection.close() }
        let shared = multiplexed
        multiplexed = []
        for connection in shared { connection.closeWhenIdle() }
    }

    // MARK: - Idle connections

    private func startSweep() {
        guard sweep == nil, !isClosed else { return }
        sweep = eventLoop.assumeIsolated().scheduleTask(in: .nanoseconds(idleTimeout.nanoseconds / 2)) {
            self.closeOld()
        }
    }

    private func closeOld() {
        sweep = nil
        let oldest = eventLoop.now - idleTimeout
        let old = idle.filter { $0.idleSince < oldest }
        idle.removeAll { $0.idleSince < oldest }
        for connection in old { connection.close() }
        let oldShared = multiplexed.filter { $0.isIdle && $0.idleSince < oldest }
        multiplexed.removeAll { $0.isIdle && $0.idleSince < oldest }
        for connection in oldShared { connection.closeWhenIdle() }
        if !idle.isEmpty || !multiplexed.isEmpty { startSweep() }
    }
}

/// A connection to an origin, by what it speaks.
enum OriginConnection {
    case http1(HTTP1OriginConnection)
    case http2(HTTP2OriginConnection)
}
