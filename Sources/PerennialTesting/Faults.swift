import Synchronization

/// The error of a faulty store or queue that was told to fail without being given another error.
public struct InjectedFault: Error, Hashable, CustomStringConvertible {
    public let description: String

    public init(_ description: String = "injected fault") {
        self.description = description
    }
}

/// Which operations fail or hang: the switchboard of ``FaultyStore`` and ``FaultyQueue``.
public final class Faults<Operation: Hashable & Sendable & CaseIterable>: Sendable {
    private enum Fault {
        case fails(any Error)
        case hangs
        case answersLate
    }

    private struct Status {
        var faults: [Operation: Fault] = [:]
        var calls: [Operation: Int] = [:]
        var nextID = 0
        var dawdling: SeededGenerator?
        var hanging: [Int: (operation: Operation, continuation: CheckedContinuation<Void, any Error>)] = [:]
        var watchers: [(operation: Operation, count: Int, continuation: CheckedContinuation<Void, Never>)] = []

        mutating func satisfiedWatchers() -> [CheckedContinuation<Void, Never>] {
            let counts = hanging.values.reduce(into: [:]) { $0[$1.operation, default: 0] += 1 }
            defer { watchers.removeAll { $0.count <= counts[$0.operation] ?? 0 } }
            return watchers.filter { $0.count <= counts[$0.operation] ?? 0 }.map(\.continuation)
        }
    }

    private let status = Mutex(Status())

    public init() {}

    /// From now on these operations throw `error`.
    public func fail(_ operations: Operation..., with error: any Error = InjectedFault()) {
        status.withLock { status in
            for operation in operations { status.faults[operation] = .fails(error) }
        }
    }

    /// From now on every operation throws `error`.
    public func failEverything(with error: any Error = InjectedFault()) {
        status.withLock { status in
            for operation in Operation.allCases { status.faults[operation] = .fails(error) }
        }
    }

    /// From now on these operations don't return until ``heal()`` is called or their task is cancelled.
    public func hang(_ operations: Operation...) {
        status.withLock { status in
            for operation in operations { status.faults[operation] = .hangs }
        }
    }

    /// From now on these operations are done, but don't return until ``heal()`` is called or their task is cancelled.
    public func delayAnswers(of operations: Operation...) {
        status.withLock { status in
            for operation in operations { status.faults[operation] = .answersLate }
        }
    }

    /// From now on every operation lets other tasks run before it is done and after, now for longer, now for less long:
    /// what may happen in between does, sooner or later.
    public func dawdle(seed: UInt64) {
        status.withLock { $0.dawdling = SeededGenerator(seed: seed) }
    }

    private func dawdle() async {
        let turns = status.withLock { status -> UInt64 in
            guard let roll = status.dawdling?.next() else { return 0 }
            // Some take much longer than all others.
            return roll % 8 == 0 ? roll >> 8 % 512 : roll >> 8 % 16
        }
        for _ in 0..<turns { await Task.yield() }
    }

    /// From now on everything works; what hangs goes on.
    public func heal() {
        let released = status.withLock { status in
            status.faults = [:]
            status.dawdling = nil
            defer { status.hanging = [:] }
            return status.hanging.values.map(\.continuation)
        }
        for continuation in released { continuation.resume() }
    }

    /// How often an operation was called, failed and hanging calls included.
    public func calls(of operation: Operation) -> Int {
        status.withLock { $0.calls[operation] ?? 0 }
    }

    /// Returns when at least `count` calls of the operation hang.
    public func waitUntilHanging(_ operation: Operation, count: Int = 1) async {
        await withCheckedContinuation { continuation in
            let satisfied = status.withLock { status in
                status.watchers.append((operation, count, continuation))
                return status.satisfiedWatchers()
            }
            for watcher in satisfied { watcher.resume() }
        }
    }

    /// Counts the call, then fails or hangs if it was told to.
    func pass(_ operation: Operation) async throws {
        await dawdle()
        let (fault, id) = status.withLock { status in
            status.calls[operation, default: 0] += 1
            status.nextID += 1
            return (status.faults[operation], status.nextID)
        }
        switch fault {
        case nil, .answersLate: return
        case .fails(let error): throw error
        case .hangs: try await hang(operation, id)
        }
    }

    /// The operation was done: lets its answer pass, or holds it back.
    func passBack(_ operation: Operation) async throws {
        await dawdle()
        let (isLate, id) = status.withLock { status in
            status.nextID += 1
            if case .answersLate? = status.faults[operation] { return (true, status.nextID) }
            return (false, status.nextID)
        }
        if isLate { try await hang(operation, id) }
    }

    private func hang(_ operation: Operation, _ id: Int) async throws {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let satisfied: [CheckedContinuation<Void, Never>]? = status.withLock { status in
                    // The handler below may have run already; then the continuation must not be kept.
                    if Task.isCancelled { return nil }
                    status.hanging[id] = (operation, continuation)
                    return status.satisfiedWatchers()
                }
                guard let satisfied else { return continuation.resume(throwing: CancellationError()) }
                for watcher in satisfied { watcher.resume() }
            }
        } onCancel: {
            let hanging = status.withLock { $0.hanging.removeValue(forKey: id) }
            hanging?.continuation.resume(throwing: CancellationError())
        }
    }
}
