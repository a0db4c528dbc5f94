internal import NIOCore
internal import Perennial
internal import PerennialHTTP

/// What the connections of one event loop share; touched on that loop only.
final class LoopState {
    private static let quiet = TimeAmount.seconds(1)

    let eventLoop: any EventLoop
    let counters: LoopCounters
    let storedReads: StoredReads
    let heldBodies: HeldBodies
    /// The routes for requests from now on.
    var routes: RouteTable
    /// Whether the gateway is about to stop: every answer says that its connection closes.
    private(set) var isLeaving = false
    /// Whether new connections are closed at once.
    private(set) var isDraining = false
    /// Connections and streams with an answer on its way that has no length.
    var unbounded: [ObjectIdentifier: ConnectionHandler] = [:]
    /// Whether it knows no connection.
    var isEmpty: Bool { connections.isEmpty }
    private var connections: [ObjectIdentifier: any ClientConnection] = [:]
    private var drained: [EventLoopPromise<Void>] = []
    private var refusals = (unlogged: 0, loggedAt: NIODeadline?.none)
    private var dates: [(second: Int64, text: String)] = Array(repeating: (.min, ""), count: 64)

    init(eventLoop: any EventLoop, counters: LoopCounters, routes: RouteTable, memory: BodyMemory) {
        self.eventLoop = eventLoop
        self.routes = routes
        storedReads = StoredReads(eventLoop: eventLoop, memory: memory)
        heldBodies = HeldBodies(eventLoop: eventLoop, memory: memory)
        self.counters = counters
    }

    func add(_ connection: any ClientConnection) {
        connections[ObjectIdentifier(connection)] = connection
        counters.opened()
        // It came while the gateway was being stopped.
        if isDraining { connection.drain() }
    }

    func remove(_ connection: any ClientConnection) {
        guard connections.removeValue(forKey: ObjectIdentifier(connection)) != nil else { return }
        counters.closed()
        if isDraining && connections.isEmpty { succeedDrained() }
    }

    /// No connection is kept open behind its next answer. New ones are still welcome.
    func leave() {
        isLeaving = true
    }

    /// Lets every connection finish what it is answering and close then.
    ///
    /// What one connection is told may end others, too: each gets to hear it once more than it needs to at worst.
    /// - Returns: when the last has closed.
    func drain() -> EventLoopFuture<Void> {
        isLeaving = true
        isDraining = true
        lookForQuiet()
        let promise = eventLoop.makePromise(of: Void.self)
        drained.append(promise)
        for connection in Array(connections.values) { connection.drain() }
        if connections.isEmpty { succeedDrained() }
        return promise.futureResult
    }

    /// Answers without a length of which nothing comes for a second may never end: they don't hold up the stop.
    private func lookForQuiet() {
        eventLoop.assumeIsolated().scheduleTask(in: Self.quiet) {
            for connection in Array(self.unbounded.values) {
                connection.endIfQuiet(since: self.eventLoop.now - Self.quiet)
            }
            if !self.connections.isEmpty { self.lookForQuiet() }
        }
    }

    func closeAll() {
        for connection in Array(connections.values) { connection.abort() }
    }

    private func succeedDrained() {
        let waiting = drained
        drained = []
        for promise in waiting { promise.succeed() }
    }

    /// A client is refused that has not shown the certificate it must. One a second is logged, so that nobody can fill the
    /// log.
    /// - Returns: how many were not logged since the last one that was; `nil`: neither is this one.
    func mayLogRefusal() -> Int? {
        let now = eventLoop.now
        if let loggedAt = refusals.loggedAt, now - loggedAt < .seconds(1) {
            refusals.unlogged += 1
            return nil
        }
        defer { refusals = (0, now) }
        return refusals.unlogged
    }

    /// `HTTPDate.format`, remembering the last ones.
    func date(_ time: Timestamp) -> String {
        let second = time.milliseconds / 1000
        let place = Int(second & 63)
        if dates[place].second != second { dates[place] = (second, HTTPDate.format(time)) }
        return dates[place].text
    }
}
