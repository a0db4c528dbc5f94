internal import NIOCore
internal import NIOHTTP1
internal import Perennial
internal import PerennialHTTP

/// Reads from the store what the memory tier lacks, for all connections of a loop together: one look for all that came in at one time
/// costs little more than one look for one.
final class StoredReads {
    private struct Wanted {
        var key: String
        var connection: ConnectionHandler
        var exchange: Int
    }

    private let eventLoop: any EventLoop
    private var wanted: [Wanted] = []

    init(eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
    }

    /// The connection is told by ``ConnectionHandler/takeStored(_:exchange:)``.
    func add(_ key: String, for connection: ConnectionHandler, exchange: Int) {
        wanted.append(Wanted(key: key, connection: connection, exchange: exchange))
        // When all has been read that came in at the same time.
        guard wanted.count == 1 else { return }
        eventLoop.assumeIsolated().execute { self.read(from: connection.service.responder.cache) }
    }

    private func read(from cache: Cache<String, CachedResponse>) {
        let keys = wanted.map(\.key)
        let waiting = NIOLoopBound(wanted, eventLoop: eventLoop)
        wanted = []
        cache.lookupStored(keys) { [eventLoop] answers in
            @Sendable func hand() {
                for (wanted, answer) in zip(waiting.value, answers) {
                    wanted.connection.takeStored(answer, exchange: wanted.exchange)
                }
            }
            if eventLoop.inEventLoop { hand() } else { eventLoop.execute(hand) }
        }
    }
}

extension ConnectionHandler {
    /// Lets the store be asked before a task is begun for a plain request.
    /// - Returns: whether it is worth that: nothing is known of the key.
    func readStored(_ head: HTTPRequestHead, _ route: ActiveRoute, key: String) -> Bool {
        let responder = service.responder
        guard context != nil, responder.cache.peek(key) == nil,
            !responder.responses.unstorable.contains(key, now: responder.now)
        else { return false }
        exchange = newExchange(head, hasEnded: true)
        exchange?.stored = (head, route, key)
        loop.storedReads.add(key, for: self, exchange: exchanges)
        return true
    }

    /// The store has been asked.
    func takeStored(_ answer: Answer<CachedResponse>?, exchange number: Int) {
        guard let exchange, exchange.number == number, let (head, route, key) = exchange.stored, context != nil,
            !isClosing
        else { return }
        guard let answer, let cached = answer.value, cached.isSelected(by: HeaderFields(head.headers)) else {
            self.exchange?.stored = nil
            let plan = Plan.cache(nil)
            return startTask(head, route, key: key, fields: HeaderFields(head.headers), plan: plan, body: nil)
        }
        self.exchange = nil
        noteProgress()
        write(cached, answer, head, fields: nil)
        if !isClosing { takeWaiting() }
    }
}
