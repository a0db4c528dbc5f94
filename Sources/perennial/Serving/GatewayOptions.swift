import ArgumentParser
import Logging
import Perennial
import PerennialEngines

/// What `serve` and `worker` both take: the origin, the store, and how to ask and keep.
struct GatewayOptions: ParsableArguments {
    @Option(help: Known.origin.argumentHelp) var origin: String?
    @Option(help: Known.host.argumentHelp) var host: String?
    @Option(help: Known.via.argumentHelp) var via: String?
    @Option(help: Known.forwarded.argumentHelp) var forwarded: String?
    @Option(name: .customLong("origin-ca"), help: Known.originCA.argumentHelp) var originCA: String?
    @Option(help: Known.originCert.argumentHelp) var originCert: String?
    @Option(help: Known.originKey.argumentHelp) var originKey: String?
    @Option(help: Known.store.argumentHelp) var store: String?
    @Option(help: Known.queue.argumentHelp) var queue: String?
    @Option(help: Known.refreshAfter.argumentHelp) var refreshAfter: String?
    @Option(help: Known.expireAfter.argumentHelp) var expireAfter: String?
    @Option(help: Known.staleIfError.argumentHelp) var staleIfError: String?
    @Option(help: Known.freshness.argumentHelp) var freshness: String?
    @Option(help: Known.allow.argumentHelp) var allow: [String] = []
    @Option(help: Known.timeout.argumentHelp) var timeout: String?
    @Option(help: Known.fetchTimeout.argumentHelp) var fetchTimeout: String?
    @Option(help: Known.rate.argumentHelp) var rate: String?
    @Option(help: Known.concurrency.argumentHelp) var concurrency: String?
    @Option(help: Known.longestRetryAfter.argumentHelp) var longestRetryAfter: String?
    @Option(help: Known.workers.argumentHelp) var workers: String?
    @Option(help: Known.maxBody.argumentHelp) var maxBody: String?
    @Option(help: Known.bodyMemory.argumentHelp) var bodyMemory: String?
    @Option(help: Known.storeLimit.argumentHelp) var storeLimit: String?
    @Option(help: Known.grace.argumentHelp) var grace: String?
    @Option(help: Known.config.argumentHelp) var config: String?
    @Option(help: Known.logLevel.argumentHelp) var logLevel: String?

    /// What is said here of how to ask and keep.
    var given: GivenRules {
        GivenRules(
            origin: origin, host: host, via: via, forwarded: forwarded, originCA: originCA, originCert: originCert,
            originKey: originKey,
            refreshAfter: refreshAfter, expireAfter: expireAfter,
            staleIfError: staleIfError, freshness: freshness,
            allow: allow.isEmpty ? nil : allow.joined(separator: ","), timeout: timeout, fetchTimeout: fetchTimeout,
            rate: rate,
            concurrency: concurrency, longestRetryAfter: longestRetryAfter, maxBody: maxBody)
    }

    /// - Parameter problems: is told of all that is wrong.
    /// - Returns: `nil`: something is.
    func commonSettings(_ settings: Settings, _ problems: Problems) -> CommonSettings? {
        func find<Value>(_ setting: Setting<Value>, _ given: String?) -> Found<Value>? {
            problems.take(try settings.find(setting, given))
        }
        let (store, queue) = (find(Known.store, store), find(Known.queue, queue))
        let (storeLimit, bodyMemory) = (find(Known.storeLimit, storeLimit), find(Known.bodyMemory, bodyMemory))
        let (workers, grace) = (find(Known.workers, workers), find(Known.grace, grace))
        guard let logLevel = find(Known.logLevel, logLevel), let store, let storeLimit, let bodyMemory, let workers,
            let grace
        else { return nil }
        return CommonSettings(
            store: store, queue: queue, storeLimit: storeLimit.value, bodyMemory: bodyMemory.value, workers: workers,
            grace: grace.value, logLevel: logLevel.value)
    }
}

/// What `serve` and `worker` need besides the routes.
struct CommonSettings {
    var store: Found<EngineAddress>
    var queue: Found<EngineAddress>?
    var storeLimit: Int
    var bodyMemory: Int
    var workers: Found<Int>
    var grace: Duration
    var logLevel: Logger.Level
}
