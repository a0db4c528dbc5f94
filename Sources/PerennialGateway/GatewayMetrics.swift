internal import Synchronization

/// What a gateway has done since it began: counters, but for `openConnections` and `openTunnels`.
public struct GatewayMetrics: Sendable, Hashable {
    /// Answers with a status of 1xx or 2xx, 3xx, 4xx, 5xx.
    public var answers2xx = 0
    public var answers3xx = 0
    public var answers4xx = 0
    public var answers5xx = 0
    /// Requests with GET or HEAD, and with other methods.
    public var reads = 0
    public var writes = 0
    /// Answered from the cache, fresh.
    public var hits = 0
    /// Answered from the cache, stale or expired.
    public var staleHits = 0
    /// A reader waited for the origin.
    public var misses = 0
    /// Past the cache.
    public var passed = 0
    /// The gateway's own answers: bad requests, and nothing to serve.
    public var errors = 0
    /// Bytes of heads and bodies given to the network.
    public var bytesOut = 0
    public var openConnections = 0
    /// Connections that ended before TLS was agreed upon.
    public var failedHandshakes = 0
    /// Connections for which there were too many others.
    public var refusedConnections = 0
    /// Connections that were changed to another protocol, and those that carry one now.
    public var tunnels = 0
    public var openTunnels = 0

    public init() {}

    /// Every answer.
    public var requests: Int { hits + staleHits + misses + passed + errors }
}

/// The counters of one event loop: written by that loop alone, read by anybody.
///
/// With one writer a plain load and store is enough, and costs a hit next to nothing.
final class LoopCounters: Sendable {
    private let hits = Atomic(0), staleHits = Atomic(0), misses = Atomic(0), passed = Atomic(0), errors = Atomic(0)
    private let answers2xx = Atomic(0), answers3xx = Atomic(0), answers4xx = Atomic(0), answers5xx = Atomic(0)
    private let reads = Atomic(0), writes = Atomic(0)
    private let bytesOut = Atomic(0), openConnections = Atomic(0), failedHandshakes = Atomic(0)
    private let refusedConnections = Atomic(0), tunnels = Atomic(0), openTunnels = Atomic(0)

    func answered(_ kind: Reply.Kind, status: Int, isRead: Bool) {
        switch kind {
        case .hit: hits.add(1)
        case .stale: staleHits.add(1)
        case .miss: misses.add(1)
        case .pass: passed.add(1)
        case .error: errors.add(1)
        }
        switch status {
        case ..<300: answers2xx.add(1)
        case ..<400: answers3xx.add(1)
        case ..<500: answers4xx.add(1)
        default: answers5xx.add(1)
        }
        if isRead { reads.add(1) } else { writes.add(1) }
    }

    func sent(_ bytes: Int) { bytesOut.add(bytes) }
    func handshakeFailed() { failedHandshakes.add(1) }
    func connectionRefused() { refusedConnections.add(1) }
    func opened() { openConnections.add(1) }
    func closed() { openConnections.add(-1) }

    func tunnelOpened() {
        tunnels.add(1)
        openTunnels.add(1)
    }

    func tunnelClosed() { openTunnels.add(-1) }

    func add(to metrics: inout GatewayMetrics) {
        metrics.hits += hits.value
        metrics.staleHits += staleHits.value
        metrics.misses += misses.value
        metrics.passed += passed.value
        metrics.errors += errors.value
        metrics.answers2xx += answers2xx.value
        metrics.answers3xx += answers3xx.value
        metrics.answers4xx += answers4xx.value
        metrics.answers5xx += answers5xx.value
        metrics.reads += reads.value
        metrics.writes += writes.value
        metrics.bytesOut += bytesOut.value
        metrics.openConnections += openConnections.value
        metrics.failedHandshakes += failedHandshakes.value
        metrics.refusedConnections += refusedConnections.value
        metrics.tunnels += tunnels.value
        metrics.openTunnels += openTunnels.value
    }
}

extension Atomic<Int> {
    fileprivate borrowing func add(_ amount: Int) {
        store(load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }

    fileprivate var value: Int { load(ordering: .relaxed) }
}
