public import Hummingbird
public import Logging
import NIOCore
public import Perennial

/// The admin address: health, metrics and the API behind the command line's commands.
///
/// | request | answer |
/// |---|---|
/// | `GET /healthz` | 200 while the process lives |
/// | `GET /readyz` | 200, or 503 and the reasons |
/// | `GET /metrics` | Prometheus text |
/// | `GET /api/entries?prefix=&tag=&after=&limit=` | a page of entries |
/// | `GET /api/entry?url=` | everything about one address |
/// | `POST /api/mark-stale`, `POST /api/remove` | `{"url": …}`, `tag`, `prefix`, `match` or `{"all": true}`; how many |
/// | `GET /api/jobs?state=&after=&limit=` | a page of refresh jobs |
/// | `POST /api/jobs/replay` | `{"id": …}` or `{"all": true}`; how many |
/// | `GET /api/stats` | how much is in the store and the queue |
/// | `GET /api/origins` | the origins, and what of them is left alone |
/// | `POST /api/origins/reopen` | `{}`, `{"origin": …}` or `{"address": …}`: asks again what is left alone; how many |
/// | `PUT /api/entries/KEY?status=&fence=&lease=` | saves what the origin answered to another program: see ``HandedOver`` |
///
/// Errors are `{"error": "…"}` with a 4xx or 5xx status. It has no accounts: listen on a loopback or private address.
/// With a token, everything under `/api` wants `Authorization: Bearer TOKEN` (RFC 6750 §2.1); without one, nothing can
/// be handed over.
public struct AdminServer: Sendable {
    private let administration: Administration
    private let readiness: @Sendable () async -> Readiness
    private let metrics: @Sendable () async -> [MetricFamily]
    private let names: Set<String>
    private let token: String?
    private let accept: (@Sendable (HandedOver) async throws -> Generation?)?
    private let origins: Origins?

    /// What the API knows of a gateway's origins.
    public struct Origins: Sendable {
        let statuses: @Sendable () -> [String: OriginGuard.Status]
        let reopen: @Sendable (String?) throws -> Int

        /// - Parameters:
        ///   - statuses: by the origins' addresses.
        ///   - reopen: asks again what is left alone: an origin by its address, an address at one, or `nil`: all; how
        ///     much there was. It throws ``AdministrationError`` for what is no address of an origin.
        public init(
            statuses: @escaping @Sendable () -> [String: OriginGuard.Status],
            reopen: @escaping @Sendable (String?) throws -> Int
        ) {
            self.statuses = statuses
            self.reopen = reopen
        }
    }

    /// - Parameters:
    ///   - names: the host names under which it may be asked, besides `localhost` and any address in digits.
    ///   - readiness: asked by `/readyz`, besides whether the store answers.
    ///   - metrics: added to what `/metrics` tells of the store and the queue.
    ///   - token: what the API's users must show. Default: none.
    ///   - accept: saves what is handed over, and gives its generation, or `nil` when the entry was written meanwhile.
    ///     It throws ``AdministrationError`` for what can't be saved.
    ///   - origins: the gateway's; `nil`: there is no gateway here.
    public init(
        administration: Administration, names: Set<String> = [],
        readiness: @escaping @Sendable () async -> Readiness = { Readiness() },
        metrics: @escaping @Sendable () async -> [MetricFamily] = { [] },
        token: String? = nil,
        accept: (@Sendable (HandedOver) async throws -> Generation?)? = nil,
        origins: Origins? = nil
    ) {
        self.administration = administration
        self.names = names
        self.readiness = readiness
        self.metrics = metrics
        self.token = token
        self.accept = accept
        self.origins = origins
    }

    /// The server as a service, which runs until it is asked to stop.
    /// - Parameters:
    ///   - port: 0 picks a free one.
    ///   - onRunning: called with the real port once it listens.
    public func application(
        host: String, port: Int, logger: Logger, onRunning: @escaping @Sendable (Int) async -> Void = { _ in }
    ) -> some ApplicationProtocol {
        Application(
            router: router(),
            configuration: .init(address: .hostname(host, port: port), serverName: "perennial"),
            onServerRunning: { await onRunning($0.localAddress?.port ?? port) },
            logger: logger)
    }

