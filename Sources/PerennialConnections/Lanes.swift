/// Several lanes to one server, for clients and work that one connection can't keep busy with.
package struct Lanes<Connection: BlockingConnection>: Sendable {
    private let lanes: [Lane<Connection>]
    private let watch: ServerWatch?

    /// - Parameters:
    ///   - count: how many connections there are at most.
    ///   - batchLimit: how many pieces of work go together at most.
    ///   - watch: for work that may take long: who waits for it gives up when the server does not answer others either.
    package init(
        _ label: String, count: Int, batchLimit: Int = 256, watch: ServerWatch? = nil,
        open: @escaping @Sendable () throws -> Connection
    ) {
        self.watch = watch
        lanes = (1...max(1, count)).map { Lane("\(label).\($0)", batchLimit: batchLimit, open: open) }
    }

    /// As ``Lane/perform(canRepeat:begin:end:)``, on the lane with the least to do.
    package func perform<Result: Sendable>(
        canRepeat: Bool = true, begin: (@Sendable (Connection) throws -> Void)? = nil,
        end: @escaping @Sendable (Connection) throws -> Result
    ) async throws -> Result {
        var (best, least) = (lanes[0], Int.max)
        for lane in lanes {
            let backlog = lane.backlog
            if backlog < least { (best, least) = (lane, backlog) }
            if backlog == 0 { break }
        }
        let lane = best
        guard let watch else { return try await lane.perform(canRepeat: canRepeat, begin: begin, end: end) }
        return try await watch.guarding { try await lane.perform(canRepeat: canRepeat, begin: begin, end: end) }
    }

    /// As ``Lane/warmUp()``.
    package func warmUp() {
        for lane in lanes { lane.warmUp() }
    }

    package func close() async {
        for lane in lanes { await lane.close() }
    }
}
