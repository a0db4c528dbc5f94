import ArgumentParser
import Logging
import Perennial
import PerennialEngines
import PerennialGateway
import PerennialHTTP

/// What `serve` and `worker` both take: the origin, the store, and how to ask and keep.
struct GatewayOptions: ParsableArguments {
    @Option(help: Known.origin.argumentHelp) var origin: String?
    @Option(name: .customLong("origin-ca"), help: Known.originCA.argumentHelp) var originCA: String?
    @Option(help: Known.store.argumentHelp) var store: String?
    @Option(help: Known.queue.argumentHelp) var queue: String?
    @Option(help: Known.refreshAfter.argumentHelp) var refreshAfter: String?
    @Option(help: Known.expireAfter.argumentHelp) var expireAfter: String?
    @Option(help: Known.staleIfError.argumentHelp) var staleIfError: String?
    @Option(help: Known.freshness.argumentHelp) var freshness: String?
    @Option(help: Known.allow.argumentHelp) var allow: [String] = []
    @Option(help: Known.timeout.argumentHelp) var timeout: String?
    @Option(help: Known.rate.argumentHelp) var rate: String?
    @Option(help: Known.concurrency.argumentHelp) var concurrency: String?
    @Option(help: Known.workers.argumentHelp) var workers: String?
    @Option(help: Known.maxBody.argumentHelp) var maxBody: String?
    @Option(help: Known.storeLimit.argumentHelp) var storeLimit: String?
    @Option(help: Known.grace.argumentHelp) var grace: String?
    @Option(help: Known.config.argumentHelp) var config: String?
    @Option(help: Known.logLevel.argumentHelp) var logLevel: String?

    func gatewayConfiguration(_ settings: Settings) throws(Failure) -> GatewayConfiguration {
        var gateway = GatewayConfiguration(origin: try settings.require(Known.origin, origin).value)
        if let file = try settings.find(Known.originCA, originCA) { gateway.originAuthorities = try authorities(file) }
        gateway.freshness = try freshnessMode(
            rule: settings.find(Known.freshness, freshness)?.value,
            refreshAfter: settings.find(Known.refreshAfter, refreshAfter),
            expireAfter: settings.find(Known.expireAfter, expireAfter),
            staleIfError: settings.find(Known.staleIfError, staleIfError))
        gateway.allowances =
            try settings.find(Known.allow, allow.isEmpty ? nil : allow.joined(separator: ","))?.value ?? []
        gateway.timeout = try settings.value(Known.timeout, timeout)
        if let found = try settings.find(Known.timeout, timeout), found.value <= .zero {
            throw Failure(found.place.code, "\(found.name): it must be more than zero, like 30s")
        }
        if let perSecond = try settings.find(Known.rate, rate)?.value {
            gateway.originRate = (perSecond, max(1, Int(perSecond)))
        }
        gateway.originConcurrency = try settings.find(Known.concurrency, concurrency)?.value
        gateway.workers = try settings.value(Known.workers, workers)
        gateway.maxBody = try settings.value(Known.maxBody, maxBody)
        return gateway
    }

    func commonSettings(_ settings: Settings) throws(Failure) -> CommonSettings {
        CommonSettings(
            store: try settings.require(Known.store, store), queue: try settings.find(Known.queue, queue),
            storeLimit: try settings.value(Known.storeLimit, storeLimit), grace: try settings.value(Known.grace, grace),
            logLevel: try settings.value(Known.logLevel, logLevel))
    }
}

/// What `serve` and `worker` need besides the gateway's own configuration.
struct CommonSettings {
    var store: Found<EngineAddress>
    var queue: Found<EngineAddress>?
    var storeLimit: Int
    var grace: Duration
    var logLevel: Logger.Level
}
