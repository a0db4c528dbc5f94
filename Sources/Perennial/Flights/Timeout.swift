/// Runs `work` for at most `timeout`, also when it does not heed its cancellation: then it is left to end by itself.
/// - Throws: ``FetchTimeout`` after `timeout`; what `work` throws.
func withTimeout<Result: Sendable>(
    _ timeout: Duration, _ time: any TimeSource, _ work: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    let race = Race<Result>()
    return try await withCheckedThrowingContinuation { continuation in
        race.begin(continuation)
        let worker = Task {
            do {
                race.finish(.success(try await work()))
            } catch {
                race.finish(.failure(error))
            }
        }
        let timer = Task {
            guard (try? await time.sleep(for: timeout)) != nil else { return }
            if race.finish(.failure(FetchTimeout(timeout: timeout))) { worker.cancel() }
        }
        race.onFinish { timer.cancel() }
    }
}

/// The first of two to finish resumes the continuation.
private final class Race<Result: Sendable>: Sendable {
    private struct Progress {
        var continuation: CheckedContinuation<Result, any Error>?
        var isFinished = false
        var cleanUp: (@Sendable () -> Void)?
    }

    private let progress = Locked(Progress())

    func begin(_ continuation: CheckedContinuation<Result, any Error>) {
        progress.withLock { $0.continuation = continuation }
    }

    /// Calls `cleanUp` when the race is finished, or now if it is.
    func onFinish(_ cleanUp: @escaping @Sendable () -> Void) {
        let isFinished = progress.withLock { progress in
            if !progress.isFinished { progress.cleanUp = cleanUp }
            return progress.isFinished
        }
        if isFinished { cleanUp() }
    }

    @discardableResult
    func finish(_ result: sending Swift.Result<Result, any Error>) -> Bool {
        let (continuation, cleanUp) = progress.withLock { progress in
            defer {
                progress.continuation = nil
                progress.isFinished = true
                progress.cleanUp = nil
            }
            return (progress.continuation, progress.cleanUp)
        }
        guard let continuation else { return false }
        cleanUp?()
        continuation.resume(with: result)
        return true
    }
}