    func router() -> Router<BasicRequestContext> {
        let router = Router(context: BasicRequestContext.self)
        router.add(middleware: PlainErrors())
        router.add(middleware: VisitorCheck(names: names))
        router.get("/healthz") { _, _ in Response(status: .ok, body: .init(byteBuffer: ByteBuffer(string: "ok\n"))) }
        router.get("/readyz") { _, _ in await ready() }
        router.get("/metrics") { _, _ in await metricsPage() }
        let api = router.group("/api")
        if let token { api.add(middleware: TokenCheck(token: token)) }
        api.get("/entries") { request, _ in
            try await json(
                administration.entries(
                    prefix: query("prefix", request), tag: query("tag", request), after: query("after", request),
                    limit: limit(request)))
        }
        api.get("/entry") { request, _ in
            guard let url = query("url", request) else {
                throw AdministrationError(.invalid, "which entry? ask /api/entry?url=…")
            }
            return try await json(administration.details(of: url))
        }
        api.get("/jobs") { request, _ in
            try await json(
                administration.jobs(state: jobState(request), after: query("after", request), limit: limit(request)))
        }
        api.get("/stats") { _, _ in try await json(administration.statistics()) }
        api.post("/mark-stale") { request, _ in try await markStale(request, says: "marked") }
        // The name that it had before; goes with the next release.
        api.post("/expire") { request, _ in try await markStale(request, says: "expired") }
        api.post("/remove") { request, _ in try await remove(request) }
        api.post("/jobs/replay") { request, _ in
            try await json(["replayed": administration.replay(replayed(request))])
        }
        api.get("/origins") { _, _ in
            try json(known(origins).statuses().sorted { $0.key < $1.key }.map { OriginReport($0.key, $0.value) })
        }
        api.post("/origins/reopen") { request, _ in
            try await json(["reopened": known(origins).reopen(reopened(request))])
        }
        api.put("/entries/**") { request, _ in try await save(HandedOver(request)) }
        return router
    }

    // Not optimised, since the optimiser of Swift 6.3.1 crashes on `remove` (in "splitting coroutine").
    @_optimize(none)
    private func markStale(_ request: Request, says done: String) async throws -> Response {
        let target = try await PerennialConsole.target(request)
        let count = try await administration.markStale(target)
        return try json([done: count])
    }

    @_optimize(none)
    private func remove(_ request: Request) async throws -> Response {
        let target = try await PerennialConsole.target(request)
        let count = try await administration.remove(target)
        return try json(["removed": count])
    }

    private func known(_ origins: Origins?) throws -> Origins {
        guard let origins else { throw HTTPError(.notFound, message: "there is no gateway here that asks origins") }
        return origins
    }

    private func save(_ handed: HandedOver) async throws -> Response {
        guard token != nil else {
            throw HTTPError(
                .forbidden, message: "entries can only be handed over to a gateway with an --admin-token-file")
        }
        guard let accept else { throw HTTPError(.notFound, message: "there is no gateway here to keep entries") }
        guard let generation = try await accept(handed) else {
            throw HTTPError(.preconditionFailed, message: "the entry was written since; nothing was saved")
        }
        return try json(["generation": generation.number])
    }

    private func ready() async -> Response {
        var readiness = await readiness()
        do {
            _ = try await administration.statistics()
        } catch {
            readiness.reasons.append("the store does not answer: \(error)")
        }
        return (try? json(readiness, status: readiness.isReady ? .ok : .serviceUnavailable))
            ?? Response(status: .internalServerError)
    }

    private func metricsPage() async -> Response {
        var families = await metrics()
        let statistics = try? await administration.statistics()
        families.append(
            MetricFamily(
                "perennial_store_up", .gauge, help: "Whether the store and its queue answered just now.",
                value: statistics == nil ? 0 : 1))
        families += statistics.map(MetricFamily.families) ?? []
        return Response(
            status: .ok, headers: [.contentType: PrometheusText.contentType],
            body: .init(byteBuffer: ByteBuffer(string: PrometheusText.write(families))))
    }
}

/// Whether a gateway can do its work.
public struct Readiness: Codable, Hashable, Sendable {
    /// What is wrong, one sentence each; empty: all is well.
    public var reasons: [String]
    /// What is not as it should be, though it does its work; left out of its JSON when there is nothing.
    public var notes: [String]

    public var isReady: Bool { reasons.isEmpty }

    public init(reasons: [String] = [], notes: [String] = []) {
        self.reasons = reasons
        self.notes = notes
    }

    private enum CodingKeys: String, CodingKey {
        case ready, reasons, notes
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        reasons = try container.decode([String].self, forKey: .reasons)
        notes = try container.decodeIfPresent([String].self, forKey: .notes) ?? []
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(isReady, forKey: .ready)
        try container.encode(reasons, forKey: .reasons)
        if !notes.isEmpty { try container.encode(notes, forKey: .notes) }
    }
}
