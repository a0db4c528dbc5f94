import ArgumentParser
import Logging
import Perennial
import PerennialConsole
import PerennialEngines
import PerennialGateway
import PerennialHTTP

/// `perennial serve`: the gateway, its admin address and, unless told otherwise, refresh workers.
struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Put the cache in front of an HTTP API.",
        discussion: """
            Prints one line with the real addresses when it is ready; logs go to standard error. Origins and routes of the \
            configuration file are read again when it changes, and at SIGHUP.
            """)

    @OptionGroup var options: GatewayOptions
    @Option(help: Known.listen.argumentHelp) var listen: String?
    @Option(help: Known.tlsCert.argumentHelp) var tlsCert: [String] = []
    @Option(help: Known.tlsKey.argumentHelp) var tlsKey: [String] = []
    @Option(name: .customLong("client-ca"), help: Known.clientCA.argumentHelp) var clientCA: String?
    @Option(help: Known.admin.argumentHelp) var admin: String?
    @Option(help: Known.adminToken.argumentHelp) var adminTokenFile: String?
    @Option(help: Known.softTimeout.argumentHelp) var softTimeout: String?
    @Option(help: Known.clientDirectives.argumentHelp) var clientDirectives: String?
    @Option(help: Known.threads.argumentHelp) var threads: String?
    @Option(help: Known.memory.argumentHelp) var memory: String?
    @Option(help: Known.maxConnections.argumentHelp) var maxConnections: String?
    @Option(help: Known.maxRequestBody.argumentHelp) var maxRequestBody: String?
    @Option(help: Known.headTimeout.argumentHelp) var headTimeout: String?
    @Option(help: Known.maxConnectionsPerClient.argumentHelp) var maxConnectionsPerClient: String?
    @Option(help: Known.minUploadRate.argumentHelp) var minUploadRate: String?
    @Option(help: Known.drain.argumentHelp) var drain: String?
    @Option(help: Known.purgeFrom.argumentHelp) var purgeFrom: [String] = []
    @Flag(help: .hidden) var stopWithInput = false

    mutating func run() async throws {
        let problems = Problems()
        let settings = try Settings(config: options.config, problems: problems)
        let plan = try plan(settings, problems)
        let logger = makeLogger(plan.common.logLevel)
        let open = try openBackend(
            store: plan.common.store, queue: plan.common.queue, limit: plan.common.storeLimit, logger: logger)
        let gateway = try Gateway(configuration: plan.gateway, backend: open.backend, logger: logger)
        let running = try await RunningGateway(
            gateway, at: plan.listen, isSecure: !plan.gateway.certificates.isEmpty,
            destination: plan.gateway.routes.destination)
        let reloading = Reloading(since: settings, given: given, logger: logger) { try await gateway.reload($0) }
        try await running.run(
            admin: plan.admin, token: plan.token,
            administration: Administration(
                store: open.backend.store, queue: open.backend.queue, origin: plan.onlyOrigin),
            grace: plan.common.grace, drain: plan.gateway.drain, stopWithInput: stopWithInput, reloading: reloading,
            logger: logger,
            close: open.close)
    }

    private var given: GivenRules {
        var given = options.given
        given.softTimeout = softTimeout
        given.clientDirectives = clientDirectives
        return given
    }

    /// All that was set, read and found to fit together.
    /// - Parameter problems: what is known to be wrong already.
    /// - Throws: ``Failure`` with all that is wrong.
    func plan(_ settings: Settings, _ problems: Problems = Problems()) throws(Failure) -> ServingPlan {
        func find<Value>(_ setting: Setting<Value>, _ given: String?) -> Found<Value>? {
            problems.take(try settings.find(setting, given))
        }
        func read<Value>(_ place: inout Value, _ setting: Setting<Value>, _ given: String?) {
            if let found = find(setting, given) { place = found.value }
        }
        var gateway = GatewayConfiguration(routes: given.routes(settings, problems))
        func list(_ given: [String]) -> String? { given.isEmpty ? nil : given.joined(separator: ",") }
        let known = problems.count
        let (chains, keys) = (find(Known.tlsCert, list(tlsCert)), find(Known.tlsKey, list(tlsKey)))
        let authorities = find(Known.clientCA, clientCA)
        // What one of them lacks says nothing when another could not be read.
        if problems.count == known {
            gateway.certificates = problems.take(try serverCertificates(chains, keys: keys)) ?? []
        }
        if problems.count == known {
            gateway.clientAuthorities = problems.take(
                try clientAuthorities(authorities, isSecure: !gateway.certificates.isEmpty))
        }
        read(&gateway.threads, Known.threads, threads)
        read(&gateway.memory, Known.memory, memory)
        read(&gateway.maxConnections, Known.maxConnections, maxConnections)
        gateway.maxRequestBody = find(Known.maxRequestBody, maxRequestBody)?.value
        read(&gateway.headTimeout, Known.headTimeout, headTimeout)
        read(&gateway.maxConnectionsPerClient, Known.maxConnectionsPerClient, maxConnectionsPerClient)
        read(&gateway.minUploadRate, Known.minUploadRate, minUploadRate)
        read(&gateway.drain, Known.drain, drain)
        gateway.purgeFrom = find(Known.purgeFrom, list(purgeFrom))?.value ?? []
        let (listen, admin) = (find(Known.listen, listen), find(Known.admin, admin))
        let token = find(Known.adminToken, adminTokenFile)?.value
        let common = options.commonSettings(settings, problems)
        try problems.check()
        guard let listen = listen?.value, let admin, let common else {
            throw Failure(.software, "a setting that has a default has no value")
        }
        gateway.host = listen.host
        gateway.port = listen.port
        gateway.socketPath = listen.socketPath
        gateway.workers = common.workers.value
        gateway.bodyMemory = common.bodyMemory
        return ServingPlan(gateway: gateway, listen: listen, admin: admin.value, token: token, common: common)
    }
}

