import Logging
import NIOConcurrencyHelpers
import Perennial
import PerennialGateway
import PerennialHTTP
import PerennialTesting

/// A gateway before an origin of the test's own, on a clock that stands still.
struct Rig: Sendable {
    let origin: TestOrigin
    let gateway: Gateway
    let clock: ManualClock
    let events: Events
    let port: Int

    func client() async throws -> TestClient {
        try await TestClient(port: port)
    }

    /// The keys of everything that is stored.
    func storedKeys() async throws -> [String] {
        var keys: [String] = []
        for try await (key, _) in gateway.responses.cache.all() { keys.append(key) }
        return keys
    }

    /// One GET on a connection of its own.
    func get(_ target: String, _ fields: KeyValuePairs<String, String> = [:]) async throws -> TestClient.Response {
        let client = try await client()
        let response = try await client.get(target, fields)
        await client.close()
        return response
    }
}

/// Runs `test` with a rig and takes it down again.
func withRig(
    _ configure: (inout GatewayConfiguration) throws -> Void = { _ in },
    backend: any Backend = InMemoryBackend(), isHasty: Bool = false, logger: Logger? = nil,
    origin handler: @escaping TestOrigin.Handler,
    test: (Rig) async throws -> Void
) async throws {
    let origin = try await TestOrigin(isHasty: isHasty, handler)
    var configuration = GatewayConfiguration(origin: try OriginURL("http://127.0.0.1:\(origin.port)"))
    configuration.port = 0
    configuration.threads = 2
    // A busy machine is slow; what is too slow is told by tests that have the clock in hand.
    configuration.minUploadRate = 0
    try configure(&configuration)
    let clock = ManualClock(now: SystemTime().now)
    let events = Events()
    let gateway = try Gateway(
        configuration: configuration, backend: backend, time: clock, logger: logger, observer: events.add)
    let address = try await gateway.start()
    let rig = Rig(origin: origin, gateway: gateway, clock: clock, events: events, port: address.port)
    do {
        try await test(rig)
    } catch {
        await gateway.shutdown(deadline: .seconds(1))
        try await origin.kill()
        throw error
    }
    await gateway.shutdown(deadline: .seconds(1))
    try await origin.kill()
}

/// What a cache told its observer, to wait for.
final class Events: Sendable {
    private struct State {
        var events: [CacheEvent] = []
        var waiters: [(matches: @Sendable (CacheEvent) -> Bool, continuation: CheckedContinuation<Void, Never>)] = []
    }

    private let state = NIOLockedValueBox(State())

    @Sendable func add(_ event: CacheEvent) {
        let woken = state.withLockedValue { state in
            state.events.append(event)
            let woken = state.waiters.filter { $0.matches(event) }
            state.waiters.removeAll { $0.matches(event) }
            return woken
        }
        for waiter in woken { waiter.continuation.resume() }
    }

    /// Returns when such an event has happened.
    func wait(for matches: @escaping @Sendable (CacheEvent) -> Bool) async {
        await withCheckedContinuation { continuation in
            let hasHappened = state.withLockedValue { state in
                if state.events.contains(where: matches) { return true }
                state.waiters.append((matches, continuation))
                return false
            }
            if hasHappened { continuation.resume() }
        }
    }

    func waitForRefresh() async {
        await wait { if case .refreshed = $0 { true } else { false } }
    }

    func waitForFailedRefresh() async {
        await wait { if case .refreshFailed = $0 { true } else { false } }
    }
}

/// Closed until it is opened; then everybody passes.
final class Gate: Sendable {
    private struct State {
        var isOpen = false
        var arrived = 0
        var waiters: [CheckedContinuation<Void, Never>] = []
        var watchers: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []
    }

    private let state = NIOLockedValueBox(State())

    func pass() async {
        await withCheckedContinuation { continuation in
            let (isOpen, seen) = state.withLockedValue { state in
                state.arrived += 1
                let arrived = state.arrived
                let seen = state.watchers.filter { $0.count <= arrived }
                state.watchers.removeAll { $0.count <= arrived }
                if !state.isOpen { state.waiters.append(continuation) }
                return (state.isOpen, seen)
            }
            for watcher in seen { watcher.continuation.resume() }
            if isOpen { continuation.resume() }
        }
    }

    func open() {
        let waiters = state.withLockedValue { state in
            state.isOpen = true
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    /// Returns when as many have come to the gate.
    func waitForArrivals(_ count: Int = 1) async {
        await withCheckedContinuation { continuation in
            let isReached = state.withLockedValue { state in
                if state.arrived >= count { return true }
                state.watchers.append((count, continuation))
                return false
            }
            if isReached { continuation.resume() }
        }
    }
}
