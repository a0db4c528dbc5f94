import Synchronization

/// Who looks whether a server still answers while somebody waits for long work on it.
package struct ServerWatch: Sendable {
    /// How long before the first look, and between two.
    package let interval: Duration
    /// Throws when the server does not answer in time.
    package let look: @Sendable () async throws -> Void

    package init(every interval: Duration, look: @escaping @Sendable () async throws -> Void) {
        self.interval = interval
        self.look = look
    }

    /// What `work` gives, or the error of a look that failed before: then the work goes on, and nobody waits for it.
    ///
    /// Work that may take long has a long time-out, and a server that stands still would keep those who wait for it for as
    /// long. A server that is busy answers others meanwhile.
    func guarding<Result: Sendable>(_ work: @escaping @Sendable () async throws -> Result) async throws -> Result {
        let race = Race<Result>()
        let looking = Task {
            while (try? await Task.sleep(for: interval)) != nil {
                do {
                    try await look()
                } catch {
                    return race.end(.failure(error))
                }
            }
        }
        defer { looking.cancel() }
        return try await withUnsafeThrowingContinuation { continuation in
            race.begin(continuation)
            Task {
                do {
                    race.end(.success(try await work()))
                } catch {
                    race.end(.failure(error))
                }
            }
        }
    }
}

/// Goes on with whoever ends first.
private final class Race<Value: Sendable>: Sendable {
    private enum Status {
        case open
        case waiting(UnsafeContinuation<Value, any Error>)
        case ended(Result<Value, any Error>)
        case over
    }

    private let status = Mutex(Status.open)

    func begin(_ continuation: UnsafeContinuation<Value, any Error>) {
        let result: Result<Value, any Error>? = status.withLock { status in
            if case .ended(let result) = status {
                status = .over
                return result
            }
            status = .waiting(continuation)
            return nil
        }
        if let result { continuation.resume(with: result) }
    }

    func end(_ result: Result<Value, any Error>) {
        let continuation: UnsafeContinuation<Value, any Error>? = status.withLock { status in
            switch status {
            case .open:
                status = .ended(result)
                return nil
            case .waiting(let continuation):
                status = .over
                return continuation
            case .ended, .over: return nil
            }
        }
        continuation?.resume(with: result)
    }
}
