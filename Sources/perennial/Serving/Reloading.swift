import Logging
import PerennialConsole
import PerennialGateway
import ServiceLifecycle
import Synchronization
import UnixSignals

/// Reads the configuration file again when it has changed and when SIGHUP comes, and puts its origins and routes to use.
///
/// A file with a mistake changes nothing.
final class Reloading: Service {
    private struct State {
        var settings: Settings
        var taken = 0
        var refused = 0
    }

    private let state: Mutex<State>
    private let given: GivenRules
    private let logger: Logger
    private let reload: @Sendable ([Route]) async throws -> Void

    /// - Parameters:
    ///   - settings: what is in use.
    ///   - given: what the command line says.
    ///   - reload: takes new routes, or throws and keeps the old ones.
    init(
        since settings: Settings, given: GivenRules, logger: Logger,
        reload: @escaping @Sendable ([Route]) async throws -> Void
    ) {
        state = Mutex(State(settings: settings))
        self.given = given
        self.logger = logger
        self.reload = reload
    }

    @concurrent func run() async throws {
        // One reading at a time, however many reasons there are.
        let (reasons, reason) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        await cancelWhenGracefulShutdown {
            await withTaskGroup { group in
                group.addTask { await self.heedSignals(reason) }
                group.addTask { await self.watchFile(reason) }
                group.addTask { for await _ in reasons { await self.readAgain() } }
            }
        }
    }

    private func heedSignals(_ reason: AsyncStream<Void>.Continuation) async {
        for await _ in await UnixSignalsSequence(trapping: .sighup) {
            guard state.withLock({ $0.settings.path }) != nil else {
                logger.notice("there is no configuration file to read again; name one with --config")
                continue
            }
            reason.yield()
        }
    }

    private func watchFile(_ reason: AsyncStream<Void>.Continuation) async {
        let settings = state.withLock { $0.settings }
        guard let path = settings.path else { return }
        var known = settings.fileVersion
        var before = known
        while (try? await Task.sleep(for: .seconds(1))) != nil {
            let now = FileVersion(path)
            // One that is being written is read when it has stayed as it is for a second.
            defer { before = now }
            guard let now, now != known, now == before else { continue }
            known = now
            reason.yield()
        }
    }

    private func readAgain() async {
        let old = state.withLock { $0.settings }
        do {
            let problems = Problems()
            let new = try old.readAgain(problems)
            let routes = given.routes(new, problems)
            try problems.check()
            try await reload(routes)
            state.withLock {
                $0.settings = new
                $0.taken += 1
            }
            logger.notice(
                "the configuration file was read again",
                metadata: ["file": "\(new.path ?? "")", "routes": "\(routes.map(\.name).joined(separator: ", "))"])
            let unheeded = new.differing(from: old, in: Known.fixedKeys)
            if !unheeded.isEmpty {
                logger.warning(
                    "some of what has changed in the configuration file needs a restart",
                    metadata: ["settings": "\(unheeded.joined(separator: ", "))"])
            }
        } catch {
            state.withLock { $0.refused += 1 }
            logger.error(
                "the configuration file is not used, what was read before holds on", metadata: ["error": "\(error)"])
        }
    }

    /// How often the file was taken, and how often it was not.
    var metrics: [MetricFamily] {
        let (taken, refused) = state.withLock { ($0.taken, $0.refused) }
        return [
            MetricFamily(
                "perennial_gateway_reloads_total", .counter, help: "Readings of the changed configuration file.",
                label: "outcome", values: ["taken": taken, "refused": refused])
        ]
    }
}
