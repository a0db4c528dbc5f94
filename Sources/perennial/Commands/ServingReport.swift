import Perennial
import PerennialConsole
import PerennialEngines
import PerennialGateway

extension ServingPlan {
    /// What the gateway as a whole is to be like, as people read it.
    /// - Parameter store: from ``CommonSettings/storeLine()``.
    func lines(store: String) -> [(String, String)] {
        let isSecure = !gateway.certificates.isEmpty
        let perClient = gateway.maxConnectionsPerClient
        let clients = [
            "\(gateway.maxConnections) connections", perClient == 0 ? nil : "\(perClient) of one client",
            "a request's fields within \(readable(gateway.headTimeout))",
            gateway.minUploadRate == 0 ? nil : "uploads of \(readable(bytes: gateway.minUploadRate)) a second",
            gateway.maxRequestBody.map { "requests' bodies up to \(readable(bytes: $0))" },
        ]
        let admin = admin.map { "\($0)" + (token == nil ? ", without a token" : ", with a token") }
        return [
            ("serves", (listen.socketPath != nil ? "" : isSecure ? "https://" : "http://") + "\(listen)"),
            ("admin", admin ?? "none"),
            ("store", store), ("queue", common.queue.map { "\($0.value)" } ?? "with the entries"),
            (
                "memory",
                "\(readable(bytes: gateway.memory)) for entries, \(readable(bytes: gateway.bodyMemory)) for large bodies"
            ),
            ("clients", clients.compactMap(\.self).joined(separator: ", ")),
            ("threads", "\(gateway.threads) that serve, \(gateway.workers) refreshes at a time"),
            (
                "stops",
                "within \(readable(common.grace))"
                    + (gateway.drain > .zero ? ", after \(readable(gateway.drain)) of new connections" : "")
            ),
        ]
    }
}

extension CommonSettings {
    /// Where entries live, what is there, and how much may be. Nothing is changed.
    /// - Throws: ``Failure`` when what is there can't be used.
    func storeLine() async throws -> String {
        let most = "at most \(readable(bytes: storeLimit))"
        switch store.value {
        case .memory: return "memory:, \(most)"
        case .server: return "\(store.value), not asked, \(most)"
        case .sqlite(let path):
            guard exists(path) else { return "\(store.value), to be made, \(most)" }
            let open = try openExisting(store: store, queue: nil, isForLooking: true)
            let statistics = try? await open.backend.store.statistics()
            await open.close()
            let count = statistics.map { "\($0.entries) entries" } ?? "which can't be read now"
            return "\(store.value), \(count), \(most)"
        }
    }
}
