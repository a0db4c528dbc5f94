internal import NIOCore

/// The large bodies that connections of one event loop hold until their clients take them: each body counts once,
/// however many hold it.
final class HeldBodies {
    /// A client that has taken nothing for so long may be cut off for others.
    private static let patience = TimeAmount.seconds(2)
    private static let interval = TimeAmount.milliseconds(500)

    private struct Holder {
        var connection: ConnectionHandler
        /// Where the body lies.
        var place: UInt
    }

    private let eventLoop: any EventLoop
    private let memory: BodyMemory
    private var holders: [ObjectIdentifier: Holder] = [:]
    private var bodies: [UInt: (size: Int, holders: Int)] = [:]
    private var isWatching = false

    init(eventLoop: any EventLoop, memory: BodyMemory) {
        self.eventLoop = eventLoop
        self.memory = memory
    }

    var isEmpty: Bool { holders.isEmpty && bodies.isEmpty }

    /// - Parameter body: what a connection has not sent; its memory lives as long as that.
    func hold(_ body: ByteBuffer, for connection: ConnectionHandler) {
        letGo(of: connection)
        let (place, size) = body.withVeryUnsafeBytes { (UInt(bitPattern: $0.baseAddress), $0.count) }
        holders[ObjectIdentifier(connection)] = Holder(connection: connection, place: place)
        bodies[place, default: (size, 0)].holders += 1
        if bodies[place]?.holders == 1 { memory.clientHolds(size) }
        watch()
    }

    func letGo(of connection: ConnectionHandler) {
        guard let holder = holders.removeValue(forKey: ObjectIdentifier(connection)),
            let body = bodies[holder.place]
        else { return }
        if body.holders > 1 {
            bodies[holder.place]?.holders -= 1
        } else {
            bodies[holder.place] = nil
            memory.clientTook(body.size)
        }
    }

    private func watch() {
        guard !isWatching, !holders.isEmpty else { return }
        isWatching = true
        eventLoop.assumeIsolated().scheduleTask(in: Self.interval) {
            self.isWatching = false
            self.makeRoom()
            self.watch()
        }
    }

    /// While others wait for memory, those go who have taken nothing for the longest.
    private func makeRoom() {
        guard memory.isWanted && memory.isFull else { return }
        let latest = eventLoop.now - Self.patience
        let silent = holders.values.map(\.connection).filter { $0.lastProgress <= latest }
        for connection in silent.sorted(by: { $0.lastProgress < $1.lastProgress }) where memory.isFull {
            connection.abort()
            letGo(of: connection)
        }
    }
}
