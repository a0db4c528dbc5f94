import ArgumentParser
import Logging
import Perennial
import PerennialConsole
import PerennialEngines
import PerennialGateway

/// `perennial serve`: the gateway, its admin address and, unless told otherwise, refresh workers.
struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Put the cache in front of an HTTP API.",
        discussion: "Prints one line with the real addresses when it is ready; logs go to standard error.")

    @OptionGroup var options: GatewayOptions
    @Option(help: Known.listen.argumentHelp) var listen: String?
    @Option(help: Known.tlsCert.argumentHelp) var tlsCert: String?
    @Option(help: Known.tlsKey.argumentHelp) var tlsKey: String?
    @Option(help: Known.admin.argumentHelp) var admin: String?
    @Option(help: Known.adminToken.argumentHelp) var adminTokenFile: String?
    @Option(help: Known.softTimeout.argumentHelp) var softTimeout: String?
    @Option(help: Known.clientDirectives.argumentHelp) var clientDirectives: String?
    @Option(help: Known.threads.argumentHelp) var threads: String?
    @Option(help: Known.memory.argumentHelp) var memory: String?
    @Flag(help: .hidden) var stopWithInput = false

    mutating func run() async throws {
        let settings = try Settings(config: options.config)
        let listen = try settings.value(Known.listen, listen)
        let admin = try settings.value(Known.admin, admin)
        let token = try settings.find(Known.adminToken, adminTokenFile)?.value
        var configuration = try options.gatewayConfiguration(settings)
        configuration.host = listen.host
        configuration.port = listen.port
        configuration.socketPath = listen.socketPath
        configuration.certificate = try serverCertificate(
            settings.find(Known.tlsCert, tlsCert), key: settings.find(Known.tlsKey, tlsKey))
        let soft = try settings.find(Known.softTimeout, softTimeout)
        try checkOrder(soft, settings.require(Known.timeout, options.timeout))
        configuration.softTimeout = soft?.value
        configuration.clientDirectives = try settings.find(Known.clientDirectives, clientDirectives)?.value
        if let threads = try settings.find(Known.threads, threads)?.value { configuration.threads = threads }
        configuration.memory = try settings.value(Known.memory, memory)
        let common = try options.commonSettings(settings)

        let logger = makeLogger(common.logLevel)
        let open = try openBackend(
            store: common.store, queue: common.queue, limit: common.storeLimit, logger: logger)
        let gateway = try Gateway(configuration: configuration, backend: open.backend, logger: logger)
        let running = try await RunningGateway(
            gateway, at: listen, isSecure: configuration.certificate != nil, origin: configuration.origin)
        let administration = Administration(
            store: open.backend.store, queue: open.backend.queue, origin: configuration.origin)
        try await running.run(
            admin: admin, token: token, administration: administration, grace: common.grace,
            stopWithInput: stopWithInput,
            logger: logger, close: open.close)
    }
}

/// `perennial worker`: refresh workers in a process of their own.
struct WorkerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker", abstract: "Do the refreshes that gateways on the same store have queued.",
        discussion: "Give it the limits that the gateways have. Prints one line when it is ready.")

    @OptionGroup var options: GatewayOptions
    @Flag(help: .hidden) var stopWithInput = false

    mutating func run() async throws {
        let settings = try Settings(config: options.config)
        let configuration = try options.gatewayConfiguration(settings)
        let workers = try settings.require(Known.workers, options.workers)
        guard workers.value > 0 else {
            throw Failure(workers.place.code, "\(workers.name) is 0; a worker needs at least 1")
        }
        let common = try options.commonSettings(settings)
        guard common.store.value != .memory, common.queue?.value != .memory else {
            throw Failure(
                .usage, "a worker can't share what is in memory: with a gateway; name a sqlite: file or a server")
        }

        let logger = makeLogger(common.logLevel)
        let open = try openBackend(
            store: common.store, queue: common.queue, limit: common.storeLimit, logger: logger)
        let responses = try ResponseCache(configuration: configuration, backend: open.backend, logger: logger)
        let ready =
            "perennial: refreshing \(configuration.origin) with \(workers.value) workers"
            + " from \((common.queue ?? common.store).value)"
        try await runServices(
            [
                UntilStopped(stop: open.close),
                UntilStopped(announcing: ready) { await responses.shutdown(deadline: common.grace) },
            ], grace: common.grace, stopWithInput: stopWithInput, logger: logger)
    }
}