/// What a gateway is to be like.
struct ServingPlan {
    var gateway: GatewayConfiguration
    var listen: ListenAddress
    var admin: ListenAddress?
    var token: String?
    var common: CommonSettings

    /// The origin as addresses name it, if there is but one: a path alone is an address at it.
    var onlyOrigin: OriginURL? { gateway.routes.onlyName }
}

extension [Route] {
    var onlyOrigin: OriginURL? {
        let origins = Set(map(\.origin.url))
        return origins.count == 1 ? origins.first : nil
    }

    /// The origin as keys name it, if all do by one name.
    fileprivate var onlyName: OriginURL? {
        let names = Set(map(\.address.named))
        return names.count == 1 && !contains { $0.address.sentHost == .client } ? names.first : nil
    }

    /// Where the routes lead, for people.
    var destination: String {
        if let onlyOrigin, count == 1 { return "\(onlyOrigin)" }
        let origins = Set(map(\.origin.url)).count
        return "\(count) routes to \(origins) origin\(origins == 1 ? "" : "s")"
    }
}

/// `perennial worker`: refresh workers in a process of their own.
struct WorkerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker", abstract: "Do the refreshes that gateways on the same store have queued.",
        discussion: "Give it the limits, origins and routes that the gateways have. Prints one line when it is ready.")

    @OptionGroup var options: GatewayOptions
    @Flag(help: .hidden) var stopWithInput = false

    mutating func run() async throws {
        let problems = Problems()
        let settings = try Settings(config: options.config, problems: problems)
        var configuration = GatewayConfiguration(routes: options.given.routes(settings, problems))
        let read = options.commonSettings(settings, problems)
        try problems.check()
        guard let common = read else { throw Failure(.software, "a setting that has a default has no value") }
        let workers = common.workers
        configuration.workers = workers.value
        configuration.bodyMemory = common.bodyMemory
        guard workers.value > 0 else {
            throw Failure(workers.place.code, "\(workers.name) is 0; a worker needs at least 1")
        }
        guard common.store.value != .memory, common.queue?.value != .memory else {
            throw Failure(
                .usage, "a worker can't share what is in memory: with a gateway; name a sqlite: file or a server")
        }

        let logger = makeLogger(common.logLevel)
        let open = try openBackend(
            store: common.store, queue: common.queue, limit: common.storeLimit, logger: logger)
        let responses = try ResponseCache(configuration: configuration, backend: open.backend, logger: logger)
        let ready =
            "perennial: refreshing \(configuration.routes.destination) with \(workers.value) workers"
            + " from \((common.queue ?? common.store).value)"
        let reloading = Reloading(since: settings, given: options.given, logger: logger) { try responses.reload($0) }
        try await runServices(
            [
                UntilStopped(stop: open.close),
                UntilStopped(announcing: ready) { await responses.shutdown(deadline: common.grace) },
                reloading,
            ], grace: common.grace, stopWithInput: stopWithInput, logger: logger)
    }
}
