import Logging
import NIOCore
import Perennial
import PerennialConsole
import PerennialGateway
import PerennialHTTP
import ServiceLifecycle
import UnixSignals

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A gateway that listens, and what runs beside it until somebody asks it to stop.
struct RunningGateway {
    private let gateway: Gateway
    private let address: ListenAddress
    private let isSecure: Bool
    private let destination: String

    /// Begins to listen.
    init(_ gateway: Gateway, at address: ListenAddress, isSecure: Bool, destination: String) async throws {
        self.gateway = gateway
        self.isSecure = isSecure
        self.destination = destination
        do {
            self.address = try await gateway.start()
        } catch {
            await gateway.shutdown(deadline: .zero)
            throw listenFailure(error, at: address, option: "--listen")
        }
    }

    /// As it is said when it is ready.
    private var place: String {
        if address.socketPath != nil { return isSecure ? "\(address) with TLS" : "\(address)" }
        return "\(isSecure ? "https" : "http")://\(address)"
    }

    /// Serves until a signal, then stops within `grace`, which begins behind `drain`.
    /// - Parameter close: closes the store, last of all.
    func run(
        admin: ListenAddress?, token: String?, administration: Administration, grace: Duration, drain: Duration,
        stopWithInput: Bool, reloading: Reloading, logger: Logger,
        close: @escaping @Sendable () async -> Void
    ) async throws {
        let ready = "perennial: serving \(destination) on \(place)"
        var services: [any Service] = [
            UntilStopped(stop: close),
            UntilStopped(announcing: admin == nil ? ready : nil) { [gateway] in await gateway.shutdown(deadline: grace)
            },
        ]
        // Stops before the gateway does: nothing is reloaded by one that ends.
        services.append(reloading)
        if let admin {
            let server = AdminServer(
                administration: administration, names: [admin.host.lowercased()],
                readiness: { [gateway] in
                    Readiness(gateway.responses.cache.health, origins: gateway.responses.originStatuses)
                },
                metrics: { [gateway] in
                    MetricFamily.families(of: gateway.metrics)
                        + MetricFamily.families(of: gateway.responses.cache.statistics)
                        + MetricFamily.families(of: gateway.responses.cache.health)
                        + MetricFamily.families(ofOrigins: gateway.responses.originStatuses)
                        + reloading.metrics
                },
                token: token,
                accept: { [gateway] in try await gateway.responses.accept($0) },
                origins: AdminServer.Origins(
                    statuses: { [gateway] in gateway.responses.originStatuses },
                    reopen: { [gateway] target in
                        let count = try gateway.responses.reopen(target)
                        logger.notice(
                            "what was left alone is asked again by hand",
                            metadata: ["what": "\(target ?? "everything")", "count": "\(count)"])
                        return count
                    }))
            let application = server.application(host: admin.host, port: admin.port, logger: logger) { port in
                Console.print("\(ready), admin on http://\(ListenAddress(host: admin.host, port: port))")
            }
            services.append(Listening(application, at: admin, option: "--admin"))
        }
        try await runServices(services, grace: drain + grace, stopWithInput: stopWithInput, logger: logger)
    }
}

extension ResponseCache {
    /// Asks again what somebody named on the admin address.
    fileprivate func reopen(_ target: String?) throws(AdministrationError) -> Int {
        do throws(AddressError) {
            return try reopenOrigin(target)
        } catch {
            throw AdministrationError(.invalid, error.description)
        }
    }

    /// Saves what was handed over on the admin address.
    fileprivate func accept(_ handed: HandedOver) async throws -> Generation? {
        do {
            return try await accept(
                handed.key, status: handed.status, fields: handed.fields, body: handed.body, fence: handed.fence,
                lease: handed.lease)
        } catch let error as NotAccepted {
            throw AdministrationError(error.isTooLarge ? .tooLarge : .invalid, error.reason)
        }
    }
}

/// Runs services until SIGTERM or SIGINT; the last one listed stops first.
func runServices(_ services: [any Service], grace: Duration, stopWithInput: Bool, logger: Logger) async throws {
    var quiet = logger
    quiet.logLevel = max(logger.logLevel, .warning)
    var configuration = ServiceGroupConfiguration(
        services: services.map {
            .init(service: $0, successTerminationBehavior: .gracefullyShutdownGroup)
        }, gracefulShutdownSignals: [.sigterm, .sigint], logger: quiet)
    if stopWithInput {
        configuration.services.append(
            .init(service: StopWithInput(), successTerminationBehavior: .gracefullyShutdownGroup))
    }
    // The services keep to the grace by themselves; this is for one that does not.
    configuration.maximumGracefulShutdownDuration = grace + .seconds(2)
    do {
        try await ServiceGroup(configuration: configuration).run()
    } catch is CancellationError {
        // It did not stop in time and was cut off, which was asked for.
    }
}

/// Something that runs by itself, and how to stop it.
struct UntilStopped: Service {
    private let announcement: String?
    private let stop: @Sendable () async -> Void

    /// - Parameter announcement: printed once signals are heeded, so that who reads it may send one.
    init(announcing announcement: String? = nil, stop: @escaping @Sendable () async -> Void) {
        self.announcement = announcement
        self.stop = stop
    }

    @concurrent func run() async throws {
        if let announcement { Console.print(announcement) }
        try? await gracefulShutdown()
        await stop()
    }
}

private struct StopWithInput: Service {
    @concurrent func run() async throws {
        await cancelWhenGracefulShutdown { await inputEnd() }
    }
}

/// A server whose failure to listen is told as one.
private struct Listening: Service {
    let server: any Service
    let address: ListenAddress
    let option: String

    init(_ server: any Service, at address: ListenAddress, option: String) {
        self.server = server
        self.address = address
        self.option = option
    }

    @concurrent func run() async throws {
        do {
            try await server.run()
        } catch let error as IOError {
            throw listenFailure(error, at: address, option: option)
        }
    }
}

private func listenFailure(_ error: any Error, at address: ListenAddress, option: String) -> Failure {
    let reason: String
    switch (error as? IOError)?.errnoCode {
    case EADDRINUSE: reason = "it is in use; stop what listens there, or choose another with \(option)"
    case EADDRNOTAVAIL: reason = "it is no address of this machine; choose another with \(option)"
    case EEXIST: reason = "there is a file that is no socket; choose another path with \(option)"
    case _ where address.socketPath != nil: reason = "\(error)"
    case EACCES: return Failure(.noPermission, "may not listen on \(address); choose a port above 1023 with \(option)")
    default: reason = "\(error)"
    }
    return Failure(.unavailable, "can't listen on \(address): \(reason)")
}
