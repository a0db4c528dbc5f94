internal import NIOCore
internal import Perennial
internal import PerennialHTTP

/// What the connections of one event loop share; touched on that loop only.
final class LoopState {
    let eventLoop: any EventLoop
    let counters: LoopCounters
    let storedReads: StoredReads
    /// The routes for requests from now on.
    var routes: RouteTable
    private(set) var isDraining = false
    /// Whether it knows no connection.
    var isEmpty: Bool { connections.isEmpty }
    private var connections: [ObjectIdentifier: any ClientConnection] = [:]
    private var drained: [EventLoopPromise<Void>] = []
    private var dates: [(second: Int64, text: String)] = Array(repeating: (.min, ""), count: 64)

    init(eventLoop: any EventLoop, counters: LoopCounters, routes: RouteTable) {
        self.eventLoop = eventLoop
        self.routes = routes
        storedReads = StoredReads(eventLoop: eventLoop)
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

    /// Lets every connection finish what it is answering and close then.
    ///
    /// What one connection is told may end others, too: each gets to hear it once more than it needs to at worst.
    /// - Returns: when the last has closed.
    func drain() -> EventLoopFuture<Void> {
        isDraining = true
        let promise = eventLoop.makePromise(of: Void.self)
        drained.append(promise)
        for connection in Array(connections.values) { connection.drain() }
        if connections.isEmpty { succeedDrained() }
        return promise.futureResult
    }

    func closeAll() {
        for connection in Array(connections.values) { connection.abort() }
    }

    private func succeedDrained() {
        let waiting = drained
        drained = []
        for promise in waiting { promise.succeed() }
    }

    /// `HTTPDate.format`, remembering the last ones.
    func date(_ time: Timestamp) -> String {
        let second = time.milliseconds / 1000
        let place = Int(second & 63)
        if dates[place].second != second { dates[place] = (second, HTTPDate.format(time)) }
        return dates[place].text
    }
}
