internal import NIOCore
internal import NIOHTTP1
internal import Perennial
internal import PerennialHTTP

/// Reads from the store what the memory tier lacks, for all connections of a loop together: one look for all that came
/// in at one time costs little more than one look for one.
///
/// How large a body is shows when it has been read. So few are read together once some were large, and none while
/// clients hold as many large bodies as there may be.
final class StoredReads {
    private struct Wanted {
        var key: String
        var connection: ConnectionHandler
        var exchange: Int
        var since: NIODeadline
    }

    /// As many keys are read together at most.
    private static let mostTogether = 8
    /// As many keys are under way at most, while what they bring is small.
    private static let mostUnderWay = 256
    /// Bytes that one key may bring on average for more to be read together the next time.
    private static let smallBody = 64 << 10
    private static let interval = TimeAmount.milliseconds(50)
    /// For how long a request waits for memory.
    private static let patience = TimeAmount.seconds(10)

    private let eventLoop: any EventLoop
    private let memory: BodyMemory
    private var wanted = CircularBuffer<Wanted>()
    private var isScheduled = false
    private var isWaiting = false
    /// As many keys may be under way: it grows while what they bring is small, and falls to one when it is large.
    private var window = 4
    private var underWay = 0

    init(eventLoop: any EventLoop, memory: BodyMemory) {
        self.eventLoop = eventLoop
        self.memory = memory
    }

    /// The connection is told by ``ConnectionHandler/takeStored(_:exchange:)``.
    func add(_ key: String, for connection: ConnectionHandler, exchange: Int) {
        wanted.append(Wanted(key: key, connection: connection, exchange: exchange, since: eventLoop.now))
        // When all has been read that came in at the same time.
        schedule()
    }

    private func schedule() {
        guard !isScheduled, !wanted.isEmpty else { return }
        isScheduled = true
        eventLoop.assumeIsolated().execute { self.goOn() }
    }

    private func goOn() {
        isScheduled = false
        guard !wanted.isEmpty else { return setWaiting(false) }
        guard !memory.isFull else { return wait() }
        setWaiting(false)
        // How large a body is shows when it has been read: what lands makes room for the next.
        let room = min(Self.mostTogether, window - underWay)
        guard room > 0 else { return }
        // Who wants the same gets the same.
        var keys: [String] = []
        var taken: [Wanted] = []
        while let next = wanted.first, keys.count < room || keys.contains(next.key) {
            if !keys.contains(next.key) { keys.append(next.key) }
            taken.append(wanted.removeFirst())
        }
        read(keys, for: taken)
    }

    private func wait() {
        // Some have gone meanwhile.
        let waiting = wanted.filter { $0.connection.exchange?.number == $0.exchange }
        let late = waiting.filter { $0.since + Self.patience <= eventLoop.now }
        wanted = waiting.filter { $0.since + Self.patience > eventLoop.now }
        setWaiting(!wanted.isEmpty)
        if !wanted.isEmpty {
            isScheduled = true
            eventLoop.assumeIsolated().scheduleTask(in: Self.interval) { self.goOn() }
        }
        for late in late { late.connection.refuseStored(exchange: late.exchange) }
    }

    private func setWaiting(_ isWaiting: Bool) {
        guard isWaiting != self.isWaiting else { return }
        self.isWaiting = isWaiting
        if isWaiting { memory.beginWaiting() } else { memory.endWaiting() }
    }

    private func read(_ keys: [String], for taken: [Wanted]) {
        let cache = taken[0].connection.service.responder.cache
        underWay += keys.count
        let waiting = NIOLoopBound((self, taken), eventLoop: eventLoop)
        cache.lookupStored(keys) { [eventLoop] answers in
            @Sendable func hand() {
                let (reads, taken) = waiting.value
                reads.land(Dictionary(zip(keys, answers)) { first, _ in first }, for: taken)
            }
            if eventLoop.inEventLoop { hand() } else { eventLoop.execute(hand) }
        }
        // What is read on another thread does not hold up the rest.
        schedule()
    }

    private func land(_ answers: [String: Answer<CachedResponse>?], for taken: [Wanted]) {
        let size = answers.values.reduce(0) { $0 + ($1?.value?.bodySize ?? 0) }
        underWay -= answers.count
        window = size > answers.count * Self.smallBody ? 1 : min(Self.mostUnderWay, window * 2)
        schedule()
        for wanted in taken { wanted.connection.takeStored(answers[wanted.key] ?? nil, exchange: wanted.exchange) }
    }
}

extension ConnectionHandler {
    /// Lets the store be asked before a task is begun for a plain request.
    /// - Returns: whether it is worth that: nothing is known of the key.
    func readStored(_ head: HTTPRequestHead, _ route: ActiveRoute, key: String) -> Bool {
        let responder = service.responder
        guard context != nil, responder.cache.peek(key) == nil,
            !responder.responses.unstorable.contains(key, now: responder.steady)
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
    /// There was no memory for it in time.
    func refuseStored(exchange number: Int) {
        guard let exchange, exchange.number == number, let (head, _, _) = exchange.stored else { return }
        self.exchange?.stored = nil
        finish(
            with: .own(
                503, "Clients take their answers too slowly for another large one to be read. Try again in a moment.",
                cacheStatus: CacheStatus(detail: "no-memory"), now: service.responder.now, retryAfter: .seconds(1),
                isHead: head.method == .HEAD))
    }
}
